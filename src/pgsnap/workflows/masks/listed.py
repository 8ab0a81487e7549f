"""Whether a file of masks lists each table and each column that a snapshot has, and no other."""

from __future__ import annotations

from collections.abc import Mapping

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.masking.catalog import Column
from pgsnap.masking.events import Masking
from pgsnap.targets.checks.preflight import Findings, Problem
from pgsnap.words import nearest, some
from pgsnap.workflows.contents.table_names import shown

Columns = Mapping[TableName, tuple[str, ...]]
"""The tables that have rows, each with the columns of these."""


def check_listed(masking: Masking, tables: Columns) -> Findings:
    """Return what is listed and not there, and what is there and not listed."""
    masks, problems = masking.masks, list[Problem]()
    there = {*tables, *masking.catalog.tables}
    for table in sorted({*masks.tables, *masks.without_rows} - there):
        guess = nearest(shown(table), map(shown, sorted(there)))
        problems.append(
            Problem(
                f"the table {shown(table)} is listed, and the snapshot has no such table",
                hint=f"Was it renamed to {guess}?" if guess else f"Take it out of {masks.where}.",
            )
        )
    unlisted = [
        table
        for table in sorted(tables)
        if masking.rules(table) is None and not masking.is_without_rows(table)
    ]
    if unlisted:
        problems.append(
            Problem(
                f"not listed: {some([shown(table) for table in unlisted])}",
                detail="Each table with rows is listed with all of its columns.",
                hint=f"Add them to {masks.where}, or to its without_rows. For suggestions:"
                " snap mask init REV",
            )
        )
    for table in sorted(masks.tables):
        if table in there:
            problems += _columns(masking, table, tables)
    for table in sorted(tables):
        # A partition has the columns of the table that lists it, in an order of its own.
        if table not in masks.tables and (rules := masking.rules(table)) is not None:
            missing = [name for name in tables[table] if name not in rules]
            problems += _missing(masking, table, missing)
    return Findings(tuple(problems))


def column_names(masking: Masking, table: TableName, tables: Columns) -> tuple[str, ...]:
    """Return the columns of *table* that are to be listed."""
    if table in tables:
        return tables[table]
    defined = masking.catalog.tables.get(table, {}).values()
    return tuple(column.name for column in defined if not column.is_generated)


def described(column: Column) -> str:
    """Return a column's name, with its type if that is known."""
    return f"{column.name} {column.type.shown}".strip()


def _columns(masking: Masking, table: TableName, tables: Columns) -> list[Problem]:
    rules, names = masking.masks.tables[table], column_names(masking, table, tables)
    problems = _missing(masking, table, [name for name in names if name not in rules])
    for name in sorted(rules.keys() - set(names)):
        column = masking.column(table, name)
        if column.is_generated:
            problems.append(
                Problem(
                    f"the column {name} of {shown(table)} is generated from others",
                    detail="It follows from what these become.",
                    hint=f"Take it out of {masking.masks.where}.",
                )
            )
            continue
        free = [other for other in names if other not in rules]
        guess = nearest(name, free)
        problems.append(
            Problem(
                f"the column {name} of {shown(table)} is listed, and the snapshot has no such"
                " column",
                hint=f"Was it renamed to {guess}?"
                if guess
                else f"Take it out of {masking.masks.where}.",
            )
        )
    return problems


def _missing(masking: Masking, table: TableName, names: list[str]) -> list[Problem]:
    if not names:
        return []
    words = [described(masking.column(table, name)) for name in names]
    return [
        Problem(
            f"not listed of {shown(table)}: {some(words)}",
            hint=f'Add each to {masking.masks.where}, as NAME = "keep" if it may be seen.',
        )
    ]
