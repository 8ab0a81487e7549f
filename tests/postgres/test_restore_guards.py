"""What stands between a restore and a database lost: other servers, dead psqls, other restores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgsnap.errors import RestoreFailed, TargetRefused
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.targets.swap.scratch import Leftover, find_leftovers
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from pgsnap.workflows.restore.restore import restore
from support.restoring.clients import (
    commit_database,
    databases_like,
    restore_now,
    server_of,
)
from support.servers.databases import Database


@pytest.fixture
def shop(database: Database) -> Database:
    """A database whose table takes more than a page."""
    database.psql("CREATE TABLE orders AS SELECT g AS id, 'n' || g AS note"
                  " FROM generate_series(1, 1000) g")  # fmt: skip
    return database


def test_a_snapshot_of_another_server_is_told_before_it_replaces_anything(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    known = repo.snapshot(commit_database(repo, server))
    assert known.origin.server is not None
    assert plan_restore(repo, repo.newest(None)[0], server, RestoreOptions()).warnings == ()
    staging = replace(
        known.origin, host="staging", server=replace(known.origin.server, system_identifier="7")
    )
    strange, _ = repo.publish(replace(known, origin=staging))
    (warning,) = plan_restore(repo, strange, server, RestoreOptions()).warnings
    assert "another server (staging)" in warning


def test_a_repository_that_cannot_be_written_is_told_before_anything_is_loaded(
    repo: Repository, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    # Root may write everywhere, so the folder only says that it cannot be.
    monkeypatch.setattr(type(repo.place), "is_writable", lambda place: False)
    with pytest.raises(TargetRefused, match="cannot be written"):
        restore_now(repo, snapshot, server)
    report = restore_now(repo, snapshot, server, RestoreOptions(to=f"{shop.name}_new"))
    shop.cluster.drop_database(report.database)


class _AtSwap:
    """Looks for leftovers when the swap begins, as another restore would."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.found: tuple[Leftover, ...] | None = None

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        if name == "swap":
            with self._server.connect("postgres") as session:
                self.found = find_leftovers(session, self._server.connect)

    def advance(self, plain_bytes: int, detail: str = "") -> None:
        pass

    def say(self, line: str) -> None:
        pass


def test_a_filled_scratch_database_is_no_leftover_until_it_is_swapped(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    watcher = _AtSwap(server)
    plan = plan_restore(repo, snapshot, server, RestoreOptions())
    restore(repo, plan, server, progress=watcher)
    assert watcher.found == ()


def test_a_function_that_misleads_psql_fails_the_restore_instead_of_hanging_it(
    repo: Repository, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgsnap.targets.load.feeder._STUCK_POLL_SECONDS", 0.5)
    monkeypatch.setattr("pgsnap.targets.load.feeder.STUCK_AFTER_SECONDS", 1.0)
    shop.psql(
        "CREATE TABLE spans (begin int); CREATE FUNCTION firsts() RETURNS SETOF int"
        ' LANGUAGE sql BEGIN ATOMIC SELECT "begin" FROM spans; END;'
    )
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    with pytest.raises(RestoreFailed, match="one statement"):
        restore_now(repo, snapshot, server)
    assert shop.psql("SELECT count(*) FROM orders") == "1000"
    assert databases_like(shop, "%\\_\\_snap\\_%") == []
