"""Holds the snapshot that pg_dump uses, in a session of ours that can find what pg_dump missed.

pg_dump takes its snapshot first and its locks afterwards, by name. Of a table that was rewritten in
between (ALTER TYPE, TRUNCATE and a reload, DROP and CREATE) the snapshot sees no row: pg_dump
writes an empty table and exits with status 0. If names were swapped in the meantime, it writes the
rows of one table or column as those of another. Once it has its locks none of this can happen any
more, and it writes nothing before; so the check runs when its first bytes have arrived.

Locking the tables here first would not help: a session that then waits for a table to rewrite it
queues between our lock and pg_dump's, and all three deadlock undetected.
"""

from __future__ import annotations

from pgsnap.sessions.base import Session, literal
from pgsnap.values import dataclass

TableName = tuple[str, str]

_BEGIN = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY NOT DEFERRABLE;"
    " SELECT pg_catalog.pg_export_snapshot()"
)
_FIRST_USER_OID = 16384
_BACKENDS = "SELECT a.pid FROM pg_stat_activity a WHERE a.application_name = {application}"
_LOCKED = f"""
SELECT DISTINCT l.relation AS oid FROM pg_locks l
WHERE l.pid IN ({{pids}}) AND l.locktype = 'relation' AND l.granted
  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
  AND l.relation >= {_FIRST_USER_OID}
"""
_HOLDS_LOCKS = """
SELECT 1 FROM pg_locks l WHERE l.pid IN ({pids}) AND l.locktype = 'relation' LIMIT 1
"""
_ALL = f"""
SELECT c.oid FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND c.oid >= {_FIRST_USER_OID} AND c.relpersistence <> 't'
"""
# Catalogs are read as of the snapshot; the functions see what is committed by now. For what was
# dropped in the meantime they return no identity and no file.
_NOW = "pg_identify_object('pg_class'::regclass, {relation}, 0) AS relation"
_MOVED = "relation.identity IS DISTINCT FROM format('%I.%I', n.nspname, c.relname)"
_CHANGED = f"""
WITH held AS MATERIALIZED ({{held}})
SELECT coalesce(n.nspname, (parse_ident(relation.identity))[1]),
       coalesce(c.relname, (parse_ident(relation.identity))[2])
FROM held
LEFT JOIN pg_class c ON c.oid = held.oid
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace,
     {_NOW.format(relation="held.oid")}
WHERE c.oid IS NULL
   OR {_MOVED}
   OR c.relkind = 'r' AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid)
ORDER BY 1, 2
"""
# No function returns the current names of columns at a bearable cost: they are read twice, and as
# one value, because there may be two hundred thousand tables.
_COLUMNS = f"""
SELECT string_agg(each.oid || ' ' || each.hash, ',' ORDER BY each.oid)
FROM (
    SELECT a.attrelid AS oid, bit_xor(hashtextextended(a.attnum || ' ' || a.attname, 0)) AS hash
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND c.oid >= {_FIRST_USER_OID}
      AND a.attnum > 0 AND NOT a.attisdropped
    GROUP BY a.attrelid) each
"""
_NAMES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid IN ({oids}) ORDER BY 1, 2
"""
_GONE = f"""
SELECT n.nspname, c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
     {_NOW.format(relation="c.oid")}
WHERE c.oid >= {_FIRST_USER_OID} AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
  AND c.relpersistence <> 't' AND {_MOVED}
ORDER BY 1, 2
"""
_SIGNATURES = """
SELECT n.nspname, c.relname, concat_ws(' ', c.oid, c.relfilenode, (
    SELECT string_agg(a.attnum || '=' || a.attname, ' ' ORDER BY a.attnum) FROM pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {which}
"""
_EVERY = f"c.oid >= {_FIRST_USER_OID}"
_CONFIGURATION = "c.oid IN (SELECT unnest(e.extconfig) FROM pg_extension e)"


@dataclass(frozen=True, slots=True)
class Changed:
    """Tables whose files, names or columns in the snapshot differ from the present ones.

    *are_locked*: pg_dump holds locks on all of them. Otherwise it had ended, or its backend could
    not be identified: some of them may not be part of the dump.
    """

    tables: list[TableName]
    are_locked: bool


class HeldSnapshot:
    """A snapshot of the database of *session*, which it takes over."""

    def __init__(self, session: Session) -> None:
        """Take the snapshot. Raises QueryFailed, ConnectionFailed."""
        self._session = session
        # Identifies the tables that pg_dump locks only when it reads their rows.
        self.unlocked_tables: dict[TableName, str] = {}
        self.name = self._take()

    def renew(self) -> None:
        """Replace it with a new one, taken now."""
        self._session.execute("ROLLBACK")
        self.name = self._take()

    def _take(self) -> str:
        return self._session.query(_BEGIN)[0][0] or ""

    def changed(self, application: str) -> Changed:
        """Return what was changed before the pg_dump with that *application* name had its locks.

        It can be called once, and ends the snapshot: within a transaction a second answer may be
        stale.
        """
        pids = ", ".join(
            row[0] or ""
            for row in self._session.query(_BACKENDS.format(application=literal(application)))
        )
        found: list[TableName] | None = None
        if pids:
            found = self._names(_CHANGED.format(held=_LOCKED.format(pids=pids)))
            # Its locks are released all at once, at its end.
            if not self._holds_locks(pids):
                found = None
        are_locked = found is not None
        if found is None:
            found = self._names(_CHANGED.format(held=_ALL))
        self.unlocked_tables = signatures(self._session, _CONFIGURATION)
        before = self._columns()
        self._session.execute("ROLLBACK")
        others = _differing(before, self._columns())
        if others and are_locked:
            locked = {row[0] for row in self._session.query(_LOCKED.format(pids=pids))}
            are_locked = self._holds_locks(pids)
            others = [oid for oid in others if oid in locked or not are_locked]
        if others:
            found += self._names(_NAMES.format(oids=", ".join(others)))
        return Changed(list(dict.fromkeys(found)), are_locked)

    def gone(self) -> list[TableName]:
        """Return the tables that pg_dump cannot find: dropped since, or renamed."""
        return self._names(_GONE)

    def every_table(self) -> dict[TableName, str]:
        """Return for each table the value that differs if `changed` would report it."""
        return signatures(self._session, _EVERY)

    def close(self) -> None:
        self._session.close()

    def _holds_locks(self, pids: str) -> bool:
        return bool(self._session.query(_HOLDS_LOCKS.format(pids=pids)))

    def _columns(self) -> str:
        return self._session.query(_COLUMNS)[0][0] or ""

    def _names(self, sql: str) -> list[TableName]:
        return [(row[0] or "", row[1] or "") for row in self._session.query(sql)]


def _differing(before: str, after: str) -> list[str]:
    """Return the tables that are in both and differ; each entry has its OID before its columns."""
    if before == after:
        return []
    then, now = (
        dict(each.split(" ", 1) for each in text.split(",")) if text else {}
        for text in (before, after)
    )
    return [oid for oid, columns in then.items() if now.get(oid, columns) != columns]


def signatures(session: Session, which: str = _EVERY) -> dict[TableName, str]:
    """Return for each table its identity, file and columns, as visible to *session*."""
    rows = session.query(_SIGNATURES.format(which=which))
    return {(row[0] or "", row[1] or ""): row[2] or "" for row in rows}
