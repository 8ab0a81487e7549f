"""Updates rows that refer to their own database (type regdatabase, since 19).

They store its OID. A dump has its name, which a load resolves to the OID of the live database,
which keeps that OID when it is replaced. So the rows are set to the OID of the restored one before
the swap.
"""

from __future__ import annotations

from pgsnap.errors import QueryFailed
from pgsnap.sessions.base import Session, ident, literal, number
from pgsnap.targets.naming import kept_name

TYPE = "regdatabase"
SINCE = 19
_NO_RIGHT = "42501"
_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, a.atttypid = 'pg_catalog.regdatabase[]'::pg_catalog.regtype,
       EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE a.atttypid IN ('pg_catalog.regdatabase'::pg_catalog.regtype,
                     'pg_catalog.regdatabase[]'::pg_catalog.regtype)
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY 1, 2, 3
"""
_OWN_OID = (
    "SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"
)
# Their triggers already fired, in the source database.
_QUIET = "SET LOCAL session_replication_role = replica; "


def name_itself(session: Session, live_oid: int, database: str) -> tuple[str, ...]:
    """Update rows of *session*'s database that refer to the one of *live_oid* to refer to their
    own, which is to be called *database*. Returns what could not be changed, as warnings."""
    if session.server_version_num // 10000 < SINCE:
        return ()
    columns = session.query(_COLUMNS)
    if not columns:
        return ()
    own = f"{literal(session.query(_OWN_OID)[0][0])}::pg_catalog.{TYPE}"
    old = f"{literal(number(live_oid))}::pg_catalog.{TYPE}"
    stuck = []
    for schema, table, column, is_array, has_triggers in columns:
        name, cell = f"{ident(schema or '')}.{ident(table or '')}", ident(column or "")
        if is_array == "t":
            sql = f"SET {cell} = pg_catalog.array_replace({cell}, {old}, {own})"
            where = f"{old} OPERATOR(pg_catalog.=) ANY ({cell})"
        else:
            sql, where = f"SET {cell} = {own}", f"{cell} OPERATOR(pg_catalog.=) {old}"
        update = f"UPDATE ONLY {name} {sql} WHERE {where}"
        try:
            _update(session, update, may_fire=has_triggers != "t")
        except QueryFailed as error:
            if error.sqlstate != _NO_RIGHT:
                raise
            stuck.append(_by_hand(name, cell, database))
    return tuple(stuck)


def _update(session: Session, update: str, *, may_fire: bool) -> None:
    try:
        session.execute(_QUIET + update)
    except QueryFailed as error:
        if error.sqlstate != _NO_RIGHT or not may_fire:
            raise
        # A role that may not disable triggers need not, if there are none.
        session.execute(update)


def _by_hand(table: str, column: str, database: str) -> str:
    return (
        f"rows whose {column} in {table} named {database} name the replaced database, for want of"
        f" the right to change them (type {TYPE}); as a superuser run UPDATE {table} SET {column} ="
        f" current_database()::text::{TYPE}"
        f" WHERE starts_with({column}::text, {literal(kept_name(database, ''))});"
    )
