"""The history of a row is what SQL said at the moment of each snapshot, whatever became of its
table meanwhile."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.workflows.past.history import RowVersion, row_history, snapshots_until
from pgsnap.workflows.past.pages import value_of
from support.restoring.clients import commit_database, new_repository, server_of
from support.running.seeds import SEED
from support.servers.databases import Database

HISTORIES = int(os.environ.get("SNAP_EXAMPLES", "2"))
SNAPSHOTS = 6
KEYS = 40

Rows = list[dict[str, str | None]]


@dataclass
class Table:
    """The table under change: `oid` stays, its names do not."""

    database: Database
    oid: str
    chance: random.Random
    serial: int = 0
    name: str = ""
    key: str = ""
    columns: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.look()

    def look(self) -> None:
        """Learn how the table and its columns are called; the first column is the key."""
        found = self.database.psql(
            f"SELECT {self.oid}::regclass; SELECT attname FROM pg_attribute WHERE attnum > 0"
            f" AND attrelid = {self.oid} AND NOT attisdropped ORDER BY attnum"
        )
        self.name, *self.columns = found.splitlines()
        self.key = self.columns[0]

    def run(self, sql: str) -> None:
        self.database.psql(sql)
        self.look()

    def rows(self) -> dict[str, Rows]:
        """Return what SQL says, by the key."""
        found: dict[str, Rows] = {}
        for line in self.database.psql(f"COPY {self.name} TO STDOUT").splitlines():
            values = [None if value == r"\N" else value for value in line.split("\t")]
            found.setdefault(values[0] or "", []).append(
                dict(zip(self.columns, values, strict=True))
            )
        return found

    def new(self, stem: str) -> str:
        self.serial += 1
        return f"{stem}{self.serial}"


def _data(table: Table) -> None:
    name, key, chance = table.name, table.key, table.chance
    some = f"{key} IN ({', '.join(str(chance.randrange(KEYS)) for _ in range(8))})"
    # At the end everything moves.
    table.run(
        f"UPDATE {name} SET {chance.choice(['n = n + 1', 'n = NULL'])} WHERE {some};"
        f"DELETE FROM {name} WHERE {key} = {chance.randrange(KEYS)};"
        f"INSERT INTO {name} ({key}, n) SELECT i, i FROM generate_series(0, {KEYS}) i"
        f" WHERE i % 3 = {chance.randrange(3)} AND i NOT IN (SELECT {key} FROM {name});"
        f"UPDATE {name} SET n = n WHERE {key} % 2 = {chance.randrange(2)}"
    )


def _add_column(table: Table) -> None:
    default = table.chance.choice(["", " DEFAULT 5", " NOT NULL DEFAULT 6"])
    table.run(f"ALTER TABLE {table.name} ADD {table.new('c')} int{default}")


def _drop_column(table: Table) -> None:
    if len(table.columns) > 2:
        table.run(f"ALTER TABLE {table.name} DROP {table.chance.choice(table.columns[2:])}")


def _add_column_again(table: Table) -> None:
    if len(table.columns) > 3:
        name, column = table.name, table.columns[-2]
        table.run(f"ALTER TABLE {name} DROP {column}, ADD {column} int DEFAULT 7")


def _rename_column(table: Table) -> None:
    column = table.chance.choice([table.key, *table.columns[2:]])
    table.run(f"ALTER TABLE {table.name} RENAME {column} TO {table.new('r')}")


def _rename_table(table: Table) -> None:
    table.run(f"ALTER TABLE {table.name} RENAME TO {table.new('t')}")


def _retype(table: Table) -> None:
    column, kind = table.chance.choice([("n", "text"), (table.key, "bigint")])
    if column == "n":
        table.run(f"ALTER TABLE {table.name} ALTER n TYPE numeric USING n::numeric")
    else:
        table.run(f"ALTER TABLE {table.name} ALTER {column} TYPE {kind}")


def _change_key(table: Table) -> None:
    name, key = table.name, table.key
    constraint = table.database.psql(
        f"SELECT conname FROM pg_constraint WHERE conrelid = {table.oid} AND contype = 'p'"
    )
    if constraint:
        table.run(
            f"ALTER TABLE {name} DROP CONSTRAINT {constraint};"
            f"INSERT INTO {name} SELECT * FROM {name} WHERE {key} < 9"
        )
    else:
        table.run(f"CREATE TEMP TABLE x AS SELECT DISTINCT ON ({key}) * FROM {name};"
                  f"TRUNCATE {name}; INSERT INTO {name} SELECT * FROM x;"
                  f"ALTER TABLE {name} ADD PRIMARY KEY ({key})")  # fmt: skip


CHANGES: tuple[Callable[[Table], None], ...] = (
    *(_data, _data, _add_column, _drop_column, _rename_column, _rename_table, _retype),
    *(_change_key, _add_column_again),
)


@pytest.mark.parametrize("number", range(HISTORIES))
def test_the_history_of_a_row_is_what_sql_said(
    database: Database, tmp_path: Path, number: int
) -> None:
    chance = random.Random(SEED * 1000 + number)
    database.psql(
        "CREATE TABLE first (id int PRIMARY KEY, n int, words text);"
        f"INSERT INTO first SELECT i, i, repeat('w', i) FROM generate_series(1, {KEYS}) i;"
        "CREATE TABLE other (id int, n text); INSERT INTO other VALUES (1, 'x')"
    )
    table = Table(database, database.psql("SELECT 'first'::regclass::oid").strip(), chance)
    said: list[tuple[SnapshotId, dict[str, Rows]]] = []
    with new_repository(tmp_path / "repo") as repo:
        for _ in range(SNAPSHOTS):
            made = commit_database(repo, server_of(database))
            said.append((made, table.rows()))
            name, column = table.name, table.key
            for change in chance.sample(CHANGES, 2):
                change(table)
            _data(table)
        said.reverse()
        assert snapshots_until(repo, said[0][0]) == [one for one, _ in said]
        for key in range(0, KEYS, 5):
            _compare(repo, said, name, column, str(key))


def _compare(
    repo: Repository,
    said: list[tuple[SnapshotId, dict[str, Rows]]],
    name: str,
    column: str,
    key: str,
) -> None:
    snapshots = [one for one, _ in said]
    history, found = row_history(repo, snapshots, ("public", name), key, key_named=column)
    events = {event.snapshot_id: event for event in found}
    if history.ends:
        # Two changes of the key's column at once leave nothing that says that it is the same.
        assert "not followed further back" in history.ends
        assert history.oldest is not None
        said = said[: snapshots.index(history.oldest) + 1]
    assert _sorted(map(_values, history.present)) == _sorted(said[0][1].get(key, []))
    for (later, after), (_, before) in pairwise(said):
        event = events.pop(later, None)
        if event is None:
            assert _sorted(before.get(key, [])) == _sorted(after.get(key, []))
            continue
        assert (event.count_before, event.count_after) == (
            len(before.get(key, [])),
            len(after.get(key, [])),
        )
        for rows, versions in (
            (before.get(key, []), event.before),
            (after.get(key, []), event.after),
        ):
            assert all(_values(version) in rows for version in versions)
        assert (event.kind == "appeared") == (not before.get(key, []))
        assert (event.kind == "removed") == (not after.get(key, []))
        assert event.notes or _sorted(before.get(key, [])) != _sorted(after.get(key, []))
    first = events.pop(said[-1][0], None)
    assert _sorted(map(_values, first.after if first else ())) == _sorted(said[-1][1].get(key, []))
    assert not events


def _values(row: RowVersion) -> dict[str, str | None]:
    return {
        column: value_of(field, row.encoding).text
        for column, field in zip(row.columns, row.fields, strict=True)
    }


def _sorted(rows: Iterable[dict[str, str | None]]) -> list[str]:
    return sorted(map(repr, rows))
