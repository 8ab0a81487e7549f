"""Updates rows that refer to their own database (type regdatabase, since 19).

They store its OID. A dump has its name, which a load resolves to the OID of the live database,
which keeps that OID when it is replaced. So the rows are set to the OID of the restored one before
the swap, and the materialized views that were filled from them are refreshed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgsnap.errors import QueryFailed
from pgsnap.sessions.base import Row, Session, ident, literal, number
from pgsnap.targets.naming import kept_name

TYPE = "regdatabase"
SINCE = 19
_NO_RIGHT = "42501"
# The types that hold a database: as it is, in an array, behind domains (forms n, a), or inside of
# composite types and arrays of them (form i).
_HOLDERS = """
WITH RECURSIVE holds (type, form) AS (
    SELECT 'pg_catalog.regdatabase'::pg_catalog.regtype::oid, 'n'
    UNION
    SELECT t.oid, CASE WHEN t.typtype = 'd' THEN h.form
                       WHEN t.typcategory = 'A' AND h.form = 'n' AND h.type
                            = 'pg_catalog.regdatabase'::pg_catalog.regtype THEN 'a'
                       ELSE 'i' END
    FROM holds h JOIN pg_catalog.pg_type t
      ON t.typbasetype = h.type OR (t.typcategory = 'A' AND t.typelem = h.type)
      OR (t.typtype = 'c' AND EXISTS (
            SELECT FROM pg_catalog.pg_attribute p
            WHERE p.attrelid = t.typrelid AND p.attnum > 0 AND p.atttypid = h.type))
)
"""
_COLUMNS = f"""
{_HOLDERS}
SELECT n.nspname, c.relname, a.attname, h.form,
       EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
FROM holds h
JOIN pg_catalog.pg_attribute a ON a.atttypid = h.type
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY 1, 2, 3
"""
# The filled materialized views that show such a column, or read a table with one, in the order in
# which one reads the other.
_VIEWS = f"""
{_HOLDERS},
reads (reader, relation) AS (
    SELECT r.ev_class, d.refobjid
    FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_depend d
      ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
     AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class
    UNION
    SELECT i.inhparent, i.inhrelid FROM pg_catalog.pg_inherits i
),
reached (relation, depth) AS (
    SELECT a.attrelid, 0
    FROM pg_catalog.pg_attribute a JOIN holds h ON h.type = a.atttypid
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'm')
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT r.reader, o.depth + 1
    FROM reached o JOIN reads r ON r.relation = o.relation WHERE o.depth < 1000
)
SELECT n.nspname, c.relname
FROM reached o
JOIN pg_catalog.pg_class c ON c.oid = o.relation AND c.relkind = 'm' AND c.relispopulated
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
GROUP BY n.nspname, c.relname ORDER BY max(o.depth), 1, 2
"""
# Not those that a session without event triggers does not run.
_MAY_FIRE = """
SELECT 1 FROM pg_catalog.pg_event_trigger e
WHERE e.evtenabled <> 'D' AND e.evtevent IN ('ddl_command_start', 'ddl_command_end')
  AND pg_catalog.current_setting('event_triggers') <> 'off' LIMIT 1
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
    views = [f"{ident(schema or '')}.{ident(name or '')}" for schema, name in session.query(_VIEWS)]
    stuck = _update_all(session, columns, live_oid, database) if columns else []
    return (*stuck, *_refreshed(session, views, database))


def _update_all(
    session: Session, columns: Sequence[Row], live_oid: int, database: str
) -> list[str]:
    own = f"{literal(session.query(_OWN_OID)[0][0])}::pg_catalog.{TYPE}"
    old = f"{literal(number(live_oid))}::pg_catalog.{TYPE}"
    stuck = []
    for schema, table, column, form, has_triggers in columns:
        name, cell = f"{ident(schema or '')}.{ident(table or '')}", ident(column or "")
        if form == "i":
            if _is_named_inside(session, name, cell, database):
                stuck.append(_inside(name, cell, database))
            continue
        if form == "a":
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
    return stuck


def _refreshed(session: Session, views: Sequence[str], database: str) -> Iterator[str]:
    """Refresh *views*, and yield a warning for those that cannot be."""
    may_fire = bool(views) and bool(session.query(_MAY_FIRE))
    for view in views:
        refresh = f"REFRESH MATERIALIZED VIEW {view}"
        if may_fire:
            yield _stale(view, database, refresh, "event triggers of the database would run")
            continue
        try:
            session.execute(refresh)
        except QueryFailed as error:
            yield _stale(view, database, refresh, error.message)


def _stale(view: str, database: str, refresh: str, reason: str) -> str:
    return (
        f"the materialized view {view} may name the replaced database where it named {database}"
        f" (type {TYPE}): it was not refreshed ({reason}); run {refresh};"
    )


def _is_named_inside(session: Session, table: str, column: str, database: str) -> bool:
    """Return whether a value's text has the name of *database*, which is still the live one's."""
    found = f"pg_catalog.strpos({column}::pg_catalog.text, {literal(database)}) > 0"
    return bool(session.query(f"SELECT 1 FROM ONLY {table} WHERE {found} LIMIT 1"))


def _inside(table: str, column: str, database: str) -> str:
    return (
        f"rows whose {column} in {table} named {database} inside of a composite value name the"
        f" replaced database (type {TYPE}): correct them by hand"
    )


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
