"""Restore of what differs: foreign keys that do not hold afterwards are found."""

from __future__ import annotations

from functools import partial

import pytest

from pgsnap.errors import RestoreFailed
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.sources.postgres import PostgresSource
from pgsnap.targets.tables.foreign_keys import ForeignKey
from pgsnap.values import dataclass
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.restore_changed import key_checks
from pgsnap.workflows.restore_changed.plan import ChangedOptions, plan_changed
from pgsnap.workflows.restore_changed.restore import restore_changed
from support.restoring.clients import LABEL, server_of
from support.servers.databases import Database

_ROWS = "SELECT md5(string_agg(r, ',' ORDER BY r)) FROM (SELECT p::text FROM p UNION ALL SELECT"
_ROWS += " 'f' || f::text FROM f) x(r)"
_UNCHECKED = "SET session_replication_role = replica; "


@dataclass(frozen=True, slots=True)
class Case:
    """Two tables p and f, of which f refers to p. *orphan* makes a row that refers to nothing;
    *repaired* undoes it, in p or in f. A *change* breaks nothing. *as_a_whole*: the rows that are
    put back do not have all that matters."""

    tables: str
    orphan: str
    repaired: str
    change: str
    as_a_whole: bool = False


_PLAIN = (
    "CREATE TABLE p (a int PRIMARY KEY, t text);"
    "CREATE TABLE f (id int PRIMARY KEY, a int REFERENCES p ON DELETE CASCADE);"
    "INSERT INTO p SELECT i, 'x' FROM generate_series(1, 400) i;"
    "INSERT INTO f SELECT i, i FROM generate_series(1, 400) i;"
)
_CHANGE = (
    "DELETE FROM f WHERE id IN (7, 8); DELETE FROM p WHERE a = 7; INSERT INTO p VALUES (1000, 'n');"
    " INSERT INTO f VALUES (1000, 1000); UPDATE p SET t = 'y' WHERE a = 9;"
    " UPDATE f SET a = 10 WHERE id = 11"
)
_PAIRS = (
    "CREATE TABLE p (a int, b text, t text, PRIMARY KEY (a, b));"
    "CREATE TABLE f (id int PRIMARY KEY, a int, b text, FOREIGN KEY (a, b) REFERENCES p MATCH {});"
    "INSERT INTO p SELECT i, i, 'x' FROM generate_series(1, 400) i;"
    "INSERT INTO f SELECT i, i, i FROM generate_series(1, 400) i;"
    "INSERT INTO f VALUES (500, NULL, NULL), (501, NULL, NULL);"
)
_PAIRS_CHANGE = "UPDATE f SET a = NULL, b = NULL WHERE id = 3; DELETE FROM f WHERE id = 500;"
_PAIRS_CHANGE += " DELETE FROM p WHERE a = 3; INSERT INTO p VALUES (3, 'other', 'x')"
_PARTITIONED = (
    "CREATE TABLE p (a int PRIMARY KEY, t text) PARTITION BY RANGE (a);"
    "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (200);"
    "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (200) TO (9999);"
    "CREATE TABLE f (id int PRIMARY KEY, a int REFERENCES p) PARTITION BY RANGE (id);"
    "CREATE TABLE f1 PARTITION OF f FOR VALUES FROM (0) TO (200);"
    "CREATE TABLE f2 PARTITION OF f FOR VALUES FROM (200) TO (9999);"
    "INSERT INTO p SELECT i, 'x' FROM generate_series(1, 400) i;"
    "INSERT INTO f SELECT i, i FROM generate_series(1, 400) i;"
)
_CASES = {
    "a row that refers to nothing comes": Case(
        _PLAIN, "INSERT INTO f VALUES (500, 500)", "DELETE FROM f WHERE id = 500", _CHANGE
    ),
    "a row refers to nothing again": Case(
        _PLAIN, "UPDATE f SET a = 500 WHERE id = 5", "UPDATE f SET a = 5 WHERE id = 5", _CHANGE
    ),
    "a row that is referred to goes": Case(
        _PLAIN, "DELETE FROM p WHERE a = 5", "INSERT INTO p VALUES (5, 'new')", _CHANGE
    ),
    "the key of a row that is referred to changes": Case(
        _PLAIN, "UPDATE p SET a = 500 WHERE a = 5", "UPDATE p SET a = 5 WHERE a = 500", _CHANGE
    ),
    "a key that is checked at the end": Case(
        _PLAIN.replace("ON DELETE CASCADE", "DEFERRABLE INITIALLY DEFERRED"),
        "DELETE FROM p WHERE a = 5",
        "INSERT INTO p VALUES (5, 'new')",
        _CHANGE,
    ),
    "a key to other columns, with NULLs": Case(
        "CREATE TABLE p (a int PRIMARY KEY, t text, u text UNIQUE);"
        "CREATE TABLE f (id int PRIMARY KEY, a text REFERENCES p (u));"
        "INSERT INTO p SELECT i, 'x', CASE WHEN i < 390 THEN i END FROM generate_series(1, 400) i;"
        "INSERT INTO f SELECT i, i FROM generate_series(1, 389) i;",
        "DELETE FROM p WHERE u = '5'",
        "INSERT INTO p VALUES (900, 'new', '5')",
        "UPDATE p SET t = 'y' WHERE a > 395; DELETE FROM p WHERE a = 399;"
        " UPDATE f SET a = NULL WHERE id = 20",
    ),
    "pairs": Case(
        _PAIRS.format("SIMPLE") + "INSERT INTO f VALUES (502, 900, NULL);",
        "UPDATE p SET b = 'other' WHERE a = 5",
        "UPDATE p SET b = '5' WHERE a = 5",
        _PAIRS_CHANGE + "; UPDATE f SET a = 901 WHERE id = 502",
    ),
    "pairs, all of them or none": Case(
        _PAIRS.format("FULL"),
        "UPDATE f SET b = NULL WHERE id = 5",
        "UPDATE f SET b = '5' WHERE id = 5",
        _PAIRS_CHANGE,
    ),
    "a table and itself": Case(
        "CREATE TABLE p (a int PRIMARY KEY, up int REFERENCES p);"
        "CREATE TABLE f (id int PRIMARY KEY, a int);"
        "INSERT INTO p SELECT i, nullif(i / 2, 0) FROM generate_series(1, 400) i;",
        "DELETE FROM p WHERE a = 5",
        "INSERT INTO p VALUES (5, 2)",
        "DELETE FROM p WHERE a IN (398, 399, 199); INSERT INTO p VALUES (500, 500), (501, 500);"
        " UPDATE p SET up = 3 WHERE a = 300",
    ),
    "partitions, one that comes": Case(
        _PARTITIONED,
        "UPDATE f SET a = 500 WHERE id = 300",
        "UPDATE f SET a = 300 WHERE id = 300",
        _CHANGE,
    ),
    "partitions, one that goes": Case(
        _PARTITIONED, "DELETE FROM p WHERE a = 300", "INSERT INTO p VALUES (300, 'new')", _CHANGE
    ),
    "columns that are computed": Case(
        "CREATE TABLE p (a int PRIMARY KEY, t text);"
        "CREATE TABLE f (id int PRIMARY KEY, a int GENERATED ALWAYS AS (id + 1) STORED"
        " REFERENCES p);"
        "INSERT INTO p SELECT i, 'x' FROM generate_series(1, 400) i;"
        "INSERT INTO f SELECT i FROM generate_series(1, 300) i;",
        "INSERT INTO f VALUES (500)",
        "DELETE FROM f WHERE id = 500",
        "DELETE FROM f WHERE id IN (7, 8); UPDATE p SET t = 'y' WHERE a = 7",
        as_a_whole=True,
    ),
}


