"""restore --read-only: new sessions cannot write meanwhile, and nothing of it is left after."""

from __future__ import annotations

import os

import psycopg
import pytest

from pgsnap.errors import RestoreFailed, UsageError
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.workflows.commit.safety_snapshot import safety_commit
from pgsnap.workflows.restore.plan import RestoreOptions, RestorePlan, plan_restore
from pgsnap.workflows.restore.restore import restore
from pgsnap.workflows.undo.undo import plan_undo, undo
from support.repositories.made import in_child
from support.restoring.clients import LABEL, commit_database, restore_now, server_of
from support.servers.databases import Database

READ_ONLY = RestoreOptions(read_only=True)
SETTING = "default_transaction_read_only"


@pytest.fixture
def shop(database: Database) -> Database:
    database.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    return database


def settings(database: Database, name: str) -> str:
    return database.cluster.psql(
        "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase"
        f" WHERE datname = '{name}' AND setrole = 0"
    )


def can_write(database: Database) -> bool:
    with psycopg.connect(database.dsn) as connection:
        try:
            connection.execute("INSERT INTO t VALUES (9)")
        except psycopg.errors.ReadOnlySqlTransaction:
            return False
        connection.rollback()
    return True


class Looks:
    """Progress that looks at the live database as each phase begins."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.writable: dict[str, bool] = {}

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        self.writable[name] = can_write(self._database)

    def advance(self, plain_bytes: int, detail: str = "") -> None:
        pass

    def say(self, line: str) -> None:
        pass


def planned(repo: Repository, shop: Database, snapshot: SnapshotId) -> RestorePlan:
    return plan_restore(repo, snapshot, server_of(shop), READ_ONLY)


@pytest.mark.parametrize("before", ["", f"{{work_mem=7MB,{SETTING}=off,search_path=public}}"])
def test_new_sessions_can_only_read_until_the_swap_and_nothing_of_it_is_left(
    repo: Repository, shop: Database, before: str
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    if before:
        for name, value in (("work_mem", "7MB"), (SETTING, "off"), ("search_path", "public")):
            shop.psql(f"ALTER DATABASE \"{shop.name}\" SET {name} TO '{value}'")
        assert settings(shop, shop.name) == before
    plan = planned(repo, shop, snapshot)
    assert can_write(shop), "the plan alone changes nothing"
    safety = safety_commit(
        repo,
        server,
        label=LABEL,
        database=shop.name,
        verb="restore",
        lock_wait_timeout_seconds=60,
        read_only=plan.read_only,
    )
    looks = Looks(shop)
    with psycopg.connect(shop.dsn, autocommit=True) as old:
        seen = []

        def safety_and_write() -> SnapshotId:
            old.execute("INSERT INTO t VALUES (2)")
            seen.append(safety())
            return seen[0]

        report = restore(repo, plan, server, safety=safety_and_write, progress=looks)
    until_the_swap = (
        "safety snapshot", "look again", "create", "load", "analyze", "count", "swap"
    )  # fmt: skip
    assert looks.writable == {**dict.fromkeys(until_the_swap, False), "finish": True}
    assert can_write(shop)
    assert report.kept is not None
    assert settings(shop, report.kept) == before
    assert settings(shop, shop.name) == ""
    # What the safety snapshot has of the settings is what was there before.
    properties = repo.snapshot(seen[0]).origin.properties
    assert properties is not None
    shown = {setting.name: setting.value for setting in properties.settings}
    assert shown.get(SETTING) == ("off" if before else None)
    undo(repo, plan_undo(repo, server, LABEL), server)
    assert can_write(shop) or before
    assert settings(shop, shop.name) == before


@pytest.mark.parametrize("reason", [KeyboardInterrupt, RestoreFailed])
def test_a_restore_that_does_not_succeed_takes_it_back(
    repo: Repository, shop: Database, reason: type[BaseException]
) -> None:
    snapshot = commit_database(repo, server_of(shop))
    plan = planned(repo, shop, snapshot)

    def stop() -> SnapshotId:
        assert not can_write(shop)
        raise reason("stopped")

    with pytest.raises(reason):
        restore(repo, plan, server_of(shop), safety=stop)
    assert can_write(shop)
    assert settings(shop, shop.name) == ""


def test_a_kill_leaves_it_and_the_next_plan_says_how_to_take_it_back(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    restore_now(repo, snapshot, server)

    def killed() -> None:
        options = RestoreOptions(read_only=True, discard_old=True)
        with Repository.open(repo.path) as mine:
            plan = plan_restore(mine, snapshot, server_of(shop), options)
            restore(mine, plan, server_of(shop), safety=lambda: os._exit(9))

    assert in_child(killed) == 9
    assert not can_write(shop)
    command = f'ALTER DATABASE "{shop.name}" RESET {SETTING};'
    for warnings in (
        planned(repo, shop, snapshot).warnings,
        plan_undo(repo, server, LABEL).warnings,
    ):
        assert [text for text in warnings if text.endswith(command)]
    # One that was so before is left so.
    assert planned(repo, shop, snapshot).read_only is None
    shop.cluster.psql(command)
    assert can_write(shop)
    assert not any(SETTING in text for text in planned(repo, shop, snapshot).warnings)


def test_a_setting_that_changed_after_the_plan_is_not_overwritten(
    repo: Repository, shop: Database
) -> None:
    snapshot = commit_database(repo, server_of(shop))
    plan = planned(repo, shop, snapshot)
    shop.psql(f'ALTER DATABASE "{shop.name}" SET {SETTING} TO off')
    with pytest.raises(RestoreFailed, match="settings"):
        restore(repo, plan, server_of(shop))
    assert settings(shop, shop.name) == f"{{{SETTING}=off}}"


def test_it_is_refused_where_nothing_is_replaced(repo: Repository, shop: Database) -> None:
    snapshot = commit_database(repo, server_of(shop))
    options = RestoreOptions(to=f"{shop.name}_new", read_only=True)
    with pytest.raises(UsageError, match="--read-only"):
        plan_restore(repo, snapshot, server_of(shop), options)
