"""Pins that not every server knows: they reach the tools of those that do, and no others."""

from __future__ import annotations

import pytest

from pgsnap.runners.local import LocalRunner
from pgsnap.sessions.base import SESSION_START
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import Server
from support.restoring.clients import server_of
from support.servers.databases import Database


class OfVersion(Server):
    """A server whose version is known, so that nobody need ask it."""

    def __init__(self, version_num: int) -> None:
        super().__init__(Endpoint.parse("dbname=x", {}), LocalRunner())
        self._version_num = version_num


@pytest.mark.parametrize(("version_num", "expected"), [(160010, False), (170000, True)])
def test_a_transaction_timeout_of_the_server_never_ends_a_tool(
    version_num: int, expected: bool
) -> None:
    from pgsnap.runners.base import Tool

    echo = Tool("echo", "/bin/echo", 17_0000, "echo")
    child = OfVersion(version_num).start_tool(echo, [])
    shown = b"".join(iter(lambda: child.read(65536), b""))
    child.wait()
    assert b"statement_timeout=0" in shown
    assert (b"-c transaction_timeout=0" in shown) is expected


def test_a_transaction_timeout_of_the_server_never_ends_a_session(database: Database) -> None:
    assert "transaction_timeout" in SESSION_START
    if int(database.psql("SHOW server_version_num")) < 170000:
        # It starts all the same where there is no such setting.
        with server_of(database).connect() as session:
            assert session.query("SELECT 1") == [("1",)]
        return
    database.psql(f'ALTER DATABASE "{database.name}" SET transaction_timeout TO 5000')
    with server_of(database).connect() as session:
        assert session.query("SHOW transaction_timeout") == [("0",)]
