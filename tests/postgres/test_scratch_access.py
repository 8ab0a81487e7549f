"""While a restore fills its scratch database, nobody else may connect to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.targets.naming import application_name
from pgsnap.targets.swap import scratch
from pgsnap.targets.swap.scratch import create_scratch
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from pgsnap.workflows.restore.restore import restore
from support.restoring.clients import (
    commit_database,
    commit_file,
    databases_like,
    server_of,
)
from support.servers.databases import Database

NOBODY = "scratch_nobody"
MEMBER = "scratch_member"
OWNER = "scratch_owner"


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    database.cluster.psql(
        f"CREATE ROLE {NOBODY} LOGIN; CREATE ROLE {OWNER}; CREATE ROLE {MEMBER} LOGIN CREATEDB;"
        f'GRANT {OWNER} TO {MEMBER}; ALTER DATABASE "{database.name}" OWNER TO {OWNER}'
    )
    database.psql(f"SET ROLE {OWNER}; CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 1 AS a")
    yield database
    for name in (database.name, *databases_like(database, f"{database.name}\\_\\_snap%")):
        database.cluster.drop_database(name)
    database.cluster.psql(f"DROP ROLE {NOBODY}; DROP ROLE {MEMBER}; DROP ROLE {OWNER}")


class Intruder:
    """Progress that tries to get into the scratch database as each phase begins."""

    def __init__(self, shop: Database) -> None:
        self._shop = shop
        self.refused: list[str] = []

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        for found in databases_like(self._shop, f"{self._shop.name}\\_\\_snap\\_%"):
            if "kept" not in found:
                dsn = self._shop.cluster.dsn(found, user=NOBODY)
                with pytest.raises(psycopg.OperationalError, match="permission denied"):
                    psycopg.connect(dsn).close()
                self.refused.append(name)

    def advance(self, plain_bytes: int, detail: str = "") -> None:
        pass

    def say(self, line: str) -> None:
        pass


def connects(shop: Database, user: str) -> bool:
    try:
        psycopg.connect(shop.cluster.dsn(shop.name, user=user)).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize("acl", ["default", "closed"])
@pytest.mark.parametrize("user", [None, MEMBER])
def test_nobody_else_gets_into_a_database_that_is_being_filled(
    repo: Repository, shop: Database, acl: str, user: str | None
) -> None:
    if acl == "closed":
        shop.psql(f'REVOKE CONNECT ON DATABASE "{shop.name}" FROM PUBLIC')
    server = server_of(shop, user=user)
    first = repo.snapshot(snapshot := commit_database(repo, server))
    intruder = Intruder(shop)
    plan = plan_restore(repo, snapshot, server, RestoreOptions())
    report = restore(repo, plan, server, progress=intruder)
    assert intruder.refused == ["load", "analyze", "count", "swap"]
    assert report.warnings == ()
    assert connects(shop, NOBODY) is (acl == "default")
    assert connects(shop, MEMBER)
    # And it counts as what it was: the next snapshot has the same privileges.
    again = repo.snapshot(commit_database(repo, server))
    assert first.origin.properties is not None
    assert again.origin.properties is not None
    assert again.origin.properties.acl == first.origin.properties.acl


def test_nobody_slips_in_between_its_making_and_its_closing(
    repo: Repository, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(shop, user=MEMBER)
    snapshot = commit_database(repo, server)
    refused = []

    def look_in(session: Session, owner: str) -> bool:
        for name in databases_like(shop, f"{shop.name}\\_\\_snap\\_%"):
            with pytest.raises(psycopg.OperationalError) as caught:
                psycopg.connect(shop.cluster.dsn(name, user=NOBODY)).close()
            refused.append(str(caught.value))
        return keeps_access(session, owner)

    keeps_access = scratch.keeps_access
    monkeypatch.setattr(scratch, "keeps_access", look_in)
    restore(repo, plan_restore(repo, snapshot, server, RestoreOptions()), server)
    assert len(refused) == 1
    limit = f"SELECT datconnlimit FROM pg_database WHERE datname = '{shop.name}'"
    assert shop.psql(limit) == "-1"


def test_a_new_database_of_which_nothing_is_known_is_open_as_any_other(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    text = shop.dump("--no-owner").decode()
    snapshot = commit_file(repo, tmp_path / "shop.sql", text)
    options = RestoreOptions(to=f"{shop.name}__snap_new")
    server = server_of(shop)
    restore(repo, plan_restore(repo, snapshot, server, options), server)
    assert connects(Database(shop.cluster, f"{shop.name}__snap_new"), NOBODY)


def test_a_member_without_inheritance_does_not_lock_itself_out(
    repo: Repository, shop: Database
) -> None:
    shop.psql(f"ALTER ROLE {MEMBER} NOINHERIT; REVOKE {OWNER} FROM {MEMBER};"
              f"GRANT {OWNER} TO {MEMBER}")  # fmt: skip
    properties = repo.snapshot(commit_database(repo, server_of(shop))).origin.properties
    server = server_of(shop, user=MEMBER)
    with server.connect("postgres", application_name("0123456789")) as session:
        made = create_scratch(session, shop.name, "0123456789", properties, snapshot="")
        server.connect(made.name).close()
