"""The columns of tables with their types, as their definitions name them: of domains what they are
based on, of tables that inherit or are made of a type the columns that they get from there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, pairwise

from pgsnap.dump.definitions.ddl import DdlEntry
from pgsnap.dump.definitions.statements import Kind, Token, significant, statements
from pgsnap.dump.definitions.table_parts import TableName, qualified_names
from pgsnap.patterns import regex
from pgsnap.values import dataclass

# What may follow a column's type.
_AFTER_TYPE = frozenset(
    ("DEFAULT", "NOT", "NULL", "GENERATED", "COLLATE", "CONSTRAINT", "STORAGE", "COMPRESSION")
)
# pg_dump writes columns of these names in quotes.
_OF_TABLE = frozenset(("CONSTRAINT", "CHECK", "PRIMARY", "UNIQUE", "FOREIGN", "EXCLUDE", "LIKE"))
_OF_TYPE = regex(r"CREATE (?:UNLOGGED )?TABLE [^;(]*? OF ([^;(]*)")
_INHERITS = regex(r"^INHERITS \((.*)\)", re.M)
# What may follow the type that a domain is based on. pg_dump writes these in capitals.
_AFTER_BASE = frozenset(("COLLATE", "CONSTRAINT", "NOT", "NULL", "DEFAULT", "CHECK"))
# A domain may be based on another one: PostgreSQL ends before that.
_DEPTH_MAX = 100
# A composite type with more in it, or more of them within each other, has no members.
_LEVELS_MAX = 20
_LEAVES_MAX = 2000
ENUM = "enum"
RECORD = "record"
RANGE = "range"
UNKNOWN = ""
_RANGES = {
    "int4range": "integer",
    "int8range": "bigint",
    "numrange": "numeric",
    "daterange": "date",
    "tsrange": "timestamp without time zone",
    "tstzrange": "timestamp with time zone",
}
HSTORE = "hstore"
# Types of extensions, whose definitions are not in a dump: by their names, in whichever schema.
_OF_EXTENSIONS = frozenset(("citext", HSTORE))


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """A column: its *type* is as in the dump, such as ``numeric(10,2)`` or ``public.mood[]``.
    *is_generated*: its values are computed, and so in no dump."""

    name: str
    type: str
    is_generated: bool = False


def columns_in(text: str) -> tuple[ColumnDefinition, ...]:
    """Return the columns that the entry of a table lists, in its order. Tables of a type, and those
    that inherit, list not all of theirs."""
    found = []
    for part in listed_items(text):
        words = [token for token in part if token.kind is not Kind.SPACE]
        if not words or words[0].kind not in (Kind.WORD, Kind.NAME):
            continue
        first = words[0]
        if first.kind is Kind.WORD and first.text.upper() in _OF_TABLE:
            continue
        found.append(_column(first, part[part.index(first) + 1 :]))
    return tuple(found)


def listed_items(text: str) -> Iterator[list[Token]]:
    """Yield what stands between the commas in the first parentheses of CREATE TABLE: columns,
    constraints, and nothing where there are none."""
    depth = 0
    part: list[Token] = []
    is_table = False
    for token in chain.from_iterable(statements(text)):
        if not depth and token.kind is Kind.WORD and token.text.upper() == "TABLE":
            is_table = True
        if token.kind is Kind.OTHER and token.text in "([":
            depth += 1
            if depth == 1:
                if not is_table:
                    return
                continue
        elif token.kind is Kind.OTHER and token.text in ")]":
            depth -= 1
            if not depth:
                yield part
                return
        if depth == 1 and token == (Kind.OTHER, ","):
            yield part
            part = []
        elif depth:
            part.append(token)


def _column(name: Token, rest: Sequence[Token]) -> ColumnDefinition:
    depth, words = 0, []
    is_type = True
    is_generated = False
    for token in rest:
        if token.kind is Kind.OTHER:
            depth += (token.text in "([") - (token.text in ")]")
        if token.kind is Kind.WORD and not depth:
            word = token.text.upper()
            is_type = is_type and word not in _AFTER_TYPE
            # GENERATED … AS IDENTITY is an ordinary column with a default.
            is_generated = word in ("STORED", "VIRTUAL") or is_generated
        if is_type:
            words.append(" " if token.kind is Kind.SPACE else token.text)
    text = name.text
    shown = text[1:-1].replace('""', '"') if name.kind is Kind.NAME else text
    return ColumnDefinition(shown, "".join(words).strip(), is_generated)


@dataclass(frozen=True, slots=True)
class ColumnType:
    """A type: *text* as it stands in the definition, *base* PostgreSQL's own name of it without
    *modifiers*, with domains followed: ``numeric`` with ("10", "2"). *base* is ENUM for enums,
    RECORD for composite types, RANGE for ranges, UNKNOWN for types that are neither PostgreSQL's
    own nor in the dump (but citext and hstore). Of an array both are those of its elements.

    *labels* are those of an enum, whose own name is *enum*; *members* the columns of a composite
    type, unless there are very many, and the type of a range's bounds; *is_not_null*: a domain says
    so.
    """

    text: str
    base: str = UNKNOWN
    modifiers: tuple[str, ...] = ()
    is_array: bool = False
    labels: tuple[str, ...] = ()
    members: tuple[tuple[str, ColumnType], ...] = ()
    is_not_null: bool = False
    enum: TableName | None = None

    def enums(self) -> Iterator[TableName]:
        """Yield the enums in the type: its own, those of its members, and of what is in these."""
        if self.enum is not None:
            yield self.enum
        for _, member in self.members:
            yield from member.enums()


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
        self._members: dict[TableName, tuple[tuple[str, ColumnType], ...]] = {}
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
                return self._listed(_as_table(self._types.get(name, "")))
        for match in _INHERITS.finditer(text):
            for parent in qualified_names(match[1]):
                found |= self.of(parent)
        return found | self._listed(text)

    def _listed(self, text: str) -> dict[str, ColumnType]:
        return {
            column.name: self._resolved(_parse(_tokens(column.type))) for column in columns_in(text)
        }

    def _members_of(self, name: TableName) -> tuple[tuple[str, ColumnType], ...]:
        """Return the members of a composite type, none if there are very many."""
        if name not in self._members:
            # A dump that PostgreSQL did not write may say that it is within itself.
            self._members[name] = ()
            found = tuple(self._listed(_as_table(self._types[name])).items())
            self._members[name] = found if _is_small(found) else ()
        return self._members[name]

    def _resolved(self, written: _Written, depth: int = 0) -> ColumnType:
        """Return what a type is."""
        known = ColumnType(written.text, written.words, written.modifiers, written.is_array)
        if written.name is None:
            if written.words in _RANGES:
                bound = _RANGES[written.words]
                return replace(known, base=RANGE, members=(("", ColumnType(bound, bound)),))
            return known
        text = self._types.get(written.name, "")
        tokens = _creating(text)
        words = [token.text for token in tokens]
        if not words and written.name[1] in _OF_EXTENSIONS:
            return replace(known, base=written.name[1])
        known = replace(known, modifiers=())
        if words[:2] == ["CREATE", "TYPE"] and "ENUM" in words:
            labels = (token.text for token in tokens if token.kind is Kind.STRING)
            meant = tuple(label[1:-1].replace("''", "'") for label in labels)
            return replace(known, base=ENUM, labels=meant, enum=written.name)
        if words[:2] == ["CREATE", "TYPE"] and ("AS", "RANGE") in pairwise(words):
            return replace(known, base=RANGE, members=self._bounds(tokens, depth))
        if words[:2] == ["CREATE", "TYPE"] and "AS" in words:
            return replace(known, base=RECORD, members=self._members_of(written.name))
        if words[:2] != ["CREATE", "DOMAIN"] or "AS" not in words or depth > _DEPTH_MAX:
            return replace(known, base=UNKNOWN, modifiers=written.modifiers)
        return self._domain(written, tokens[words.index("AS") + 1 :], depth)

    def _domain(self, written: _Written, rest: Sequence[Token], depth: int) -> ColumnType:
        end = next((at for at, one in enumerate(rest) if _ends_type(one)), len(rest))
        found = self._resolved(_parse(rest[:end]), depth + 1)
        if found.is_array and written.is_array:
            # Elements that are arrays stand in quotes.
            parts = replace(found, text=written.text, base=UNKNOWN, modifiers=written.modifiers)
            return replace(parts, labels=(), is_not_null=False)
        texts = [token.text for token in rest if token.kind is Kind.WORD]
        return replace(
            found,
            text=written.text,
            is_array=found.is_array or written.is_array,
            is_not_null=found.is_not_null or ("NOT", "NULL") in pairwise(texts),
        )

    def _bounds(self, tokens: Sequence[Token], depth: int) -> tuple[tuple[str, ColumnType], ...]:
        """Return the type of a range's bounds."""
        texts = [token.text for token in tokens]
        if "subtype" not in texts or depth > _DEPTH_MAX:
            return ()
        rest = tokens[texts.index("subtype") + 2 :]
        end = next((at for at, one in enumerate(rest) if one.text in ",)"), len(rest))
        return (("", self._resolved(_parse(rest[:end]), depth + 1)),)


def _is_small(members: Sequence[tuple[str, ColumnType]]) -> bool:
    """Return whether there are not too many columns within each other."""
    waiting, leaves = [(type_, 1) for _, type_ in members], 0
    while waiting:
        type_, level = waiting.pop()
        leaves += not type_.members
        if leaves > _LEAVES_MAX or level > _LEVELS_MAX:
            return False
        waiting += [(inner, level + 1) for _, inner in type_.members]
    return True


def _as_table(text: str) -> str:
    """Return the definition of a composite type as that of a table."""
    return f"CREATE TABLE {text.partition(' AS ')[2]}"


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
    return token.kind is Kind.WORD and token.text in _AFTER_BASE


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
