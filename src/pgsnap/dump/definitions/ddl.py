"""The definitions in a dump: its individual entries, primary keys, values of sequences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from sys import intern

from pgsnap.dump.entries import ENTRY, decode, parse_entry
from pgsnap.dump.lexer import Lexer, Piece
from pgsnap.limits import READ_BYTES
from pgsnap.patterns import regex
from pgsnap.values import dataclass

_SETTINGS = b"SETTING"
# How pg_dump, within an entry of rights, sets the grantor of what follows. The statement before an
# entry, for its owner, has the name in single quotes.
GRANTOR = regex(rb"SET SESSION AUTHORIZATION [^'\s]")
_NAME = rb'(?:"(?:[^"]|"")+"|[^\s,.;()"]+)'
_TABLE = rb"(%b)\.(%b)" % (_NAME, _NAME)
# The types of entries that may belong to a table. Others may contain any SQL in their bodies.
_OF_TABLES = frozenset(
    (
        *(b"CONSTRAINT", b"FK CONSTRAINT", b"CHECK CONSTRAINT", b"DEFAULT", b"INDEX"),
        *(b"TABLE ATTACH", b"TRIGGER", b"RULE", b"POLICY", b"ROW SECURITY", b"STATISTICS"),
        *(b"ACL", b"COMMENT", b"SECURITY LABEL"),
    )
)
# Words of a statement; quoted names may contain anything, including keywords and line ends.
_WORDS = rb'(?:[^"\n;]|"(?:[^"]|"")*")*?'
_ANY_NAME = rb'(?:"(?:[^"]|"")+"|[^\s"]+)'
# Matches the table that a statement of an entry belongs to.
_BELONGS = regex(
    rb"^(?:ALTER (?:FOREIGN )?TABLE (?:ONLY )?"
    rb"|CREATE (?:UNIQUE )?INDEX %(name)b ON (?:ONLY )?"
    rb"|CREATE (?:CONSTRAINT )?TRIGGER %(name)b %(words)b ON |CREATE POLICY %(name)b ON "
    rb"|(?:COMMENT|SECURITY LABEL FOR %(name)b) ON (?:TABLE |COLUMN )"
    rb"|(?:GRANT|REVOKE) %(words)b ON TABLE )" % {b"name": _ANY_NAME, b"words": _WORDS} + _TABLE,
    re.M,
)
_RULE = regex(rb"^CREATE RULE %b AS\s+ON (?:INSERT|UPDATE|DELETE|SELECT) TO " % _ANY_NAME + _TABLE)
# An expression may contain FROM too: the last one counts.
_STATISTICS = regex(rb"^CREATE STATISTICS .* FROM " + _TABLE + rb";", re.S)
_MADE = regex(rb"^CREATE (?:UNLOGGED |FOREIGN )?TABLE " + _TABLE, re.M)
_PRIMARY_KEY = regex(
    rb"^ALTER TABLE (?:ONLY )?" + _TABLE + rb"\s+ADD CONSTRAINT " + _NAME + rb" PRIMARY KEY \("
    rb"((?:[^\"()]|\"(?:[^\"]|\"\")+\")+)\)",
    re.M,
)
_IDENTIFIER = regex(rb'"((?:[^"]|"")+)"|([^\s,"]+)')
# The tablespace and access method of a table or index: pg_dump writes them only when they change.
_PLACE = regex(rb"SET (default_tablespace|default_table_access_method) = .*;", re.S)
# What an entry of these types is about: the words of its kind, then its name; of a part of a table
# the words up to the table's name.
_ATTACHED = frozenset(("ACL", "COMMENT", "SECURITY LABEL"))
_OBJECT = regex(
    r'((?:CONSTRAINT|TRIGGER|RULE|POLICY) (?:"(?:[^"]|"")+"|[^\s"]+) ON |(?:[A-Z]+ )+)(.+)'
)
_SEQUENCE = regex(
    rb"^SELECT (?:pg_catalog\.)?setval\('((?:[^']|'')+)', (-?\d+), (true|false)\);", re.M
)


@dataclass(frozen=True, slots=True)
class DdlEntry:
    """One entry of a dump, or all its SETs (type ``SETTING``). *text* is without its header.

    *table* is the table that it defines or changes, as schema and name, None if there is none.
    *place* are the statements that set its tablespace and access method. *owner* is as in its
    header: "" if the dump was made without owners.
    """

    type: str
    schema: str
    name: str
    text: str
    table: tuple[str, str] | None
    place: str = ""
    owner: str = ""

    @property
    def title(self) -> str:
        """What the entry is, with the schema before the name that it qualifies."""
        type_name, name = self.type, self.name
        where = f"{self.schema}." if self.schema else ""
        if type_name == "DEFAULT ACL":
            return f"{name} IN SCHEMA {self.schema}" if where else name
        if type_name in _ATTACHED and (match := _OBJECT.fullmatch(name)) is not None:
            return f"{type_name} ON {match[1]}{where}{match[2]}"
        if type_name == "PUBLICATION TABLE":
            publication, _, table = name.partition(" ")
            return f"{type_name} {publication} {where}{table}"
        if name.startswith(f"{type_name} "):
            # CAST (a AS b), where the schema is that of casts.
            return name
        return f"{type_name} {where}{name}".rstrip()


def ddl_entries(
    text: bytes, encoding: str, places: dict[bytes, bytes] | None = None
) -> dict[tuple[str, str, str, int], DdlEntry]:
    """Return the entries of a section of definitions in order, by type, schema, name, and the
    number of those with the same three. What precedes the first header has the type ``SQL``.

    Settings are collected in one entry, since in the dump they precede whichever entry needs them
    first. *places* are the tablespace and access method settings in effect at the start of the
    text; it is updated to those at its end, for the next section.
    """
    places = {} if places is None else places
    found: list[tuple[bytes, bytes, bytes, bytes, bytes, list[bytes]]] = [
        (b"SQL", b"", b"", b"", b"", [])
    ]
    settings: dict[bytes, None] = {}
    for piece, data in _pieces(text):
        header = ENTRY.search(data) if piece is Piece.COMMENT else None
        if header is not None:
            entry = parse_entry(header)
            place = b"\n".join(places.values())
            found.append((entry.type, entry.schema, entry.name, entry.owner, place, []))
        elif piece is Piece.SETTING and not (found[-1][0] == b"ACL" and GRANTOR.match(data)):
            settings[data.strip()] = None
            if (match := _PLACE.fullmatch(data.strip())) is not None:
                places[match[1]] = match[0]
        else:
            found[-1][5].append(data)
    if settings:
        found.append((_SETTINGS, b"", b"", b"", b"", [b"\n".join(settings)]))
    times: Counter[tuple[str, str, str]] = Counter()
    entries = {}
    for type_name, schema, name, owner, place, parts in found:
        body = b"".join(parts).strip()
        if not body:
            continue
        words = tuple(decode(part, encoding) for part in (type_name, schema, name))
        key = (words[0], words[1], words[2])
        table = _table_of(type_name, key, body, encoding)
        entries[(*key, times[key])] = DdlEntry(
            *key, decode(body, encoding), table, decode(place, encoding), decode(owner, encoding)
        )
        times[key] += 1
    return entries


def _table_of(
    type_name: bytes, key: tuple[str, str, str], body: bytes, encoding: str
) -> tuple[str, str] | None:
    match = None
    if type_name in (b"TABLE", b"FOREIGN TABLE"):
        # The header has spaces in place of line ends in names.
        match = _MADE.match(body)
        if match is None:
            return key[1], key[2]
    elif type_name in _OF_TABLES:
        found = _STATISTICS if type_name == b"STATISTICS" else _BELONGS
        match = found.search(body) or _RULE.search(body)
    if match is None:
        return None
    return _unquoted(match[1], encoding), _unquoted(match[2], encoding)


def primary_keys(
    text: bytes, encoding: str, tables: Collection[tuple[str, str]] | None = None
) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return the columns of each table's primary key, as pg_dump writes it after the data: of
    *tables*, None for all."""
    keys: dict[tuple[str, str], tuple[str, ...]] = {}
    # Most of very many tables have a key of the same names.
    same: dict[tuple[str, ...], tuple[str, ...]] = {}
    for body in _bodies(text, b"CONSTRAINT"):
        match = _PRIMARY_KEY.search(decode(body, encoding).encode("utf-8", "surrogateescape"))
        if match is None:
            continue
        table = intern(_unquoted(match[1], "UTF8")), _unquoted(match[2], "UTF8")
        if tables is None or table in tables:
            columns = re.sub(rb"(?<=[\s\"])WITHOUT OVERLAPS\s*$", b"", match[3])
            names = identifiers(columns, "UTF8")
            keys[table] = same.setdefault(names, names)
    return keys


