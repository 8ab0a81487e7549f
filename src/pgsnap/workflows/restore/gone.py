"""Finds what the live database has and a snapshot lacks: a restore removes it.

A snapshot of a server covers a whole database, so whatever it lacks was added later and remains in
the kept database. For a file this is unknown: pg_dump -t omits other tables silently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import field

from pgsnap.dump.definitions.entry_stream import entries
from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.dump.entries import decode
from pgsnap.errors import ConnectionFailed, QueryFailed
from pgsnap.model import SectionKind, Snapshot, SourceKind
from pgsnap.patterns import regex
from pgsnap.repository.chunks.stream import text_of_kinds
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.targets.checks.preflight import Findings, LiveDatabase, Problem
from pgsnap.values import dataclass
from pgsnap.words import number, plural, some
from pgsnap.workflows.contents.table_names import shown

_OURS = "n.nspname <> 'information_schema' AND NOT pg_catalog.starts_with(n.nspname, 'pg_')"
_TABLES = f"""
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {_OURS}
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'
      AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""
_SCHEMAS = f"""
SELECT n.nspname FROM pg_catalog.pg_namespace n WHERE n.nspname <> 'public' AND {_OURS}
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = n.oid AND d.deptype = 'e'
      AND d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass)
ORDER BY n.nspname COLLATE "C"
"""
_EXTENSIONS = 'SELECT extname FROM pg_catalog.pg_extension ORDER BY extname COLLATE "C"'
_LARGE_OBJECTS = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata"
_KINDS = (SectionKind.PRE_DATA, SectionKind.POST_DATA)
_MADE = frozenset({b"TABLE", b"FOREIGN TABLE"})
_PARTITIONED = b"\nPARTITION BY "
_NAME = rb'(?:"(?:[^"]|"")+"|[\w$\x80-\xff]+)'
_CREATE_TABLE = regex(
    rb"\bCREATE\s+(?:UNLOGGED\s+|FOREIGN\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    rb"(?:(%b)\s*\.\s*)?(%b)" % (_NAME, _NAME),
    re.I,
)
_CARRIED_BYTES = 400


@dataclass(frozen=True, slots=True)
class Gone:
    """What the live database has and the snapshot lacks, each list sorted by name."""

    schemas: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    large_objects: int = 0

    def __str__(self) -> str:
        words = [
            f"{plural(len(names), noun)} ({some(names)})"
            for noun, names in (
                ("schema", self.schemas),
                ("table", self.tables),
                ("extension", self.extensions),
            )
            if names
        ]
        if self.large_objects:
            words.append(plural(self.large_objects, "large object"))
        return ", ".join(words)


NOTHING = Gone()


@dataclass(slots=True)
class _Has:
    """What a snapshot has. *anywhere* are tables whose schema is unknown, *empty* those that it
    creates without rows; *extensions* is None if they are unknown."""

    schemas: set[str] = field(default_factory=set)
    tables: set[TableName] = field(default_factory=set)
    anywhere: set[str] = field(default_factory=set)
    extensions: set[str] | None = None
    large_objects: bool = False
    empty: list[TableName] = field(default_factory=list)


def find_gone(
    repo: Repository, snapshot: Snapshot, server: Server, live: LiveDatabase, *, partial: bool
) -> tuple[Gone, Findings]:
    """Return what of *live* the snapshot lacks, and what that means for replacing it: a dump from a
    file is refused unless *partial*. Raises CorruptionError."""
    if live.is_half_dropped or not live.allows_connections:
        return NOTHING, Findings()
    try:
        with server.without_event_triggers().connect(live.name) as session:
            there = _there(session)
    except (ConnectionFailed, QueryFailed) as error:
        told = f"what {live.name} has and the snapshot lacks is not known: {error.message}"
        return NOTHING, Findings(warnings=(told,))
    has = _has(repo, snapshot)
    gone = _lacking(there, has)
    return gone, _judge(snapshot, live, gone, has.empty, partial=partial)


@dataclass(frozen=True, slots=True)
class _There:
    schemas: tuple[str, ...]
    tables: tuple[TableName, ...]
    extensions: tuple[str, ...]
    large_objects: int


def _there(session: Session) -> _There:
    def names(sql: str) -> tuple[str, ...]:
        return tuple(name or "" for (name,) in session.query(sql))

    tables = tuple((schema or "", name or "") for schema, name in session.query(_TABLES))
    return _There(
        names(_SCHEMAS), tables, names(_EXTENSIONS), int(session.query(_LARGE_OBJECTS)[0][0] or 0)
    )


