"""The types of a dump's columns, from its definitions: of domains what they are based on, of tables
that inherit or are made of a type the columns that they get from there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pgsnap.dump.definitions.ddl import DdlEntry
from pgsnap.dump.definitions.statements import Kind, Token, significant, statements
from pgsnap.dump.definitions.table_columns import columns_in
from pgsnap.dump.definitions.table_parts import TableName, qualified_names

_OF_TYPE = re.compile(r"CREATE (?:UNLOGGED )?TABLE [^;(]*? OF ([^;(]*)")
_INHERITS = re.compile(r"^INHERITS \((.*)\)", re.M)
# What may follow the type that a domain is based on. pg_dump writes these in capitals.
_AFTER_TYPE = frozenset(("COLLATE", "CONSTRAINT", "NOT", "NULL", "DEFAULT", "CHECK"))
# A domain may be based on another one: PostgreSQL ends before that.
_DEPTH_MAX = 100
ENUM = "enum"
UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type: *text* as it stands in the definition, *base* PostgreSQL's own name of it without
    *modifiers*, with domains followed: ``numeric`` with ("10", "2"). *base* is ENUM for enums,
    UNKNOWN for types that are neither PostgreSQL's own nor in the dump. Of an array both are those
    of its elements."""

    text: str
    base: str = UNKNOWN
    modifiers: tuple[str, ...] = ()
    is_array: bool = False


@dataclass(frozen=True, slots=True)
class _Written:
    """A type as it is written: *name* of one or more parts, *words* if it has a single one."""

    text: str
    words: str
    name: TableName | None
    modifiers: tuple[str, ...]
    is_array: bool


class ColumnTypes:
    """Looks up the types of tables' columns in the entries before the rows."""

    def __init__(self, entries: Iterable[DdlEntry]) -> None:
        self._tables: dict[TableName, str] = {}
        self._types: dict[TableName, str] = {}
        self._found: dict[TableName, Mapping[str, ColumnType]] = {}
        for entry in entries:
            if entry.table is not None and entry.type in ("TABLE", "FOREIGN TABLE"):
                self._tables[entry.table] = entry.text
            elif entry.type in ("TYPE", "DOMAIN"):
                self._types.setdefault((entry.schema, entry.name), entry.text)

    def of(self, table: TableName) -> Mapping[str, ColumnType]:
        """Return the type of each column of *table*: nothing if the dump does not define it."""
        if table not in self._found:
            self._found[table] = {}
            self._found[table] = self._columns(self._tables.get(table, ""))
        return self._found[table]

    def _columns(self, text: str) -> dict[str, ColumnType]:
        found: dict[str, ColumnType] = {}
        if (match := _OF_TYPE.match(text)) is not None:
            for name in qualified_names(match[1])[:1]:
                members = self._types.get(name, "").partition(" AS ")[2]
                return self._listed(f"CREATE TABLE {members}")
        for match in _INHERITS.finditer(text):
            for parent in qualified_names(match[1]):
                found |= self.of(parent)
        return found | self._listed(text)

    def _listed(self, text: str) -> dict[str, ColumnType]:
        return {
            column.name: self._resolved(_parse(_tokens(column.type))) for column in columns_in(text)
        }

    def _resolved(self, written: _Written, depth: int = 0) -> ColumnType:
        known = ColumnType(written.text, written.words, written.modifiers, written.is_array)
        if written.name is None:
            return known
        tokens = _creating(self._types.get(written.name, ""))
        words = [token.text for token in tokens]
        if words[:2] == ["CREATE", "TYPE"] and "ENUM" in words:
            return replace(known, base=ENUM, modifiers=())
        if words[:2] == ["CREATE", "TYPE"] and "AS" in words:
            # Composite types and ranges: what they consist of stays within their text.
            return replace(known, base="record", modifiers=())
        if words[:2] != ["CREATE", "DOMAIN"] or "AS" not in words or depth > _DEPTH_MAX:
            return replace(known, base=UNKNOWN)
        start = words.index("AS") + 1
        rest = tokens[start:]
        end = next((at for at, one in enumerate(rest) if _ends_type(one)), len(rest))
        found = self._resolved(_parse(rest[:end]), depth + 1)
        if found.is_array and written.is_array:
            # Elements that are arrays stand in quotes.
            return replace(known, base=UNKNOWN)
        is_array = found.is_array or written.is_array
        return ColumnType(written.text, found.base, found.modifiers, is_array)


def _creating(text: str) -> list[Token]:
    """Return the tokens of the statement in an entry that creates its object."""
    for tokens in statements(text):
        words = significant(tokens)
        if words and words[0].text == "CREATE":
            return words
    return []


def _tokens(text: str) -> list[Token]:
    return [token for tokens in statements(text) for token in significant(tokens)]


def _ends_type(token: Token) -> bool:
    return token.kind is Kind.WORD and token.text in _AFTER_TYPE


def _name(tokens: Sequence[Token]) -> TableName | None:
    """Return the qualified name at the start of *tokens*, None if there is none."""
    is_name = len(tokens) > 2 and tokens[1].text == "."
    return (_plain(tokens[0]), _plain(tokens[2])) if is_name else None


def _plain(token: Token) -> str:
    text = token.text
    return text[1:-1].replace('""', '"') if token.kind is Kind.NAME else text


def _parse(tokens: Sequence[Token]) -> _Written:
    words, modifiers, depth, text, before = list[str](), list[str](), 0, "", ""
    for token in tokens:
        part = token.text
        tight = part in "().,[]" or before in ("", ".", "(", "[", ",")
        text += part if tight else f" {part}"
        before = part
        if token.kind is Kind.OTHER and part in "()":
            depth += 1 if part == "(" else -1
        elif depth and part != ",":
            modifiers.append(part)
        elif depth == 0 and part not in "[].":
            words.append(part)
    name = _name(tokens)
    is_array = any(token.text == "[" for token in tokens)
    if name is not None and name[0] == "pg_catalog":
        name, words = None, words[1:]
    return _Written(text, " ".join(words) if name is None else "", name, tuple(modifiers), is_array)
