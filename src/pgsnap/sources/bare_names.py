"""Finds functions that a restore runs and that resolve names only through the search path.

A dump is loaded with an empty search_path. An index, a constraint, a generated column or a
materialized view calls its functions there; an SQL function that names another without its schema
then fails, and with it every restore of the snapshot. The server's own validation of such a
function finds that without running it. For other languages nothing is known before the load.
"""

from __future__ import annotations

from itertools import groupby

from pgsnap.errors import QueryFailed
from pgsnap.sessions.base import Session, literal
from pgsnap.values import dataclass
from pgsnap.words import some

# A missing privilege on a function or a schema is reported where it matters.
_NO_RIGHT = "42501"
# The server locks the tables that a function names. Waiting for a lock is not worth delaying a
# commit.
_LOCKED, _LOCK_TIMEOUT = "55P03", "3s"
_CHECKED_MAX = 500
_FIRST_USER_OID = 16384

# A function whose body was parsed at creation (since 14) has resolved all of its names.
_USED = f"""
SELECT p.oid, p.oid::pg_catalog.regprocedure, e.extname,
       pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
LEFT JOIN pg_catalog.pg_class c
    ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.objid
LEFT JOIN pg_catalog.pg_attrdef g
    ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND g.oid = d.objid
-- Up to 14 it is the column itself that needs what its expression names.
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = coalesce(g.adrelid, c.oid)
    AND a.attnum = coalesce(g.adnum, d.objsubid)
LEFT JOIN pg_catalog.pg_rewrite r
    ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objid
LEFT JOIN pg_catalog.pg_class v ON v.oid = r.ev_class
LEFT JOIN pg_catalog.pg_depend m
    ON m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND m.objid = p.oid
    AND m.deptype = 'e' AND m.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
LEFT JOIN pg_catalog.pg_extension e ON e.oid = m.refobjid
WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
  AND p.oid >= {_FIRST_USER_OID} AND l.lanname = 'sql' AND p.prosqlbody IS NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) AS own(setting)
                  WHERE pg_catalog.starts_with(own.setting, 'search_path='))
  AND (c.relkind IN ('i', 'I')
       OR d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
       OR a.attgenerated = 's'
       OR v.relkind = 'm' AND v.relispopulated)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend own
                  WHERE own.classid = d.classid AND own.objid = d.objid AND own.deptype = 'e')
ORDER BY 1, 4 LIMIT {_CHECKED_MAX}
"""


@dataclass(frozen=True, slots=True)
class BareName:
    """A function that resolves names through the search path, as text, and a hint."""

    text: str
    way_out: str


def bare_names(session: Session) -> list[BareName]:
    """Return what will most likely fail in every restore of *session*'s database. Raises
    QueryFailed, ConnectionFailed."""
    rows = [tuple(value or "" for value in row) for row in session.query(_USED)]
    found = []
    for (oid, function, extension), group in groupby(rows, key=lambda row: row[:3]):
        try:
            why = _why_not(session, oid)
        except QueryFailed as error:
            if error.sqlstate != _LOCKED:
                raise
            # If one is locked others are, and each would take as long.
            break
        if why:
            users = some([row[3] for row in group])
            words = (
                f"a restore will fail at {users}: its function {function} finds what it names by"
                f" the search_path only ({why}), and a dump is loaded with an empty one"
            )
            found.append(BareName(words, _way_out(function, extension)))
    return found


def _why_not(session: Session, oid: str) -> str:
    """Return why the server would refuse to create this function here, "" if it would accept it.
    Raises QueryFailed if a table that it names is locked."""
    try:
        session.query(
            f"SET LOCAL lock_timeout = {literal(_LOCK_TIMEOUT)};"
            f" SELECT pg_catalog.fmgr_sql_validator({oid})"
        )
    except QueryFailed as error:
        if error.sqlstate == _LOCKED:
            raise
        return "" if error.sqlstate == _NO_RIGHT else error.message
    return ""


def _way_out(function: str, extension: str) -> str:
    if extension:
        return (
            f"It belongs to the extension {extension}: let a function of your own call it, one with"
            " SET search_path, and use that one there (docs/extensions.md)"
        )
    return f"Give it its own: ALTER FUNCTION {function} SET search_path = ...;"
