"""Whether the rules of single columns can work: by their types, and NOT NULL."""

from __future__ import annotations

from collections.abc import Iterator

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.masking.catalog import Column, Family
from pgsnap.masking.events import Masking
from pgsnap.masking.masks import Kind, Rule
from pgsnap.targets.checks.preflight import Findings, Problem
from pgsnap.words import some
from pgsnap.workflows.contents.table_names import shown
from pgsnap.workflows.masks.listed import Columns, column_names

_FAMILIES = {
    Kind.HASH: (Family.TEXT, Family.INTEGER, Family.UUID),
    Kind.FAKE: (Family.TEXT,),
    Kind.SHIFT: (Family.DATE, Family.TIMESTAMP),
    Kind.JSON: (Family.JSON,),
}
_SUITS = {
    Kind.HASH: "text, integers and uuid",
    Kind.FAKE: "text",
    Kind.SHIFT: "dates and timestamps",
    Kind.JSON: "json and jsonb",
    Kind.TRUNCATE: "text by a number of characters, and dates and timestamps by a unit",
}
_MOMENTS = (Family.DATE, Family.TIMESTAMP)


def check_columns(masking: Masking, tables: Columns) -> Findings:
    """Return what forbids the rules of single columns."""
    problems: list[Problem] = []
    for table, rules in sorted(masking.masks.tables.items()):
        names = column_names(masking, table, tables)
        for name in names:
            rule = rules.get(name)
            if rule is not None:
                where = f"{name} of {shown(table)}"
                for message, hint in _wrong(masking, table, name, rule, names):
                    problems.append(Problem(f"{where} {message}", hint=hint))
    return Findings(tuple(problems))


def column_warnings(masking: Masking, tables: Columns) -> tuple[str, ...]:
    """Return which CHECK constraints are about masked columns: only the load shows whether their
    new values meet these."""
    found = []
    for table, checks in sorted(masking.catalog.checks.items()):
        rules = masking.rules(table) or {}
        masked = {
            name
            for name in column_names(masking, table, tables)
            if name in rules and rules[name].kind not in (Kind.KEEP, Kind.NULL)
        }
        for name, words in checks:
            if about := sorted(masked & words):
                what = f"the CHECK constraint {name}" if name else "a CHECK constraint"
                found.append(
                    f"{what} of {shown(table)} is about {some(about)}: the load fails if a masked"
                    " value does not meet it"
                )
    return tuple(found)


def _wrong(
    masking: Masking, table: TableName, name: str, rule: Rule, names: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a rule, each with a hint."""
    column = masking.column(table, name)
    kind, family = rule.kind, column.type.family
    if kind is Kind.NULL and column.is_not_null:
        yield "is NOT NULL, and cannot become null", "Use another mask, as { fixed = VALUE }."
    if not _suits(rule, family):
        yield (
            f"is of the type {column.type.shown or 'unknown'}, and {kind} is for {_SUITS[kind]}",
            'Use { json = { "PATH" = MASK } }, "null" or { fixed = VALUE }.'
            if family is Family.JSON
            else 'Use "null" or { fixed = VALUE }.',
        )
    if kind is Kind.FIXED:
        yield from _wrong_value(column, rule.value)
    decides = masking.decides(table, name, rule)
    if not decides:
        yield (
            "is shifted by days that the primary key decides, and its table has none",
            'Say which column decides: { shift = DAYS, by = "COLUMN" }',
        )
    elif decides not in names:
        yield f"goes by the column {decides}, which its rows do not have", "Name another column."


def _suits(rule: Rule, family: Family) -> bool:
    if rule.kind is Kind.TRUNCATE:
        return family in _MOMENTS if rule.value else family is Family.TEXT
    return rule.kind not in _FAMILIES or family in _FAMILIES[rule.kind]


def _wrong_value(column: Column, value: str) -> Iterator[tuple[str, str]]:
    found = column.type
    if found.family is Family.ENUM and value not in found.labels:
        labels = some(sorted(found.labels))
        yield f"is an enum without the label {value!r}", f"It has: {labels}"
    elif found.family is Family.TEXT and found.width and len(value) > found.width:
        yield f"holds at most {found.width} characters, fewer than its fixed value", ""
    elif found.family is Family.INTEGER:
        try:
            is_one = -(1 << found.width - 1) <= int(value) < 1 << found.width - 1
        except ValueError:
            is_one = False
        if not is_one:
            yield f"is of the type {found.shown}, and {value!r} is no value of it", ""
