"""The table hierarchy in a dump: partitions and inheritance children of tables. pg_dump writes each
of them as a separate table with its own rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pgsnap.dump.definitions.table_parts import Definitions, TableName, attached, qualified_names
from pgsnap.patterns import regex

_INHERITS = regex(r"^INHERITS \((.*)\)", re.M)


def partitions_below(
    definitions: Definitions, tables: Iterable[TableName]
) -> dict[TableName, TableName | None]:
    """Return *tables* and their partitions, at all levels, each after and with the table it is a
    partition of; None for those of *tables* that are not below another of them."""
    parents = [
        (e.table, attached(e))
        for e in definitions.pre
        if e.type == "TABLE ATTACH" and e.table is not None
    ]
    return _below(parents, tables)


def with_all_below(definitions: Definitions, tables: Iterable[TableName]) -> tuple[TableName, ...]:
    """Return *tables*, their partitions, and the tables that inherit from them: all tables whose
    rows a SELECT from one of *tables* returns."""
    parents: list[tuple[TableName, TableName]] = []
    for entry in definitions.pre:
        if entry.table is None:
            continue
        if entry.type == "TABLE ATTACH":
            parents.append((entry.table, attached(entry)))
        elif entry.type in ("TABLE", "FOREIGN TABLE"):
            for match in _INHERITS.finditer(entry.text):
                parents += ((parent, entry.table) for parent in qualified_names(match[1]))
    return tuple(_below(parents, tables))


def below_of(
    parents: Mapping[TableName, TableName | None], table: TableName
) -> frozenset[TableName]:
    """Return those of *parents*, a result of `partitions_below`, that are below *table*."""
    found = {table}
    for child, parent in parents.items():
        if parent in found:
            found.add(child)
    return frozenset(found - {table})


def _below(
    parents: Iterable[tuple[TableName, TableName]], tables: Iterable[TableName]
) -> dict[TableName, TableName | None]:
    children: dict[TableName, list[TableName]] = {}
    for parent, child in parents:
        children.setdefault(parent, []).append(child)
    found: dict[TableName, TableName | None] = {}

    def take(table: TableName, parent: TableName | None) -> None:
        # A table may inherit from several; one that was named explicitly may be below another.
        if parent is not None or table not in found:
            found.pop(table, None)
            found[table] = parent
        for child in children.get(table, ()):
            take(child, table)

    for table in tables:
        take(table, None)
    return found
