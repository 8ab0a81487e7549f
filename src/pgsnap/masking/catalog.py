"""What a dump's definitions say about the columns of its tables: types, keys, constraints."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from itertools import pairwise

from pgsnap.dump.definitions.ddl import DdlEntry
from pgsnap.dump.definitions.statements import Kind as TokenKind
from pgsnap.dump.definitions.statements import Token, statements
from pgsnap.dump.definitions.table_columns import ENUM, ColumnTypes, listed_items
from pgsnap.dump.definitions.table_columns import ColumnType as DefinedType
from pgsnap.dump.definitions.table_parts import (
    Definitions,
    TableName,
    attached,
    qualified_names,
)
from pgsnap.patterns import regex
from pgsnap.values import dataclass

_WORD = r'(?:"(?:[^"]|"")+"|[^\s",.()]+)'
_LIST = rf"\(((?:PERIOD )?{_WORD}(?:, (?:PERIOD )?{_WORD})*(?: WITHOUT OVERLAPS)?)\)"
_UNIQUE = regex(
    rf"\bADD CONSTRAINT ({_WORD}) (?:PRIMARY KEY|UNIQUE(?: NULLS NOT DISTINCT)?) {_LIST}"
)
_UNIQUE_INDEX = regex(
    rf"^CREATE UNIQUE INDEX ({_WORD}) ON (?:ONLY )?\S.*? USING \w+ {_LIST}"
    r"(?: INCLUDE \(.*?\))?(?: NULLS NOT DISTINCT)?",
    re.M,
)
_FOREIGN = regex(
    rf"\bADD CONSTRAINT ({_WORD}) FOREIGN KEY {_LIST} REFERENCES ({_WORD}\.{_WORD}){_LIST}"
    r"(?: MATCH FULL)?"
)
_NAMES = regex(_WORD)
_INHERITS = regex(r"^INHERITS \((.*)\)", re.M)
_PARTITIONED = regex(r"^PARTITION BY (?:RANGE|LIST|HASH) (\(.*\))", re.M | re.S)
_TYPED = regex(rf"CREATE (?:UNLOGGED )?TABLE {_WORD}\.{_WORD} OF ")
_TEXTS = ("text", "character varying", "character", "bpchar", "name", "citext")
# How many characters values have where the type has no number.
_WIDTHS = {"character": 1, "name": 63}
_INTEGERS = {"smallint": 16, "integer": 32, "bigint": 64}
_NO_COLUMN = frozenset(
    ("CONSTRAINT", "CHECK", "EXCLUDE", "LIKE", "PRIMARY", "UNIQUE", "FOREIGN", "NOT")
)


class Family(enum.Enum):
    """What values of a type can become."""

    TEXT = enum.auto()
    INTEGER = enum.auto()
    UUID = enum.auto()
    DATE = enum.auto()
    TIMESTAMP = enum.auto()
    ENUM = enum.auto()
    JSON = enum.auto()
    OTHER = enum.auto()
    UNKNOWN = enum.auto()


_FAMILIES = {
    "uuid": Family.UUID,
    "date": Family.DATE,
    "timestamp without time zone": Family.TIMESTAMP,
    "timestamp with time zone": Family.TIMESTAMP,
    "json": Family.JSON,
    "jsonb": Family.JSON,
    ENUM: Family.ENUM,
}


@dataclass(frozen=True, slots=True)
class ColumnType:
    """The type of a column, domains resolved; *shown* as the definition writes it. *width* is how
    many characters (0: any number) or bits its values have; *is_padded*: with blanks;
    *folds_case*: values that differ in it are equal. *enums* are those whose labels may be in a
    value: its own, or inside of it."""

    family: Family
    shown: str = ""
    width: int = 0
    is_padded: bool = False
    folds_case: bool = False
    labels: frozenset[str] = frozenset()
    is_not_null: bool = False
    enums: tuple[TableName, ...] = ()


UNKNOWN = ColumnType(Family.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: ColumnType
    is_not_null: bool = False
    is_generated: bool = False


@dataclass(frozen=True, slots=True)
class UniqueKey:
    table: TableName
    name: str
    columns: tuple[str, ...]
    nulls_are_equal: bool = False


@dataclass(frozen=True, slots=True)
class ForeignKey:
    table: TableName
    name: str
    columns: tuple[str, ...]
    referred: TableName
    referred_columns: tuple[str, ...]
    is_full: bool = False
    """With MATCH FULL: all of the columns are NULL, or none."""


@dataclass(slots=True)
class Catalog:
    """The tables of a dump, each with its columns by name, and what ties columns together.

    *parents* maps a partition to its table; *partition_keys* a table to the names in its key;
    *checks* a table to its CHECK constraints, each with the names in it. The columns of *typed*
    tables are those of a composite type, which is not looked at.
    """

    tables: dict[TableName, dict[str, Column]] = field(default_factory=dict)
    parents: dict[TableName, TableName] = field(default_factory=dict)
    partition_keys: dict[TableName, frozenset[str]] = field(default_factory=dict)
    unique: list[UniqueKey] = field(default_factory=list)
    foreign: list[ForeignKey] = field(default_factory=list)
    checks: dict[TableName, list[tuple[str, frozenset[str]]]] = field(default_factory=dict)
    primary: dict[TableName, tuple[str, ...]] = field(default_factory=dict)
    typed: set[TableName] = field(default_factory=set)

    @classmethod
    def read(cls, definitions: Definitions) -> Catalog:
        found = cls()
        types = ColumnTypes(definitions.pre)
        inherited: dict[TableName, list[TableName]] = {}
        for entry in definitions.pre:
            if entry.type in ("TABLE", "FOREIGN TABLE") and entry.table is not None:
                found._take_table(entry, entry.table, types, inherited)
            elif entry.type == "TABLE ATTACH" and entry.table is not None:
                found.parents[attached(entry)] = entry.table
        for table in inherited:
            found._inherit(table, inherited)
        for entry in definitions.post:
            found._take_constraint(entry)
        return found

    def chain(self, table: TableName) -> Iterator[TableName]:
        """Yield *table*, then the tables that it is a partition of, up to the topmost."""
        yield table
        seen = {table}
        while (parent := self.parents.get(table)) is not None and parent not in seen:
            seen.add(parent)
            table = parent
            yield table

    def root(self, table: TableName) -> TableName:
        *_, last = self.chain(table)
        return last

    def _take_table(
        self,
        entry: DdlEntry,
        table: TableName,
        types: ColumnTypes,
        inherited: dict[TableName, list[TableName]],
    ) -> None:
        columns = self.tables.setdefault(table, {})
        defined = types.of(table)
        if _TYPED.match(entry.text) is not None:
            self.typed.add(table)
            columns |= {
                name: Column(name, maskable(type_), is_not_null=type_.is_not_null)
                for name, type_ in defined.items()
            }
        for item in listed_items(entry.text):
            words = [token for token in item if token.kind is not TokenKind.SPACE]
            if not words:
                continue
            if words[0].text in _NO_COLUMN:
                self._take_check(table, words)
                continue
            column = _column(words, defined)
            columns[column.name] = column
            self._take_check(table, words)
        if (match := _INHERITS.search(entry.text)) is not None:
            inherited[table] = qualified_names(match[1])
        if (match := _PARTITIONED.search(entry.text)) is not None:
            self.partition_keys[table] = frozenset(map(_unquoted, _NAMES.findall(match[1])))

    def _take_check(self, table: TableName, words: Sequence[Token]) -> None:
        texts = [token.text for token in words]
        if "CHECK" not in texts:
            return
        at = texts.index("CHECK")
        name = _unquoted(texts[at - 1]) if at > 1 and texts[at - 2] == "CONSTRAINT" else ""
        names = frozenset(map(_unquoted, texts[at:]))
        self.checks.setdefault(table, []).append((name, names))

    def _inherit(self, table: TableName, inherited: Mapping[TableName, list[TableName]]) -> None:
        own = self.tables[table]
        waiting, seen = list(inherited[table]), {table}
        while waiting:
            parent = waiting.pop(0)
            if parent in seen:
                continue
            seen.add(parent)
            for name, column in self.tables.get(parent, {}).items():
                own.setdefault(name, column)
            waiting += inherited.get(parent, ())

    def _take_constraint(self, entry: DdlEntry) -> None:
        if entry.table is None:
            return
        table = entry.table
        if entry.type == "CONSTRAINT" and (match := _UNIQUE.search(entry.text)) is not None:
            columns = _columns(match[2])
            is_equal = " NULLS NOT DISTINCT" in match[0]
            self.unique.append(UniqueKey(table, _unquoted(match[1]), columns, is_equal))
            if " PRIMARY KEY (" in match[0]:
                self.primary[table] = columns
        elif entry.type == "INDEX" and (match := _UNIQUE_INDEX.search(entry.text)) is not None:
            is_equal = " NULLS NOT DISTINCT" in match[0]
            self.unique.append(UniqueKey(table, _unquoted(match[1]), _columns(match[2]), is_equal))
        elif entry.type == "FK CONSTRAINT" and (match := _FOREIGN.search(entry.text)) is not None:
            (referred,) = qualified_names(match[3])[:1]
            self.foreign.append(
                ForeignKey(
                    table,
                    _unquoted(match[1]),
                    _columns(match[2]),
                    referred,
                    _columns(match[4]),
                    is_full=match[0].endswith(" MATCH FULL"),
                )
            )
        elif entry.type == "CHECK CONSTRAINT":
            words = [
                token
                for tokens in statements(entry.text)
                for token in tokens
                if token.kind is not TokenKind.SPACE
            ]
            self._take_check(table, words)


def _column(words: Sequence[Token], defined: Mapping[str, DefinedType]) -> Column:
    texts = [token.text for token in words]
    name, pairs = _unquoted(texts[0]), list(pairwise(texts))
    found = maskable(defined[name]) if name in defined else UNKNOWN
    return Column(
        name,
        found,
        is_not_null=("NOT", "NULL") in pairs or found.is_not_null,
        is_generated=("GENERATED", "ALWAYS") in pairs,
    )


def maskable(type_: DefinedType) -> ColumnType:
    """Return what values of a type can become."""
    family, width, base = Family.OTHER, 0, type_.base
    if type_.is_array:
        pass
    elif base in _TEXTS:
        family = Family.TEXT
        width = int(type_.modifiers[0]) if type_.modifiers else _WIDTHS.get(base, 0)
    elif base in _INTEGERS:
        family, width = Family.INTEGER, _INTEGERS[base]
    else:
        family = _FAMILIES.get(base, Family.OTHER)
    return ColumnType(
        family,
        type_.text,
        width,
        is_padded=base in ("character", "bpchar"),
        folds_case=base == "citext",
        labels=frozenset(type_.labels),
        is_not_null=type_.is_not_null,
        enums=tuple(dict.fromkeys(type_.enums())),
    )


def _columns(text: str) -> tuple[str, ...]:
    names = text.removesuffix(" WITHOUT OVERLAPS")
    return tuple(
        _unquoted(name) for name in _NAMES.findall(names) if name not in ("PERIOD", "WITHOUT")
    )


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
