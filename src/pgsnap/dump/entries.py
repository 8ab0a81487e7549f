"""The entries of a dump: their headers, their kinds, the names in COPY statements.

A header is written by pg_dump's _printTocEntry (src/bin/pg_dump/pg_backup_archiver.c)::

    --
    -- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: bob
    --
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pgsnap.model import SectionKind
from pgsnap.patterns import regex

# The kind of each entry type of pg_dump 14 to 19 (and older), if the type determines it. The major
# versions differ in which types they write, never in what a type means: up to 16 a large object is
# made by a BLOB entry before the data, from 17 on by BLOB METADATA after the sequences; PUBLICATION
# TABLES IN SCHEMA comes with 15, STATISTICS DATA with 18, EXTENDED STATISTICS DATA with 19.
_TYPES: dict[SectionKind, tuple[str, ...]] = {
    SectionKind.DATABASE: ("DATABASE", "DATABASE PROPERTIES"),
    SectionKind.PRE_DATA: (
        "ACCESS METHOD", "AGGREGATE", "BLOB", "CAST", "COLLATION", "CONVERSION", "DEFAULT",
        "DOMAIN", "ENCODING", "EXTENSION", "FOREIGN DATA WRAPPER", "FOREIGN SERVER",
        "FOREIGN TABLE", "FUNCTION", "MATERIALIZED VIEW", "OPERATOR", "OPERATOR CLASS",
        "OPERATOR FAMILY", "PROCEDURAL LANGUAGE", "PROCEDURE", "SCHEMA", "SEQUENCE",
        "SEQUENCE OWNED BY", "SERVER", "SHELL TYPE", "TABLE", "TABLE ATTACH",
        "TEXT SEARCH CONFIGURATION", "TEXT SEARCH DICTIONARY", "TEXT SEARCH PARSER",
        "TEXT SEARCH TEMPLATE", "TRANSFORM", "TYPE", "USER MAPPING", "VIEW",
    ),
    SectionKind.DATA: ("TABLE DATA",),
    SectionKind.SEQUENCES: ("SEQUENCE SET",),
    SectionKind.LARGE_OBJECTS: ("BLOBS", "BLOB COMMENTS", "BLOB METADATA"),
    SectionKind.POST_DATA: (
        "ACL", "ACL LANGUAGE", "CHECK CONSTRAINT", "CONSTRAINT", "DEFAULT ACL", "EVENT TRIGGER",
        "FK CONSTRAINT", "INDEX", "INDEX ATTACH", "MATERIALIZED VIEW DATA", "POLICY",
        "PUBLICATION", "PUBLICATION TABLE", "PUBLICATION TABLES IN SCHEMA", "ROW SECURITY",
        "RULE", "STATISTICS", "SUBSCRIPTION", "SUBSCRIPTION TABLE", "TRIGGER",
    ),
    SectionKind.STATISTICS: ("STATISTICS DATA", "EXTENDED STATISTICS DATA"),
}  # fmt: skip
_KINDS = {type_name.encode(): kind for kind, types in _TYPES.items() for type_name in types}
BESIDE_RUN = frozenset({SectionKind.DATABASE, SectionKind.STATISTICS})
"""Kinds of entries that occur between others, and do not affect the kind of those after them."""

ENTRY = regex(
    rb"^--\r?\n(?:-- (?:TOC entry |Dependencies:).*\n)*"
    rb"-- (?:Data for |Statistics for )?Name: (?P<name>.*); Type: (?P<type>[A-Z ]+); "
    rb"Schema: (?P<schema>.*?); Owner: ?(?P<owner>.*?)(?:; Tablespace: .*?)?\r?\n--",
    re.M,
)
"""A header within a run of comment lines.

