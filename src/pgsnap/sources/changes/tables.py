"""The tables of a database that have rows of their own, as a snapshot shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pgsnap.model.baseline import TableState
from pgsnap.sessions.base import Session, ident, number
from pgsnap.sources.changes.facts import ServerState
from pgsnap.sources.changes.signatures import LARGE_OBJECTS_OID, NO_COLUMNS, Signature

_FIRST_USER_OID = 16384
_HEAP = 2

# As pg_dump locks them. The order is the same for all, as in any program that locks many tables.
_TO_LOCK = f"""
SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.oid >= {_FIRST_USER_OID} AND c.relpersistence <> 't'
ORDER BY c.oid
"""
_STATES = f"""
SELECT c.oid, n.nspname, c.relname, c.relfilenode, pg_relation_filenode(c.oid), c.reltablespace,
       coalesce(pg_relation_size(c.oid, 'main'), 0) / {{block_bytes}}, c.relpersistence, c.relam,
       EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND (c.oid >= {_FIRST_USER_OID}
       OR c.oid = {LARGE_OBJECTS_OID} AND has_table_privilege(c.oid, 'SELECT'))
ORDER BY c.oid
"""
Locked = Sequence[tuple[int, str, str]]
"""OID, schema and name of each."""


def tables_to_lock(session: Session) -> Locked:
    """Return the tables and partitioned tables. Raises QueryFailed, ConnectionFailed."""
    return [
        (int(oid or 0), schema or "", name or "") for oid, schema, name in session.query(_TO_LOCK)
    ]


def lock_statement(tables: Locked) -> str:
    """Return the statement that locks *tables* against being rewritten or dropped."""
    if not tables:
        return ""
    names = ", ".join(f"ONLY {ident(schema)}.{ident(name)}" for _, schema, name in tables)
    return f"LOCK TABLE {names} IN ACCESS SHARE MODE;"


def read_tables(
    session: Session, state: ServerState, signatures: Mapping[int, Signature]
) -> tuple[tuple[TableState, ...], list[str]]:
    """Return the tables with rows, and the names of those that were rewritten since the snapshot of
    *session*. Raises QueryFailed, ConnectionFailed."""
    found, rewritten = [], []
    for row in session.query(_STATES.format(block_bytes=number(state.block_bytes))):
        oid, schema, name, node, node_now, space, blocks, persistence, method, is_config = row
        if node != node_now and oid != str(LARGE_OBJECTS_OID):
            rewritten.append(f"{schema}.{name}")
        signature = signatures.get(int(oid or 0), NO_COLUMNS)
        reason = ""
        if persistence != "p":
            reason = "it is unlogged"
        elif method != str(_HEAP):
            reason = "it has an access method of its own"
        elif is_config == "t":
            reason = "it belongs to an extension, which decides what is dumped of it"
        elif signature.volatile:
            reason = f"what a value of the type {signature.volatile} looks like may change"
        found.append(
            TableState(
                oid=int(oid or 0),
                schema=schema or "",
                name=name or "",
                relfilenode=int(node or 0),
                tablespace=int(space or 0) or state.tablespace,
                blocks=int(blocks or 0),
                columns=signature.columns,
                types=signature.types,
                always_read=reason,
            )
        )
    return tuple(found), rewritten
