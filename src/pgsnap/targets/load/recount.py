"""Recounts a database's rows at the end of a load and compares them with what went in.

Statements after the rows may change them: a materialized view is filled by running its query, an
index by evaluating its expressions, and their functions may do anything. So every table is counted
when nothing is left to run, and every sequence is checked: those that moved are reset.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

from pgsnap.errors import QueryFailed, RestoreFailed
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.targets.load.feeder import Expected
from pgsnap.targets.load.hashed_rows import chosen_anew
from pgsnap.words import plural, some

Table: TypeAlias = "tuple[str, str]"
"""Schema and name."""

SequenceValue: TypeAlias = "tuple[int, bool]"
"""A sequence's last value, and is_called."""

_BATCH = 200
_BATCH_ROWS = 1_000_000
_NO_RIGHT = "42501"
_OF_NO_EXTENSION = (
    "NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' AND d.objid = c.oid"
    " AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)"
)


def check_rows(
    session: Session,
    expected: Callable[[], Iterable[Expected]],
    routed: Collection[Table] = (),
) -> tuple[str, ...]:
    """Count every table in *expected*, which is called twice, in the database of *session*. The
    rows of partitions of the tables *routed* may be in others of these.

    Returns what could not be counted, as warnings. Raises RestoreFailed if a table has more or
    fewer rows than it was given.
    """
    # A policy would hide rows; with this, one that applies to us is an error.
    session.execute("SET row_security = off")
    wrong: list[str] = []
    uncounted: list[str] = []
    for batch in _batches(_groups(session, expected, routed)):
        counts = _counts(session, [table for tables, _ in batch for table in tables])
        for tables, want in batch:
            found = [counts[table] for table in tables]
            got = sum(count for count in found if count is not None)
            if None in found:
                uncounted.append(_shown(tables[0]))
            elif got != want:
                wrong.append(f"{_shown(tables[0])} has {plural(got, 'row')} instead of {want:,}")
    if wrong:
        raise RestoreFailed(
            f"rows changed while the rest of the snapshot was loaded: {some(wrong)}",
            detail="They went in as they are in the snapshot. What changed them is a function that"
            " a later definition runs: the query of a materialized view, an index, a constraint.",
            hint="In the source database let that function write nothing, then commit again. To"
            " load this snapshot as it is: snap cat REV | psql NEW",
        )
    if uncounted:
        return (f"not counted once more, for want of the right to read: {some(uncounted)}",)
    return ()


def set_back_sequences(session: Session, values: Mapping[str, SequenceValue]) -> tuple[str, ...]:
    """Reset every sequence that is not at its value in *values*, whose names are as the dump writes
    them. Returns what was done, and what could not be read, as warnings."""
    moved: list[str] = []
    stuck: list[str] = []
    unseen: list[str] = []
    names = iter(values)
    while batch := list(islice(names, _BATCH)):
        rows = session.query(
            "SELECT v.name, n.nspname, c.relname FROM (VALUES "
            + ", ".join(f"({literal(name)})" for name in batch)
            + ") v(name) JOIN pg_catalog.pg_class c ON c.relkind = 'S'"
            " AND c.oid = pg_catalog.to_regclass(v.name)"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        )
        tables = {name or "": (schema or "", own or "") for name, schema, own in rows}
        found, hidden = _where_they_stand(session, tables)
        unseen += hidden
        for name, value in found.items():
            if value == values[name]:
                continue
            last, called = values[name]
            change = f"{name} (from {last} to {value[0]})"
            try:
                session.query(f"SELECT pg_catalog.setval({literal(name)}, {last}, {called})")
            except QueryFailed as error:
                if error.sqlstate != _NO_RIGHT:
                    raise
                stuck.append(change)
            else:
                moved.append(change)
    warnings = []
    if stuck:
        warnings.append(
            "moved while definitions were loaded, and not set back, for want of the right to:"
            f" {some(stuck)}"
        )
    if moved:
        warnings.append(f"moved while definitions were loaded, and set back: {some(moved)}")
    if unseen:
        warnings.append(f"not looked at once more, for want of the right to read: {some(unseen)}")
    return tuple(warnings)


def _groups(
    session: Session, expected: Callable[[], Iterable[Expected]], routed: Collection[Table]
) -> Iterator[tuple[Sequence[Table], int]]:
    """Yield tables to count together, and the rows that they should have.

    Rows inserted through a partitioned table may be in any of its partitions. An extension's tables
    may have rows of its own, and a foreign table's are on another server. Most tables are not kept
    in memory: there may be hundreds of thousands.
    """
    partitioned = _partitioned(session)
    through = {*chosen_anew(session).values(), *routed}
    in_parts: set[Table] = set()
    for each in expected():
        table = each.section.schema, each.section.name
        if table in partitioned:
            through.add(partitioned[table])
        if each.section.part:
            in_parts.add(table)
    leaves = {root: _leaves(session, root) for root in through}
    roots = {leaf: root for root, below in leaves.items() for leaf in below}
    by_tree: dict[Table, int] = defaultdict(int)
    sums: dict[Table, int] = dict.fromkeys(in_parts, 0)

    def alone() -> Iterator[tuple[Table, int]]:
        for each in expected():
            table = each.section.schema, each.section.name
            root = roots.get(table) or partitioned.get(table)
            if root is not None:
                by_tree[root] += each.rows
            elif table in sums:
                sums[table] += each.rows
            else:
                yield table, each.rows
        yield from sums.items()

    counts = alone()
    while batch := dict(islice(counts, _BATCH)):
        for table in _plain(session, list(batch)):
            yield [table], batch[table]
    for root, count in by_tree.items():
        if leaves[root]:
            yield leaves[root], count


