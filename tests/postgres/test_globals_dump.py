"""The list of roles is read beside pg_dump, and no fault of it costs the dump."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from contract.source_contract import read
from pgsnap.errors import Interrupted
from pgsnap.model import SectionKind
from pgsnap.runners.local import LocalRunner
from pgsnap.runners.process import LocalChild
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from support.servers.databases import Database


class OtherDumpall(LocalRunner):
    """Runs *program* instead of pg_dumpall; *children* are those that ran."""

    def __init__(self, bindir: Path, program: Sequence[str]) -> None:
        super().__init__(bindir)
        self.program = program
        self.children: list[LocalChild] = []

    def start(self, argv: Sequence[str], **more: Any) -> LocalChild:
        if Path(argv[0]).name != "pg_dumpall":
            return super().start(argv, **more)
        self.children.append(super().start(self.program))
        return self.children[-1]


def server_of(database: Database, user: str | None = None) -> Server:
    dsn = database.cluster.dsn(database.name, user=user)
    return Server(Endpoint.parse(dsn, {}), LocalRunner(database.cluster.binaries.bindir))


def with_dumpall(database: Database, *program: str) -> tuple[Server, OtherDumpall]:
    runner = OtherDumpall(database.cluster.binaries.bindir, program)
    return Server(server_of(database).endpoint, runner), runner


def test_a_role_that_may_have_one_connection_gets_its_dump_and_the_roles(
    database: Database,
) -> None:
    database.psql("CREATE TABLE t AS SELECT generate_series(1, 100000) AS id")
    database.psql("CREATE ROLE single LOGIN CONNECTION LIMIT 1; GRANT pg_read_all_data TO single")
    try:
        sections, result = read(PostgresSource(server_of(database, "single")))
        assert result.origin.globals_status == "without-passwords"
        (text,) = [data for name, data in sections.items() if name.kind is SectionKind.GLOBALS]
        assert b"CREATE ROLE single;" in text
    finally:
        database.psql("DROP OWNED BY single; DROP ROLE single")


def test_a_pg_dumpall_that_fails_is_tried_once_more_and_then_told(database: Database) -> None:
    server, runner = with_dumpall(database, "sh", "-c", "echo no such right >&2; exit 1")
    sections, result = read(PostgresSource(server))
    assert result.origin.globals_status == "none: pg_dumpall failed: no such right"
    assert len(runner.children) == 2
    assert all(name.kind is not SectionKind.GLOBALS for name in sections)


def test_an_abandoned_dump_leaves_no_pg_dumpall_behind(database: Database) -> None:
    server, runner = with_dumpall(database, "sleep", "600")
    source = PostgresSource(server)
    source.open()
    events = source.events()
    next(events)
    next(events)
    deadline = time.monotonic() + 30
    while not runner.children and time.monotonic() < deadline:
        time.sleep(0.01)
    source.abandon()
    (child,) = runner.children
    assert child.wait(timeout=30) < 0
    with pytest.raises(Interrupted):
        list(events)
