"""Which table of an older snapshot is the same as one of a newer snapshot, where the name is gone
and no OIDs say it: by its columns, by names that a renamed table keeps, and by its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import TypeAlias

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.limits import MIB
from pgsnap.repository.chunks.stream import chunks_of
from pgsnap.values import dataclass
from pgsnap.workflows.past.tables import PastTable, SnapshotTables

# How much of a table another must have to be taken for the same under another name.
_ALIKE_MIN = 0.6
# Columns that are called the same and have other types count for so much of a column.
_SAME_NAME = 0.9
# So many rows must be the same, and this share of those that are compared: counters and lists of
# states are alike in many tables.
_ROWS_MIN, _ROWS_SHARE = 5, 0.5
_COMPARED_BYTES = MIB
# Rows are compared with those of so many tables, the ones of the most similar size.
_COMPARED_TABLES = 20

_Scores: TypeAlias = "dict[TableName, float]"


@dataclass(frozen=True, slots=True)
class Alike:
    """The tables that may be the same, the likeliest alone where one is; *evidence* is what says
    so."""

    tables: tuple[TableName, ...] = ()
    evidence: str = "columns"


def alike(tables: SnapshotTables, newer: PastTable) -> Alike:
    """Return which of the tables that are gone since is *newer* under another name."""
    now, then = newer.tables.definitions, tables.definitions
    gone = sorted(then.tables - now.tables)
    by_shape = {one: _shape(tables, one, newer) for one in gone}
    # Indexes and sequences keep their names when their table gets another one.
    kept = now.kept_names(newer.name)
    by_names = {one: by_shape[one] + 1 for one in gone if kept & then.kept_names(one)}
    found = _best(by_shape | by_names)
    if len(found) == 1:
        return Alike(found, "indexes or sequences" if found[0] in by_names else "columns")
    by_rows = _by_rows(tables, found or gone, newer)
    return Alike(tuple(by_rows), "rows") if len(by_rows) == 1 else Alike(found)


def _shape(tables: SnapshotTables, one: TableName, newer: PastTable) -> float:
    """Return how alike the columns of two tables are."""
    then = tables.definitions.columns(one)
    now = newer.tables.definitions.columns(newer.name)
    names = [column.name for column in then], [column.name for column in now]
    score = max(_ratio(then, now), _SAME_NAME * _ratio(*names))
    # That it was moved to another schema is likelier than another name.
    return score + 0.01 * (one[1] == newer.name[1])


def _ratio(then: Sequence[object], now: Sequence[object]) -> float:
    return SequenceMatcher(None, then, now, autojunk=False).ratio()


def _best(scores: Mapping[TableName, float]) -> tuple[TableName, ...]:
    best = max(scores.values(), default=0.0)
    if best < _ALIKE_MIN:
        return ()
    return tuple(one for one, score in scores.items() if score == best)


def _by_rows(
    tables: SnapshotTables, names: Sequence[TableName], newer: PastTable
) -> list[TableName]:
    """Return those of the tables *names* whose first rows are for the most part those of *newer*:
    columns that got other names leave the rows as they are."""
    columns = len(newer.column_names)
    found: list[tuple[int, TableName]] = []
    for one in names:
        table = tables.table(one)
        if len(table.column_names) == columns and table.rows and newer.rows:
            found.append((abs(table.rows - newer.rows), one))
    if not found:
        return []
    rows = _first_rows(newer)
    same = []
    for _, one in sorted(found)[:_COMPARED_TABLES]:
        there = _first_rows(tables.table(one))
        shared = len(rows & there)
        if shared >= _ROWS_MIN and shared >= _ROWS_SHARE * min(len(rows), len(there)):
            same.append(one)
    return same


def _first_rows(table: PastTable) -> frozenset[bytes]:
    """Return the first rows of a table; none where they cannot be read."""
    reader, text = table.repo.chunks, b""
    try:
        for part in table.parts:
            own = b""
            for entry in chunks_of(reader, part.section):
                own += reader.read(entry.chunk, entry.plain_bytes)
                if len(text) + len(own) > _COMPARED_BYTES:
                    break
            text += own[part.section.head_bytes :]
            if len(text) > _COMPARED_BYTES:
                break
    except (CorruptionError, ObjectNotFound):
        return frozenset()
    lines = text[: text.rfind(b"\n") + 1].splitlines()
    return frozenset(lines) - {b"\\.", b""}