def _bodies(text: bytes, type_name: bytes) -> Iterator[bytes]:
    """Yield the entries of a type without their headers, one at a time."""
    parts: list[bytes] | None = None
    for piece, data in _pieces(text):
        header = ENTRY.search(data) if piece is Piece.COMMENT else None
        if header is not None:
            if parts:
                yield b"".join(parts).strip()
            parts = [] if parse_entry(header).type == type_name else None
        elif parts is not None and piece is not Piece.SETTING:
            parts.append(data)
    if parts:
        yield b"".join(parts).strip()


def _pieces(text: bytes) -> Iterator[tuple[Piece, bytes]]:
    """Yield the pieces of a text; not all of them are held at once."""
    lexer = Lexer()
    for start in range(0, len(text), READ_BYTES):
        yield from lexer.feed(text[start : start + READ_BYTES])
    yield from lexer.finish()


def columns_of_type(
    text: bytes, encoding: str, type_name: str
) -> Mapping[tuple[str, str], frozenset[str]]:
    """Return each table's columns of *type_name*, or of arrays of it, as pg_dump writes them: one
    per line."""
    if type_name.encode() not in text:
        return {}
    column = re.compile(rb"^ {4}(%b) %b(?:\[\])*(?=[,\s]|$)" % (_NAME, type_name.encode()), re.M)
    found = {}
    for entry in ddl_entries(text, encoding).values():
        if entry.type == "TABLE" and entry.table is not None:
            names = column.findall(entry.text.encode("utf-8", "surrogateescape"))
            if names:
                found[entry.table] = frozenset(_unquoted(name, "UTF8") for name in names)
    return found


def identifiers(words: bytes, encoding: str) -> tuple[str, ...]:
    """Return the names in a list such as ``id, "Order No"``."""
    return tuple(_unquoted(match[0], encoding) for match in _IDENTIFIER.finditer(words))


def sequence_values(text: bytes, encoding: str) -> dict[str, tuple[int, bool]]:
    """Return the state of each sequence: its last value, and is_called."""
    return {
        decode(match[1].replace(b"''", b"'"), encoding): (int(match[2]), match[3] == b"true")
        for match in _SEQUENCE.finditer(text)
    }


def _unquoted(name: bytes, encoding: str) -> str:
    text = decode(name, encoding)
    return text[1:-1].replace('""', '"') if text.startswith('"') else text
