"""The rules of a file of masks: what becomes of each column, and which of them are understood."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from pgsnap.dump.definitions.table_parts import TableName, parse_name
from pgsnap.errors import UsageError
from pgsnap.masking.paths import Path, parse_path, places_of
from pgsnap.values import dataclass
from pgsnap.words import did_you_mean

SHIFT_DAYS_MAX = 36_500
HASH_CHARS_MIN, HASH_CHARS_MAX = 4, 64
UNITS = ("year", "month", "day", "hour", "minute")
FAKES = (
    *("first name", "last name", "name", "username", "email", "phone"),
    *("street", "city", "postcode", "address", "company"),
)
_KEYS = ("default", "key_file", "large_objects", "without_rows", "visible_labels", "tables")
_LARGE_OBJECTS = {"leave out": False, "keep": True}


class Kind(enum.StrEnum):
    """What becomes of a value."""

    KEEP = "keep"
    NULL = "null"
    FIXED = "fixed"
    HASH = "hash"
    FAKE = "fake"
    SHIFT = "shift"
    TRUNCATE = "truncate"
    JSON = "json"


KEYED = frozenset({Kind.HASH, Kind.FAKE, Kind.SHIFT})
_IN_DOCUMENTS = (Kind.KEEP, Kind.NULL, Kind.FIXED, Kind.HASH, Kind.FAKE, Kind.TRUNCATE)
_PLAIN = {kind.value: kind for kind in (Kind.KEEP, Kind.NULL, Kind.HASH)}
_OPTIONS = {
    Kind.FIXED: frozenset[str](),
    Kind.HASH: frozenset({"length"}),
    Kind.FAKE: frozenset({"by", "domain"}),
    Kind.SHIFT: frozenset({"by", "domain"}),
    Kind.TRUNCATE: frozenset[str](),
    Kind.JSON: frozenset[str](),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of the values of one column.

    *value* is that of `fixed`, the sort of `fake`, or the unit of `truncate`; *number* the days of
    `shift`, the characters of `truncate`, or the length of `hash` (0: its own). Equal values of
    one *domain* become equal. With *by* the value of that column of the row decides instead. Of
    `json` the *paths* say which values in documents become what; there *value* of `fixed` is JSON.
    """

    kind: Kind
    value: str = ""
    number: int = 0
    domain: str = ""
    by: str = ""
    paths: tuple[tuple[Path, Rule], ...] = ()

    @property
    def is_keep(self) -> bool:
        return self.kind is Kind.KEEP

    @property
    def needs_key(self) -> bool:
        return self.kind in KEYED or any(rule.needs_key for _, rule in self.paths)


KEEP = Rule(Kind.KEEP)


@dataclass(frozen=True, slots=True)
class Masks:
    """A file of masks, *where* it is; *key* is the secret (None: no rule needs it).
    *visible_labels* are enums whose labels may be seen though masked columns have them."""

    where: str
    tables: Mapping[TableName, Mapping[str, Rule]]
    without_rows: frozenset[TableName] = frozenset()
    keeps_large_objects: bool = False
    visible_labels: frozenset[TableName] = frozenset()
    key: bytes | None = field(default=None, repr=False)

    @property
    def needs_key(self) -> bool:
        return any(rule.needs_key for rules in self.tables.values() for rule in rules.values())


def parse_masks(values: Mapping[str, Any], where: str) -> Masks:
    """Return the masks that a TOML file says, without their key. Raises UsageError."""
    for name in values:
        if name not in _KEYS:
            raise UsageError(
                f'{where} has an unknown key "{name}"',
                hint=did_you_mean(name, _KEYS, f"It may have: {', '.join(_KEYS)}"),
            )
    if values.get("default", "refuse") != "refuse":
        raise UsageError(
            f'"default" in {where} can only be "refuse"',
            detail="A column that nobody has thought of must not be copied as it is.",
            hint='List the columns that may be copied: COLUMN = "keep"',
        )
    word = values.get("large_objects", "leave out")
    if not isinstance(word, str) or word not in _LARGE_OBJECTS:
        raise UsageError(f'"large_objects" in {where} must be "leave out" or "keep"')
    tables = _table(values.get("tables", {}), f'"tables" in {where}')
    empty = _names("without_rows", values, where, "tables")
    visible = _names("visible_labels", values, where, "enums")
    found: dict[TableName, Mapping[str, Rule]] = {}
    for name, columns in tables.items():
        table, place = _name(name, where), f'[tables."{name}"] in {where}'
        if table in found:
            raise UsageError(f"{place} names a table that is there under another spelling")
        found[table] = {
            column: _rule(rule, f'"{column}" of {place}')
            for column, rule in _table(columns, place).items()
        }
    if both := empty & found.keys():
        raise UsageError(
            f'{".".join(min(both))} is in "without_rows" and in "tables" of {where}',
            hint="Leave one of them out.",
        )
    return Masks(where, found, empty, _LARGE_OBJECTS[word], visible)


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be a table")
    return value


def _names(key: str, values: Mapping[str, Any], where: str, what: str) -> frozenset[TableName]:
    found = values.get(key, [])
    if not isinstance(found, list):
        raise UsageError(f'"{key}" in {where} must be a list of {what}')
    return frozenset(_name(name, where, what.removesuffix("s")) for name in found)


def _name(text: Any, where: str, what: str = "table") -> TableName:
    table = parse_name(text) if isinstance(text, str) else None
    if table is None:
        raise UsageError(
            f"{where}: {text!r} is no name of {'an' if what == 'enum' else 'a'} {what}",
            detail='It is written as in SQL: public.orders, or shop."Order Items".',
        )
    return table


