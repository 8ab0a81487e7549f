"""Rows of hash partitions whose hash depends on OIDs, which differ in every database.

Values of an enum, and references to tables and types (regclass, regtype), are stored as OIDs and
hashed as such. In another database the same row belongs to a different partition. If the key is an
enum, pg_dump inserts all rows through the topmost table, which routes them again. If an enum is
inside an array, a row or a range it does not, and the server rejects rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from pgsnap.dump.copy_head import with_heads
from pgsnap.dump.entries import encode
from pgsnap.model import DumpEvent, SectionKind, SectionName, SectionStart
from pgsnap.patterns import regex
from pgsnap.sessions.base import Session, ident

Table: TypeAlias = "tuple[str, str]"
"""Schema and name."""

_BY_HASH = b"\nPARTITION BY HASH ("
_NAME = rb'(?:"(?:[^"]|"")+"|[^\s,.;()"]+)'
_COPY = regex(rb"^COPY %b\.%b (?=\(|FROM stdin;$)" % (_NAME, _NAME), re.M)
# The type of a key that is an expression is in no catalog: it is assumed to contain OIDs if the
# operator class is for any array, row, range or multirange.
_CHOSEN_ANEW = """
WITH RECURSIVE key (tree, type) AS (
  SELECT p.partrelid, a.atttypid FROM pg_catalog.pg_partitioned_table p
  JOIN pg_catalog.pg_attribute a ON a.attrelid = p.partrelid
    AND a.attnum = ANY (p.partattrs::pg_catalog.int2[])
  WHERE p.partstrat = 'h'
  UNION
  SELECT k.tree, inner_type.oid FROM key k JOIN pg_catalog.pg_type y ON y.oid = k.type,
  LATERAL (
    SELECT y.typbasetype WHERE y.typtype = 'd'
    UNION ALL SELECT y.typelem WHERE y.typelem <> 0
    UNION ALL SELECT g.rngsubtype FROM pg_catalog.pg_range g
      WHERE y.oid IN (g.rngtypid, g.rngmultitypid)
    UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
      WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped
  ) AS inner_type (oid)
), tree (oid) AS (
  SELECT k.tree FROM key k JOIN pg_catalog.pg_type y ON y.oid = k.type
  WHERE y.typtype = 'e'
    OR y.typnamespace = 'pg_catalog'::pg_catalog.regnamespace AND y.typname ~ '^reg[a-z]+$'
  UNION
  SELECT p.partrelid FROM pg_catalog.pg_partitioned_table p
  WHERE p.partstrat = 'h' AND EXISTS (
    SELECT FROM ROWS FROM (pg_catalog.unnest(p.partattrs::pg_catalog.int2[]),
      pg_catalog.unnest(p.partclass::pg_catalog.oid[])) AS part (attribute, class)
    JOIN pg_catalog.pg_opclass o ON o.oid = part.class
    WHERE part.attribute = 0 AND o.opcintype = ANY (
      '{anyarray,record,anyrange,anymultirange}'::pg_catalog.regtype[]))
)
SELECT DISTINCT n.nspname, c.relname, rn.nspname, r.relname
FROM tree, LATERAL pg_catalog.pg_partition_tree(tree.oid) leaf
JOIN pg_catalog.pg_class c ON c.oid = leaf.relid AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class r ON r.oid = pg_catalog.pg_partition_root(c.oid)
JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
"""


def chosen_anew(session: Session) -> dict[Table, Table]:
    """Return the tables of *session*'s database whose rows may belong to a different partition in
    another database, each with its topmost table, which routes them correctly."""
    return {
        (schema or "", name or ""): (root_schema or "", root or "")
        for schema, name, root_schema, root in session.query(_CHOSEN_ANEW)
    }


def by_way_of_roots(
    events: Iterable[DumpEvent],
    ready: Callable[[], Mapping[SectionName, tuple[Table, int]]],
    encoding: str,
) -> Iterator[DumpEvent]:
    """Yield the *events* of a dump such that rows which may belong to a different partition are
    inserted through the topmost table.

    *ready* is called once, before the first rows of a dump that has hash partitions: it returns
    which sections' rows go to which table instead, and how many bytes precede the rows. *encoding*
    is that of the dump.
    """
    given: Mapping[SectionName, tuple[Table, int]] | None = None
    watch = _HashWatch()

    def head_of(name: SectionName) -> tuple[int, Callable[[bytes], bytes]] | None:
        nonlocal given
        if name.kind is not SectionKind.DATA or not watch.has_hashes:
            return None
        given = ready() if given is None else given
        if name not in given:
            return None
        table, size = given[name]
        return size, lambda head: _given_to(table, head, encoding)

    return with_heads(watch.passing(events), head_of)


class _HashWatch:
    """Detects hash partitions in the definitions that pass through."""

    def __init__(self) -> None:
        self.has_hashes = False

    def passing(self, events: Iterable[DumpEvent]) -> Iterator[DumpEvent]:
        are_definitions, before = False, b""
        for event in events:
            if isinstance(event, SectionStart):
                are_definitions = event.name.kind is SectionKind.PRE_DATA
            elif isinstance(event, bytes) and are_definitions and not self.has_hashes:
                self.has_hashes = _BY_HASH in before + event
                before = event[-len(_BY_HASH) :]
            yield event


def _given_to(table: Table, head: bytes, encoding: str) -> bytes:
    """Return the text that precedes rows, with *table* in its COPY statement."""
    copy = encode(f"COPY {ident(table[0])}.{ident(table[1])} ", encoding)
    return _COPY.sub(lambda _: copy, head, count=1)