def _has(repo: Repository, snapshot: Snapshot) -> _Has:
    has = _Has()
    for section in repo.sections(snapshot):
        kind, schema, table = section.name.kind, section.name.schema, section.name.name
        if kind is SectionKind.DATA:
            has.tables.add((schema, table))
            if not schema:
                has.anywhere.add(table)
        has.large_objects |= kind is SectionKind.LARGE_OBJECTS
    blocks = text_of_kinds(repo, snapshot, *_KINDS)
    encoding = snapshot.origin.client_encoding
    if not snapshot.origin.is_pg_dump:
        for schema, table in _foreign_tables(blocks, encoding):
            if schema:
                has.tables.add((schema, table))
            else:
                # It may be a table of any schema.
                has.anywhere.add(table)
        has.schemas = {schema for schema, _ in has.tables}
        return has
    properties = snapshot.origin.properties
    # Every new database has PL/pgSQL, and no dump creates it.
    extensions = {each.name for each in properties.extensions} if properties else {"plpgsql"}
    for entry, text in entries(blocks):
        if entry.type in _MADE:
            # A header has spaces in place of line ends in a name.
            statement = _CREATE_TABLE.search(text)
            written = statement.groups() if statement else (entry.schema, entry.name)
            made = _plain(written[0] or entry.schema, encoding), _plain(written[1], encoding)
            is_partitioned = entry.type != b"TABLE" or _PARTITIONED in text
            # So far *tables* has those with rows; for INSERTs their names, too, are from headers.
            if not is_partitioned and has.tables.isdisjoint({made, _in_header(made)}):
                has.empty.append(made)
            has.tables.add(made)
        elif entry.type == b"SCHEMA":
            has.schemas.add(decode(entry.name, encoding))
        elif entry.type == b"EXTENSION":
            extensions.add(decode(entry.name, encoding))
    has.extensions = extensions
    return has


def _foreign_tables(blocks: Iterable[bytes], encoding: str) -> Iterator[tuple[str, str]]:
    before = b""
    for block in blocks:
        text = before + block
        for found in _CREATE_TABLE.finditer(text):
            yield _plain(found[1] or b"", encoding), _plain(found[2], encoding)
        before = text[-_CARRIED_BYTES:]


def _in_header(table: TableName) -> TableName:
    schema, name = (part.replace("\n", " ").replace("\r", " ") for part in table)
    return schema, name


def _plain(name: bytes, encoding: str) -> str:
    text = decode(name, encoding)
    return text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()


def _lacking(there: _There, has: _Has) -> Gone:
    return Gone(
        tuple(name for name in there.schemas if name not in has.schemas),
        tuple(
            shown(table)
            for table in there.tables
            if table not in has.tables and table[1] not in has.anywhere
        ),
        tuple(
            n for n in there.extensions if has.extensions is not None and n not in has.extensions
        ),
        0 if has.large_objects else there.large_objects,
    )


def _judge(
    snapshot: Snapshot, live: LiveDatabase, gone: Gone, empty: list[TableName], *, partial: bool
) -> Findings:
    is_file = snapshot.origin.kind is SourceKind.FILE
    warnings: tuple[str, ...] = ()
    if gone != NOTHING:
        warnings = (f"{live.name} has what the snapshot lacks, and loses it: {gone}",)
    problems: list[Problem] = []
    hint = (
        "Restore it beside (--to NEW), single tables of it (--table), or say that this is meant:"
        " --partial."
    )
    if is_file and not partial and (gone.tables or gone.large_objects):
        problems.append(
            Problem(
                f"the dump in the file lacks what {live.name} has: {gone}",
                detail="It may be of a part of a database (pg_dump -t, -n or -T): of a file nobody"
                " can tell. All of this would be gone.",
                hint=hint,
            )
        )
    # If the dump as a whole shows it, it is already reported.
    if is_file and empty and not snapshot.origin.part:
        names = some(list(map(shown, empty)))
        words = f"the dump in the file has no rows of {number(len(empty))} of its tables: {names}"
        if partial:
            warnings += (f"{words}: they will be empty",)
        else:
            problems.append(Problem(words, detail="They would be empty.", hint=hint))
    return Findings(tuple(problems), warnings)