pg_dump writes line ends in names as spaces, but does not escape ``; Type: ``: the last match is the
true one, unless a schema's name contains it.
"""
DUMP_BEGIN = regex(rb"\s*--\r?\n-- PostgreSQL database dump\r?\n--\r?\n")
DUMP_END = regex(rb"^--\r?\n-- PostgreSQL database dump complete\r?\n--\r?\n", re.M)
CLUSTER_BEGIN = regex(rb"\s*--\r?\n-- PostgreSQL database cluster dump\r?\n--\r?\n")
CLUSTER_END = regex(rb"^--\r?\n-- PostgreSQL database cluster dump complete\r?\n--\r?\n", re.M)

_IDENTIFIER = rb'(?:"(?:[^"]|"")+"|[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*)'
_COPY = regex(rb"\\?COPY\s+(?:BINARY\s+)?(%b)(?:\s*\.\s*(%b))?" % (_IDENTIFIER, _IDENTIFIER), re.I)

# PostgreSQL's names of client encodings where Python's differ by more than case and punctuation.
_CODECS = {
    "unicode": "utf-8",
    "mule_internal": "",
    "sql_ascii": "",
    "euc_jis_2004": "euc_jis_2004",
    "euc_cn": "gb2312",
    "euc_tw": "",
    "sjis": "cp932",
    "uhc": "cp949",
    "koi8r": "koi8_r",
    "koi8u": "koi8_u",
    "johab": "johab",
    "latin6": "iso8859_10",
    "latin7": "iso8859_13",
    "latin8": "iso8859_14",
    "latin9": "iso8859_15",
    "latin10": "iso8859_16",
    "win866": "cp866",
    "win874": "cp874",
    "windows949": "cp949",
}


class Entry(NamedTuple):
    """The header of an entry, as given in its comment. Names are not always the true ones."""

    name: bytes
    type: bytes
    schema: bytes
    owner: bytes


def parse_entry(header: re.Match[bytes]) -> Entry:
    """Return the entry of an ENTRY match. A missing schema or owner ("-") is empty."""
    name, type_name, schema, owner = header.groups()
    return Entry(
        name, type_name, b"" if schema == b"-" else schema, b"" if owner == b"-" else owner
    )


def entry_kind(entry: Entry, run: SectionKind) -> SectionKind:
    """Return the kind of the section that *entry* belongs to.

    *run* is the kind of the entry before it, leaving out those about the database and statistics;
    PRE_DATA at the start. COMMENT, SECURITY LABEL and unknown types continue the run. A function or
    materialized view that needs an index comes after the data and belongs to post-data.
    """
    if _is_about_database(entry, run):
        return SectionKind.DATABASE
    kind = _KINDS.get(entry.type)
    if kind is SectionKind.PRE_DATA and run is not SectionKind.PRE_DATA:
        return SectionKind.POST_DATA
    if kind is None or kind is SectionKind.DATABASE:
        return SectionKind.POST_DATA if run is SectionKind.DATA else run
    return kind


def _is_about_database(entry: Entry, run: SectionKind) -> bool:
    """Return whether *entry* changes the database itself. Restores never send such an entry, so a
    schema named ``x; Type: DATABASE; Schema: -`` must not make a table look like one."""
    if b"; Type: " in entry.name:
        return False
    if _KINDS.get(entry.type) is SectionKind.DATABASE:
        return run is SectionKind.PRE_DATA
    is_attached = entry.type in (b"ACL", b"COMMENT", b"SECURITY LABEL")
    return is_attached and entry.name.startswith(b"DATABASE ")


def copied_table(statement: bytes, encoding: str) -> tuple[str, str]:
    """Return schema ("" if there is none) and name of the table of a COPY statement."""
    match = _COPY.match(statement)
    if match is None:
        return "", ""
    first, second = (_identifier(part, encoding) for part in match.groups(default=b""))
    return (first, second) if second else ("", first)


def _identifier(text: bytes, encoding: str) -> str:
    name = decode(text, encoding)
    if name.startswith('"'):
        return name[1:-1].replace('""', '"')
    return "".join(char.lower() if char.isascii() else char for char in name)


def decode(text: bytes, encoding: str) -> str:
    """Decode *text* from PostgreSQL's *encoding*, else from UTF-8 with surrogate escapes."""
    try:
        return text.decode(_codec(encoding))
    except (LookupError, UnicodeDecodeError):
        return text.decode("utf-8", "surrogateescape")


def encode(text: str, encoding: str) -> bytes:
    """Encode *text* to PostgreSQL's *encoding*: the inverse of `decode`."""
    try:
        return text.encode(_codec(encoding))
    except (LookupError, UnicodeEncodeError):
        return text.encode("utf-8", "surrogateescape")


def _codec(encoding: str) -> str:
    key = encoding.lower()
    codec = _CODECS.get(key, key.replace("win", "cp", 1) if key.startswith("win") else key)
    return codec or "utf-8"
