"""Compares the tables of two versions, and resolves their names."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from pgsnap.errors import UsageError
from pgsnap.model import Section, SectionKind, quote_ident, same_text
from pgsnap.words import some
from pgsnap.workflows.diff import definitions as diff_schema
from pgsnap.workflows.diff.digests import same_texts
from pgsnap.workflows.diff.report import EntryDiff, TableDiff, TableName, Version
from pgsnap.workflows.diff.rows import RowRules

if TYPE_CHECKING:
    from pgsnap.rows.difference import Counts

_NEAREST = 3


def differing_tables(before: Version, after: Version) -> Iterator[TableName]:
    """Yield the tables whose rows are other bytes, in the order of the first side."""
    touched = _touched(before, after)
    old, new = before.some_tables(touched), after.some_tables(touched)
    for table in [*old, *(name for name in new if name not in old)]:
        if not same_texts(old.get(table, []), new.get(table, [])):
            yield table


def _touched(before: Version, after: Version) -> set[TableName]:
    """Return the tables with a section that the other side does not have, or not the same."""
    return {
        (name.schema, name.name)
        for one, other in ((before.sections, after.sections), (after.sections, before.sections))
        for name, section in one.items()
        if name.kind is SectionKind.DATA
        and ((there := other.get(name)) is None or not same_text(there, section))
    }


def table_diffs(
    before: Version,
    after: Version,
    counted: dict[TableName, Counts],
    rules: RowRules,
    entries: list[EntryDiff],
) -> tuple[list[TableDiff], int]:
    """Return the tables that differ in any way, most changed rows first, and how many do not."""
    redefined = {entry.table for entry in entries if entry.table is not None}
    bytes_differ = set(differing_tables(before, after))
    old, new = (side.some_tables(bytes_differ | redefined) for side in (before, after))
    found = [
        _table(table, old.get(table, []), new.get(table, []), counted, rules, table in redefined)
        for table in dict.fromkeys([*old, *new])
    ]
    found.sort(key=_weight, reverse=True)
    tables = sum(
        name.kind is SectionKind.DATA and not name.part
        for name in chain(before.sections, (n for n in after.sections if n not in before.sections))
    )
    return found, tables - len(found)


def _weight(table: TableDiff) -> tuple[int, int]:
    rows = (table.removed or 0) + (table.added or 0) + (table.changed or 0)
    return rows, abs(table.bytes_after - table.bytes_before)


def _table(
    table: TableName,
    old: list[Section],
    new: list[Section],
    counted: dict[TableName, Counts],
    rules: RowRules,
    redefined: bool,
) -> TableDiff:
    rows_before, rows_after = _rows(old), _rows(new)
    removed: int | None
    added: int | None
    changed: int | None
    counts = counted.get(table)
    if counts is not None:
        removed, added, changed = counts.removed, counts.added, counts.changed
    elif same_texts(old, new):
        removed = added = changed = 0
    elif not old or not new:
        removed, added, changed = rows_before, rows_after, 0
    else:
        removed = added = changed = None
    return TableDiff(
        table=table,
        in_before=bool(old),
        in_after=bool(new),
        bytes_before=sum(s.plain_bytes for s in old),
        bytes_after=sum(s.plain_bytes for s in new),
        rows_before=rows_before,
        rows_after=rows_after,
        removed=removed,
        added=added,
        changed=changed,
        key=rules.key(table),
        schema_changed=redefined or bool(old) != bool(new),
    )


def _rows(sections: list[Section]) -> int | None:
    counts = [section.rows for section in sections]
    return None if None in counts else sum(count or 0 for count in counts)


def names_of(table: TableName) -> tuple[str, ...]:
    """Return the names by which the command line may refer to a table."""
    schema, name = table
    return (
        f"{schema}.{name}",
        f"{quote_ident(schema)}.{quote_ident(name)}",
        name,
        quote_ident(name),
    )


def table_named(name: str, before: Version, after: Version) -> TableName:
    """Return the table that *name* refers to. Raises UsageError."""
    tables = list(
        dict.fromkeys(
            (section.schema, section.name)
            for section in chain(before.sections, after.sections)
            if section.kind is SectionKind.DATA
        )
    )
    for exactly in (slice(0, 2), slice(2, 4)):
        found = [table for table in tables if name in names_of(table)[exactly]]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(names_of(table)[1] for table in found[:_NEAREST])
            raise UsageError(
                f'more than one table is named "{name}"',
                detail=f"There are {names}.",
                hint="Name it with its schema: --table SCHEMA.TABLE",
            )
    _refuse_partitioned(name, before, after)
    full = [names_of(table)[1] for table in tables]
    near = difflib.get_close_matches(name, full, _NEAREST, 0.5)
    near += [word for word in full if word.endswith(f".{name}") and word not in near]
    raise UsageError(
        f'neither side has a table "{name}"',
        detail=f"There are {', '.join(near)}." if near else f"There are {len(full)} others.",
        hint=f"Did you mean --table {near[0]}?" if near else "See the tables: snap show REV",
    )


def _refuse_partitioned(name: str, *sides: Version) -> None:
    """Raise UsageError if *name* refers to a table whose rows are in partitions."""
    for table, partitions in chain(*map(diff_schema.partitioned_tables, sides)):
        if name in names_of(table):
            found = [names_of(one)[1] for one in partitions]
            raise UsageError(
                f"the rows of {names_of(table)[1]} are in its partitions, which are compared one"
                " by one",
                detail=f"There are {some(found)}." if found else "There are none with rows.",
                hint=f"Name one of them: --table {found[0]}" if found else "",
            )