def _partitioned(session: Session) -> dict[Table, Table]:
    """Return the partitioned tables, each with its topmost ancestor."""
    rows = session.query(
        "SELECT n.nspname, c.relname, rn.nspname, r.relname FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_catalog.pg_class r ON r.oid = pg_catalog.pg_partition_root(c.oid)"
        " JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace"
        f" WHERE c.relkind = 'p' AND {_OF_NO_EXTENSION}"
    )
    return {(s or "", name or ""): (rs or "", root or "") for s, name, rs, root in rows}


def _leaves(session: Session, root: Table) -> list[Table]:
    """Return the tables below the partitioned table *root* that hold its rows."""
    name = literal(f"{ident(root[0])}.{ident(root[1])}")
    rows = session.query(
        "SELECT n.nspname, c.relname"
        f" FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass({name})) leaf"
        " JOIN pg_catalog.pg_class c ON c.oid = leaf.relid"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE c.relkind = 'r' AND {_OF_NO_EXTENSION}"
    )
    return [(schema or "", leaf or "") for schema, leaf in rows]


def _plain(session: Session, tables: Sequence[Table]) -> list[Table]:
    """Return those of *tables* that hold their rows themselves."""
    rows = session.query(
        "SELECT n.nspname, c.relname FROM (VALUES "
        + ", ".join(f"({literal(schema)}::name, {literal(name)}::name)" for schema, name in tables)
        + ") v(schema, name) JOIN pg_catalog.pg_namespace n ON n.nspname = v.schema"
        " JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = v.name"
        f" WHERE c.relkind = 'r' AND {_OF_NO_EXTENSION}"
    )
    return [(schema or "", name or "") for schema, name in rows]


def _batches(
    groups: Iterable[tuple[Sequence[Table], int]],
) -> Iterator[list[tuple[Sequence[Table], int]]]:
    """Yield *groups* in batches to count at once: many small ones, or a few large."""
    batch: list[tuple[Sequence[Table], int]] = []
    tables = rows = 0
    for group in groups:
        if batch and (tables + len(group[0]) > _BATCH or rows + group[1] > _BATCH_ROWS):
            yield batch
            batch, tables, rows = [], 0, 0
        batch.append(group)
        tables += len(group[0])
        rows += group[1]
    if batch:
        yield batch


def _counts(session: Session, tables: Sequence[Table]) -> dict[Table, int | None]:
    """Return the row count of each of *tables*, None if we may not read it."""
    found: dict[Table, int | None] = {}
    for start in range(0, len(tables), _BATCH):
        found |= _counts_at_once(session, tables[start : start + _BATCH])
    return found


def _counts_at_once(session: Session, tables: Sequence[Table]) -> dict[Table, int | None]:
    asked = [
        f"SELECT {number}, pg_catalog.count(*) FROM ONLY {ident(schema)}.{ident(name)}"
        for number, (schema, name) in enumerate(tables)
    ]
    try:
        rows = session.query(" UNION ALL ".join(asked))
    except QueryFailed as error:
        if error.sqlstate != _NO_RIGHT:
            raise
        if len(tables) == 1:
            return {tables[0]: None}
        # The error does not name the table in every language, so bisect.
        middle = len(tables) // 2
        return _counts_at_once(session, tables[:middle]) | _counts_at_once(session, tables[middle:])
    return {tables[int(number or 0)]: int(count or 0) for number, count in rows}


def _where_they_stand(
    session: Session, tables: Mapping[str, Table]
) -> tuple[dict[str, SequenceValue], list[str]]:
    """Return the values of these sequences, and those that we may not read."""
    if not tables:
        return {}, []
    asked = [
        f"SELECT {literal(name)}, last_value, is_called FROM {ident(schema)}.{ident(own)}"
        for name, (schema, own) in tables.items()
    ]
    try:
        rows = session.query(" UNION ALL ".join(asked))
    except QueryFailed as error:
        if error.sqlstate != _NO_RIGHT:
            raise
        if len(tables) == 1:
            return {}, list(tables)
        found: dict[str, SequenceValue] = {}
        hidden: list[str] = []
        for name, table in tables.items():
            value, unseen = _where_they_stand(session, {name: table})
            found |= value
            hidden += unseen
        return found, hidden
    return {name or "": (int(last or 0), called == "t") for name, last, called in rows}, []


def _shown(table: Table) -> str:
    return f"{table[0]}.{table[1]}"