def _rule(given: Any, where: str) -> Rule:
    if isinstance(given, str):
        if given not in _PLAIN:
            raise UsageError(
                f"{where}: there is no mask {given!r}",
                hint=did_you_mean(
                    given,
                    list(_PLAIN),
                    'Write "keep", "null", "hash", or a table such as { fake = "email" }',
                ),
            )
        return Rule(_PLAIN[given])
    if not isinstance(given, dict):
        raise UsageError(f'{where} must be "keep", "null", "hash" or a table')
    kinds = [kind for kind in _OPTIONS if kind.value in given]
    if len(kinds) != 1:
        raise UsageError(
            f"{where} must have exactly one of {', '.join(_OPTIONS)}",
            hint='As in { fake = "email" } or { truncate = 3 }',
        )
    (kind,) = kinds
    for name in given.keys() - {kind.value}:
        if name not in _OPTIONS[kind]:
            allowed = ", ".join(sorted(_OPTIONS[kind])) or "nothing"
            raise UsageError(f'{where}: {kind} takes no "{name}"', detail=f"It takes {allowed}.")
    return _RULES[kind](given[kind.value], given, where)


def _json(value: Any, _: Mapping[str, Any], where: str) -> Rule:
    if not isinstance(value, dict) or not value:
        raise UsageError(
            f"{where}: json takes a table of paths",
            hint='As in { json = { "email" = { fake = "email" }, "address.street" = "null" } }',
        )
    paths = []
    for text, given in value.items():
        path = parse_path(text)
        if path is None:
            raise UsageError(
                f"{where}: {text!r} is no path to a value",
                detail="Keys are separated by dots, and [] follows that of an array.",
                hint="""A key with a dot or brackets in it is written in quotes: '"a.b".c'""",
            )
        paths.append((path, _in_document(given, f'"{text}" of {where}')))
    try:
        places_of(paths)
    except ValueError as error:
        raise UsageError(
            f'{where}: what "{error}" leads to is masked by another path as well',
            hint="Leave one of the two out.",
        ) from None
    return Rule(Kind.JSON, paths=tuple(paths))


def _in_document(given: Any, where: str) -> Rule:
    """Return the rule for a value in a document."""
    if isinstance(given, dict) and given and not given.keys() & {kind.value for kind in Kind}:
        raise UsageError(
            f"{where} must be a mask", hint='Write a path as a whole in quotes: "address.street"'
        )
    rule = _rule(given, where)
    is_moment = rule.kind is Kind.TRUNCATE and bool(rule.value)
    if rule.kind not in _IN_DOCUMENTS or is_moment or rule.by:
        raise UsageError(
            f"{where}: not in documents",
            detail="There is keep, null, fixed, hash, fake without by, and truncate by a number of"
            " characters: JSON has no dates.",
        )
    if rule.kind is not Kind.FIXED:
        return rule
    value = given[Kind.FIXED.value]
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where}: JSON has no such number")
    return Rule(Kind.FIXED, json.dumps(value, ensure_ascii=False))


def _fixed(value: Any, _: Mapping[str, Any], where: str) -> Rule:
    if isinstance(value, bool):
        return Rule(Kind.FIXED, "t" if value else "f")
    if not isinstance(value, str | int | float) or "\0" in str(value):
        raise UsageError(f"{where}: fixed takes a text, a number, true or false")
    return Rule(Kind.FIXED, str(value))


def _hash(value: Any, given: Mapping[str, Any], where: str) -> Rule:
    length = given.get("length", 0)
    if "length" in given:
        _check_number(length, HASH_CHARS_MIN, HASH_CHARS_MAX, f"{where}: length")
    return Rule(Kind.HASH, number=length, domain=_word(value, f"{where}: hash"))


def _fake(value: Any, given: Mapping[str, Any], where: str) -> Rule:
    if value not in FAKES:
        hint = f"There are: {', '.join(FAKES)}"
        if isinstance(value, str):
            hint = did_you_mean(value, FAKES, hint)
        raise UsageError(f"{where}: nothing fake is called {value!r}", hint=hint)
    return Rule(Kind.FAKE, value, domain=_of("domain", given, where), by=_of("by", given, where))


def _shift(value: Any, given: Mapping[str, Any], where: str) -> Rule:
    _check_number(value, 1, SHIFT_DAYS_MAX, f"{where}: shift, in days,")
    domain, by = _of("domain", given, where), _of("by", given, where)
    return Rule(Kind.SHIFT, number=value, domain=domain, by=by)


def _truncate(value: Any, _: Mapping[str, Any], where: str) -> Rule:
    if isinstance(value, str) and value in UNITS:
        return Rule(Kind.TRUNCATE, value)
    if isinstance(value, str):
        raise UsageError(
            f"{where}: truncate takes a number of characters, or one of {', '.join(UNITS)}"
        )
    _check_number(value, 0, 1000, f"{where}: truncate")
    return Rule(Kind.TRUNCATE, number=value)


_RULES = {
    Kind.FIXED: _fixed,
    Kind.HASH: _hash,
    Kind.FAKE: _fake,
    Kind.SHIFT: _shift,
    Kind.TRUNCATE: _truncate,
    Kind.JSON: _json,
}


def _of(name: str, given: Mapping[str, Any], where: str) -> str:
    return _word(given[name], f"{where}: {name}") if name in given else ""


def _word(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError(f"{where} must be a name")
    return value


def _check_number(value: Any, least: int, most: int, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"{where} must be a number from {least} to {most:,}")