@pytest.fixture
def as_a_whole(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys that are checked as a whole after rows were put back."""
    names: list[str] = []
    real = key_checks.check_key

    def noted(key: ForeignKey) -> str:
        names.append(key.name)
        return real(key)

    monkeypatch.setattr(key_checks, "check_key", noted)
    return names


def record(repo: Repository, server: Server) -> SnapshotId:
    source = PostgresSource(server, jobs=2)
    return commit(repo, source, database=LABEL, message="test").snapshot_id


def put_back(repo: Repository, snapshot: SnapshotId, server: Server) -> None:
    recorded = partial(record, repo, server)
    plan = plan_changed(repo, snapshot, server, ChangedOptions(), lambda *_: recorded())
    report = restore_changed(repo, plan, server, safety=recorded, proof=recorded)
    assert not any(table.rewritten for table in report.tables)


@pytest.mark.parametrize("case", _CASES.values(), ids=_CASES)
def test_a_key_that_would_not_hold_any_more_is_found(
    repo: Repository, database: Database, as_a_whole: list[str], case: Case
) -> None:
    database.psql(case.tables)
    server = server_of(database)
    database.psql(_UNCHECKED + case.orphan)
    snapshot = record(repo, server)
    database.psql(_UNCHECKED + case.repaired)
    rows = database.psql(_ROWS)
    with pytest.raises(RestoreFailed, match=r"foreign key .* does not hold"):
        put_back(repo, snapshot, server)
    assert database.psql(_ROWS) == rows
    # It held before, and what was put back showed it.
    assert bool(as_a_whole) == case.as_a_whole


@pytest.mark.parametrize("case", _CASES.values(), ids=_CASES)
def test_rows_are_put_back_where_keys_hold(
    repo: Repository, database: Database, as_a_whole: list[str], case: Case
) -> None:
    database.psql(case.tables)
    server = server_of(database)
    snapshot, rows = record(repo, server), database.psql(_ROWS)
    database.psql(case.change)
    changed = database.psql(_ROWS)
    put_back(repo, snapshot, server)
    assert database.psql(_ROWS) == rows != changed
    assert bool(as_a_whole) == case.as_a_whole


@pytest.mark.parametrize("change", ["UPDATE f SET a = 9 WHERE id = 3", "DELETE FROM p WHERE a = 7"])
def test_a_row_that_referred_to_nothing_before_is_found_wherever_it_is(
    repo: Repository, database: Database, as_a_whole: list[str], change: str
) -> None:
    """What is put back has nothing to do with it, but the key is not one that held."""
    database.psql(_PLAIN + "DELETE FROM f WHERE a = 7")
    server = server_of(database)
    database.psql(_UNCHECKED + "INSERT INTO f VALUES (500, 500)")
    snapshot = record(repo, server)
    database.psql(change)
    rows = database.psql(_ROWS)
    with pytest.raises(RestoreFailed, match=r"foreign key .* does not hold"):
        put_back(repo, snapshot, server)
    assert database.psql(_ROWS) == rows
    assert as_a_whole == ["f_a_fkey"]


def test_a_key_that_cannot_be_looked_at_before_is_checked_as_a_whole(
    repo: Repository,
    database: Database,
    as_a_whole: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database.psql(_PLAIN)
    server = server_of(database)
    snapshot, rows = record(repo, server), database.psql(_ROWS)
    database.psql(_CHANGE)
    monkeypatch.setattr(key_checks, "_SETTINGS", key_checks._SETTINGS + "; SELECT 1 / 0")
    put_back(repo, snapshot, server)
    assert database.psql(_ROWS) == rows
    assert as_a_whole == ["f_a_fkey"]


def test_a_key_that_nobody_has_validated_may_not_hold(
    repo: Repository, database: Database, as_a_whole: list[str]
) -> None:
    database.psql(
        _PLAIN + "ALTER TABLE f DROP CONSTRAINT f_a_fkey; INSERT INTO f VALUES (500, 500);"
        " ALTER TABLE f ADD FOREIGN KEY (a) REFERENCES p NOT VALID"
    )
    server = server_of(database)
    snapshot, rows = record(repo, server), database.psql(_ROWS)
    database.psql("DELETE FROM f WHERE id = 500; UPDATE p SET t = 'y' WHERE a = 3")
    put_back(repo, snapshot, server)
    assert database.psql(_ROWS) == rows
    assert as_a_whole == []


def test_where_many_rows_differ_keys_are_checked_as_a_whole(
    repo: Repository, database: Database, as_a_whole: list[str]
) -> None:
    database.psql(
        _PLAIN + "INSERT INTO p SELECT i, 'x' FROM generate_series(401, 5000) i;"
        " INSERT INTO f SELECT i, i FROM generate_series(401, 5000) i"
    )
    server = server_of(database)
    snapshot, rows = record(repo, server), database.psql(_ROWS)
    database.psql("UPDATE f SET a = 1 WHERE id % 10 = 0")
    put_back(repo, snapshot, server)
    assert database.psql(_ROWS) == rows
    assert as_a_whole == ["f_a_fkey"]
