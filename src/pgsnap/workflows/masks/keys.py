"""Whether masked columns still fit together: unique keys stay unique, and foreign keys fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.masking.catalog import Column, Family, ForeignKey, UniqueKey
from pgsnap.masking.events import Masking
from pgsnap.masking.fakes import UNIQUE
from pgsnap.masking.masks import KEEP, Kind, Rule
from pgsnap.masking.values import hash_bits, hash_chars
from pgsnap.targets.checks.preflight import Findings, Problem
from pgsnap.workflows.contents.table_names import shown

# An even chance of at least one collision among n values of b bits is at about n * n = 2 ** b; this
# many bits less make it one in a hundred.
_SPARE_BITS = 6
_FAKE_BITS = 48


def check_keys(masking: Masking, rows: Mapping[TableName, int]) -> Findings:
    """Return which keys would break: only what is certain, or all but certain."""
    findings = Findings()
    for key in masking.catalog.unique:
        findings += _check_unique(masking, key, _rows_below(masking, key.table, rows))
    for foreign in masking.catalog.foreign:
        findings += _check_foreign(masking, foreign)
    return findings


def alike(masking: Masking, table: TableName, name: str) -> object:
    """Return what decides which value becomes which in a column: where it is equal, equal values
    become equal ones. None for a rule whose results depend on the row."""
    rule = (masking.rules(table) or {}).get(name, KEEP)
    column = masking.column(table, name).type
    if rule.kind is Kind.HASH:
        if column.family is Family.TEXT:
            return rule.kind, rule.domain, column.folds_case, hash_chars(rule, column)
        # Columns of integer and of bigint have the same permutation.
        is_short = column.family is Family.INTEGER and column.width == 16
        return rule.kind, rule.domain, column.family, is_short
    if rule.by or rule.kind is Kind.SHIFT:
        return None
    if rule.kind is Kind.FAKE:
        return rule, column.width, column.folds_case
    return rule


def _check_unique(masking: Masking, key: UniqueKey, rows: int) -> Findings:
    rules = masking.rules(key.table)
    if rules is None or rows < 2 or not key.columns:
        return Findings()
    where = f"the unique key {key.name} of {shown(key.table)}"
    names = []
    for name in key.columns:
        rule, column = rules.get(name, KEEP), masking.column(key.table, name)
        bits = _bits(rule, column)
        if key.nulls_are_equal and rule.kind is Kind.NULL:
            bits = 0
        if bits is not None and rows * rows >> bits:
            names.append(name)
    if len(names) == len(key.columns):
        return Findings((_not_unique(where, names, rows),))
    if names:
        words = ", ".join(names)
        warning = f"{where} includes {words}, whose values may become the same: the load then fails"
        return Findings(warnings=(warning,))
    return Findings()


def _not_unique(where: str, names: Iterable[str], rows: int) -> Problem:
    return Problem(
        f"{where} would not stay unique: values of {', '.join(names)} become the same",
        detail=f"Its table has {rows:,} rows.",
        hint='Use "hash", or { fake = "email" } or { fake = "username" }, in a column that is long'
        " enough.",
    )


def _bits(rule: Rule, column: Column) -> int | None:
    """Return how many bits of a value's digest are left, less some to be on the safe side; None if
    different values surely stay different (or are NULL, and no two of those are the same)."""
    if rule.kind in (Kind.KEEP, Kind.NULL):
        return None
    if rule.kind is Kind.HASH:
        if column.type.family is not Family.TEXT:
            return None
        return max(0, hash_bits(hash_chars(rule, column.type)) - _SPARE_BITS)
    if rule.kind is Kind.FAKE and rule.value in UNIQUE and not rule.by:
        # Cut off, it lacks just what makes it unique.
        is_whole = column.type.width == 0 or column.type.width >= 48
        return _FAKE_BITS - _SPARE_BITS if is_whole else 0
    return 0


def _check_foreign(masking: Masking, key: ForeignKey) -> Findings:
    where = f"the foreign key {key.name} of {shown(key.table)}"
    rules = masking.rules(key.table)
    if rules is None or masking.is_without_rows(key.table):
        return Findings()
    nulls = [name for name in key.columns if rules.get(name, KEEP).kind is Kind.NULL]
    if key.is_full and 0 < len(nulls) < len(key.columns):
        problem = Problem(
            f"{where} would not hold: only {', '.join(nulls)} becomes NULL",
            detail="With MATCH FULL all of its columns are NULL, or none.",
            hint='Write "null" for all of them, or for none.',
        )
        return Findings((problem,))
    if nulls:
        # A key with a NULL refers to nothing.
        return Findings()
    if masking.is_without_rows(key.referred):
        problem = Problem(
            f"{where} refers to {shown(key.referred)}, which comes without rows",
            hint='Let the rows of both come, or none; or make its columns "null".',
        )
        return Findings((problem,))
    if masking.rules(key.referred) is None:
        return Findings()
    problems = []
    for own, other in zip(key.columns, key.referred_columns, strict=False):
        mine, theirs = alike(masking, key.table, own), alike(masking, key.referred, other)
        if mine is None or mine != theirs:
            problems.append(
                Problem(
                    f"{where} would not hold: {own} and {other} of {shown(key.referred)} are not"
                    " masked alike",
                    detail="Equal values must become equal ones: by the same mask, with the same"
                    " domain, in columns of the same type and length.",
                    hint='Write the same for both, as "hash" or "keep".',
                )
            )
    return Findings(tuple(problems))


def _rows_below(masking: Masking, table: TableName, rows: Mapping[TableName, int]) -> int:
    """Return how many rows *table* and its partitions have."""
    if table not in masking.catalog.partition_keys:
        return rows.get(table, 0)
    return sum(count for name, count in rows.items() if table in masking.catalog.chain(name))
