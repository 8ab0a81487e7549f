"""Preserves the order of rows: they are restored in the order of the dump.

COPY puts a row that is short enough into free space on an earlier page, so a loaded table does not
dump to the same text. PostgreSQL does not use such space in a table that was truncated in the same
transaction (heap_insert with HEAP_INSERT_SKIP_FSM), so each larger COPY becomes BEGIN; TRUNCATE;
COPY; COMMIT. Then an unchanged database is recognized as unchanged after a restore too, and its
chunks are those already stored.

In such a transaction COPY can also write rows frozen, with pages marked as all-visible. Nobody else
sees the table, so nothing is lost by it, and large loads write nearly half as much WAL: with
checksums the first reader's hint bits log every page that was written before a checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

from pgsnap.dump.entries import encode
from pgsnap.model import DumpEvent, Section, SectionEnd, SectionKind, SectionStart
from pgsnap.sessions.base import Session, ident

Table: TypeAlias = "tuple[str, str]"
"""Schema and name."""

# Rows that fit on one page cannot change places.
_PAGE_BYTES = 8192
# With --use-set-session-authorization the statement before a table's own may still run as the owner
# of another one, who may not truncate it.
_AS_ANOTHER = b"SET SESSION AUTHORIZATION"
_COPY_END = b" FROM stdin;\n"
_COPY_FROZEN = b" FROM stdin WITH (FREEZE);\n"


def tables_to_keep(sections: Iterable[Section]) -> dict[Table, int]:
    """Return the tables of *sections* whose rows could change places, each with the number of bytes
    that precede its rows.

    A table whose rows come in several parts is left out: TRUNCATE would lose the earlier parts.
    """
    large: dict[Table, int] = {}
    # Only their hashes: if two tables share one, their order is not preserved, and nothing is lost.
    seen: set[int] = set()
    for section in sections:
        if section.name.kind is not SectionKind.DATA:
            continue
        table = section.name.schema, section.name.name
        if hash(table) in seen:
            large.pop(table, None)
        elif section.rows is not None and section.plain_bytes > _PAGE_BYTES:
            large[table] = section.head_bytes
        seen.add(hash(table))
    return large


def empty_tables(session: Session) -> frozenset[Table]:
    """Return the tables of *session*'s database that may be truncated because they are empty.

    No partitioned tables: their rows are in others. None of an extension: it may have rows of its
    own. None of another access method: its rows may not be in the file that is checked. None with
    an incoming foreign key: TRUNCATE refuses it.
    """
    rows = session.query(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'heap'"
        " WHERE c.relkind = 'r' AND pg_catalog.pg_relation_size(c.oid) = 0"
        " AND pg_catalog.has_table_privilege(c.oid, 'TRUNCATE')"
        " AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e'"
        " AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid)"
        " AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint f"
        " WHERE f.contype = 'f' AND f.confrelid = c.oid)"
    )
    return frozenset((schema or "", name or "") for schema, name in rows)


def keep_order(
    events: Iterable[DumpEvent],
    wanted: Mapping[Table, int],
    ready: Callable[[], Collection[Table]],
    encoding: str,
) -> Iterator[DumpEvent]:
    """Yield *events*, with statements around the rows of the tables *wanted* that preserve their
    order, and their COPY statements such that the rows are frozen at once.

    *wanted* is the result of `tables_to_keep`. *ready* is called once, before the first such table:
    it returns those that may be truncated. *encoding* is that of the dump. No line is added, so
    line numbers stay the same. A dump that switches roles on the way is passed through unchanged.
    """
    may_empty: Collection[Table] | None = None
    in_transaction = False
    head: bytes | None = None
    head_bytes = 0
    for event in events:
        if isinstance(event, bytes):
            if may_empty is None and _AS_ANOTHER in event:
                may_empty = ()
            if head is not None:
                head += event
                if len(head) < head_bytes:
                    continue
                event, head = frozen(head[:head_bytes]) + head[head_bytes:], None
            yield event
        elif isinstance(event, SectionEnd):
            if head is not None:
                yield head
                head = None
            if in_transaction:
                in_transaction = False
                yield b"COMMIT; "
            yield event
        else:
            table = _table(event)
            if table in wanted and may_empty is None:
                may_empty = ready()
            yield event
            if table in wanted and may_empty and table in may_empty:
                in_transaction = True
                head, head_bytes = b"", wanted[table]
                name = f"{ident(table[0])}.{ident(table[1])}"
                yield b"BEGIN; TRUNCATE ONLY " + encode(name, encoding) + b"; "


def frozen(head: bytes) -> bytes:
    """Return the *head* of a section, which ends with its COPY statement, such that this freezes
    the rows: the table must have been emptied in the same transaction."""
    if not head.endswith(_COPY_END):
        return head
    return head.removesuffix(_COPY_END) + _COPY_FROZEN


def _table(start: SectionStart) -> Table:
    is_data = start.name.kind is SectionKind.DATA
    return (start.name.schema, start.name.name) if is_data else ("", "")
