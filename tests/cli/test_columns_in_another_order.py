"""A table that inherits can come back with its columns in another order: its rows are the same."""

from __future__ import annotations

import pytest

from support.running.commandline import CommandLine
from support.servers.databases import Database

# What the parent was given later stands behind the table's own column, and before it in a copy.
INHERITING = """
CREATE TABLE base (a int); CREATE TABLE heir (own int, also text) INHERITS (base);
ALTER TABLE base ADD COLUMN later int;
INSERT INTO heir SELECT g, g * 2, repeat(md5(g::text), 20), g * 3 FROM generate_series(1, 3000) g
"""


@pytest.mark.parametrize("key", ["", "ALTER TABLE heir ADD PRIMARY KEY (a)"])
def test_rows_with_columns_in_another_order_are_the_same(
    snap: CommandLine, database: Database, key: str
) -> None:
    database.psql(f"{INHERITING}; {key}")
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    snap.ok("commit", "-m", "one")
    drilled = snap.ok("drill", "--json").json
    contents = next(check for check in drilled["checks"] if check["name"] == "contents")
    assert contents["details"] == ["the rows of public.heir came back in another order"]
    snap.ok("restore", "latest", "--yes", "--no-safety-snapshot", "--discard-old")
    assert database.psql("SELECT * FROM heir WHERE a = 1").split("|")[1] == "3"
    # With the present state, and of two snapshots.
    assert _rows(snap, "latest") == {}
    snap.ok("commit", "-m", "two")
    assert _rows(snap, "latest~1", "latest") == {}


def test_rows_whose_bytes_are_the_same_in_another_order_of_columns_differ(
    snap: CommandLine, database: Database
) -> None:
    database.psql(INHERITING)
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    snap.ok("commit", "-m", "one")
    # The columns are (a, own, also, later) now, and (a, later, own, also) then: as text, so that
    # each row has the bytes that it had, with other values.
    database.psql("ALTER TABLE heir ALTER own TYPE text; ALTER TABLE base ALTER later TYPE text")
    snap.ok("commit", "-m", "text")
    snap.ok("restore", "latest", "--yes", "--no-safety-snapshot", "--discard-old")
    database.psql("UPDATE heir SET later = own, own = also, also = later")
    snap.ok("commit", "-m", "turned")
    assert _rows(snap, "latest~1", "latest") == {"heir": (3000, 3000)}
    shown = snap.ok("diff", "latest~1", "latest", "--table", "heir", "--rows", "--limit", "0").out
    # What is shown stands under the names of the columns.
    lines = [line for line in shown.splitlines() if line.startswith("+ a=1, ")]
    assert [line.partition("also=")[2] for line in lines] == ["3, later=2"], lines


def _rows(snap: CommandLine, *sides: str) -> dict[str, tuple[int, int]]:
    """Return how many rows of each table were removed and added."""
    tables = snap.ok("diff", *sides, "--json").json["tables"]
    return {
        one["table"]: (one["removed"], one["added"])
        for one in tables
        if one["removed"] or one["added"] or one["changed"]
    }
