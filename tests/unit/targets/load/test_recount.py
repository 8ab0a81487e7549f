"""Every table is counted once more, however many there are and however its rows went in."""

from __future__ import annotations

import pytest

from pgsnap.errors import RestoreFailed
from pgsnap.model import SectionKind, SectionName
from pgsnap.targets.load.feeder import Expected
from pgsnap.targets.load.recount import check_rows
from support.restoring.clients import server_of
from support.servers.databases import Database

# More than are looked up at once.
TABLES = 450
LONG = 'a "name" of Umlaut ä and 63 bytes, longer than which none can be.'[:62]


def rows(table: str, count: int, part: int = 0) -> Expected:
    return Expected(SectionName(SectionKind.DATA, "public", table, part), count)


def counted(database: Database, *expected: Expected) -> tuple[str, ...]:
    with server_of(database).connect() as session:
        return check_rows(session, lambda: expected)


def test_of_very_many_tables_each_is_counted(database: Database) -> None:
    database.psql(
        f"SELECT format('CREATE TABLE t%s AS SELECT 1 FROM generate_series(1, %s)', i, i % 3)"
        f" FROM generate_series(1, {TABLES}) i \\gexec\nINSERT INTO t433 VALUES (7)"
    )
    expected = [rows(f"t{number}", number % 3) for number in range(1, TABLES + 1)]
    with pytest.raises(RestoreFailed) as caught:
        counted(database, *expected)
    assert caught.value.message.endswith(": public.t433 has 2 rows instead of 1")
    expected[432] = rows("t433", 2)
    assert counted(database, *expected) == ()


def test_a_name_of_any_letters_is_found(database: Database) -> None:
    database.psql(f"CREATE TABLE {quoted(LONG)} AS SELECT 1")
    assert counted(database, rows(LONG, 1)) == ()
    with pytest.raises(RestoreFailed, match="has 1 row instead of 2"):
        counted(database, rows(LONG, 2))


def test_rows_that_came_in_parts_are_counted_together(database: Database) -> None:
    database.psql("CREATE TABLE t AS SELECT generate_series(1, 5); CREATE TABLE u ()")
    assert counted(database, rows("t", 2), rows("u", 0), rows("t", 3, part=1)) == ()
    with pytest.raises(RestoreFailed, match="t has 5 rows instead of 6"):
        counted(database, rows("t", 2), rows("u", 0), rows("t", 4, part=1))


def test_rows_that_went_in_through_a_partitioned_table_may_be_in_any_part(
    database: Database,
) -> None:
    database.psql(
        "CREATE TABLE p (id int) PARTITION BY RANGE (id);"
        "CREATE TABLE low PARTITION OF p FOR VALUES FROM (0) TO (10);"
        "CREATE TABLE high PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY LIST (id);"
        "CREATE TABLE higher PARTITION OF high DEFAULT;"
        "INSERT INTO p VALUES (1), (11), (12)"
    )
    # Each by itself, as pg_dump writes them.
    assert counted(database, rows("low", 1), rows("higher", 2)) == ()
    with pytest.raises(RestoreFailed, match="low has 1 row instead of 2"):
        counted(database, rows("low", 2), rows("higher", 1))
    # By way of the topmost, or of one between.
    assert counted(database, rows("p", 2), rows("low", 1)) == ()
    assert counted(database, rows("high", 2), rows("low", 1)) == ()
    with pytest.raises(RestoreFailed, match="has 3 rows instead of 4"):
        counted(database, rows("p", 1), rows("p", 3, part=1))


def test_what_is_no_table_of_ours_is_not_counted(database: Database) -> None:
    database.psql("CREATE VIEW v AS SELECT 1; CREATE TABLE t ()")
    assert counted(database, rows("v", 9), rows("gone", 9), rows("t", 0)) == ()


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
