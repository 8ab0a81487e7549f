"""Puts rows of live tables back, in the tables themselves, within one transaction: what the
catalogs say about these tables, and the SQL.

PL/pgSQL is not needed: if something that has to hold does not, a cast of text to a number fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pgsnap.dump.definitions.table_parts import TableName, quoted
from pgsnap.sessions.base import Session, ident, literal, number
from pgsnap.values import dataclass

_BTREE = 403
_EQUAL = 3
_AT_A_TIME = 500

_WANTED = """
WITH wanted AS (
  SELECT c.oid, n.nspname, c.relname FROM (VALUES {tables}) v(schema, name)
  JOIN pg_catalog.pg_namespace n ON n.nspname = v.schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = v.name)
"""
ANCESTORS = (
    "(SELECT w.oid UNION SELECT a.relid::pg_catalog.oid"
    " FROM pg_catalog.pg_partition_ancestors(w.oid) a)"
)
_FACTS = f"""
SELECT w.nspname, w.relname,
  EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND k.conrelid <> w.oid
    AND k.confrelid IN {ANCESTORS}),
  EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = w.oid),
  EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = w.oid AND t.tgenabled = 'O'),
  EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = w.oid AND t.tgisinternal
    AND t.tgenabled IN ('A', 'R')),
  NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = w.oid
    AND (c.relispartition OR NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = w.oid AND t.tgisinternal
    AND t.tgenabled <> 'D'),
  EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = w.oid
    AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e')
FROM wanted w
"""
_KEYS = f"""
SELECT w.nspname, w.relname, a.attname,
  pg_catalog.format('OPERATOR(%I.%s)', s.nspname, o.oprname)
FROM wanted w
JOIN pg_catalog.pg_index i ON i.indrelid = w.oid AND i.indisprimary AND i.indisvalid
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid AND x.relam = {_BTREE}
CROSS JOIN LATERAL pg_catalog.generate_series(0, i.indnkeyatts - 1) g(place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = w.oid AND a.attnum = i.indkey[g.place]
JOIN pg_catalog.pg_opclass c ON c.oid = i.indclass[g.place]
JOIN pg_catalog.pg_amop m ON m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype
  AND m.amoprighttype = c.opcintype AND m.amopstrategy = {_EQUAL}
JOIN pg_catalog.pg_operator o ON o.oid = m.amopopr
JOIN pg_catalog.pg_namespace s ON s.oid = o.oprnamespace
ORDER BY w.oid, g.place
"""
_TRIGGERS = """
SELECT w.nspname, w.relname, t.tgname, t.tgenabled
FROM wanted w JOIN pg_catalog.pg_trigger t ON t.tgrelid = w.oid
WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
"""
_EVENT_TRIGGERS = (
    "SELECT evtname, evtenabled FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D'"
)
_MAY_REPLICATE = {
    False: "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user",
    True: "SELECT pg_catalog.has_parameter_privilege('session_replication_role', 'SET')",
}
_PARAMETER_RIGHTS_SINCE = 150000
# The more materialized views one depends on, the later it can be refreshed.
_MATVIEWS = """
WITH RECURSIVE uses(view, used) AS (
  SELECT r.ev_class, d.refobjid FROM pg_catalog.pg_rewrite r
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
    AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refobjid <> r.ev_class
), below(view, used) AS (
  SELECT view, used FROM uses
  UNION SELECT b.view, u.used FROM below b JOIN uses u ON u.view = b.used
)
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND c.relispopulated
ORDER BY (SELECT pg_catalog.count(*) FROM below b JOIN pg_catalog.pg_class u ON u.oid = b.used
  WHERE b.view = c.oid AND u.relkind = 'm'), c.oid
"""


@dataclass(frozen=True, slots=True)
class LiveFacts:
    """What the catalogs say about a table whose rows are put back. *key* are the columns of its
    primary key, each with its equality operator; none if there is no such key. *fires*: a trigger
    that `session_replication_role` turns off, foreign keys included. *by_name*: its owner may turn
    off all of them one by one; not those of foreign keys, nor what rows that go through the
    partitioned table fire there. *triggers* are the users' own, by name, with their mode."""

    table: TableName
    key: tuple[tuple[str, str], ...] = ()
    is_referenced: bool = False
    has_rules: bool = False
    fires: bool = False
    has_odd_triggers: bool = False
    by_name: bool = False
    is_of_extension: bool = False
    triggers: tuple[tuple[str, str], ...] = ()


def read_facts(session: Session, tables: Sequence[TableName]) -> dict[TableName, LiveFacts]:
    """Return what is known of each of *tables* that is there. Raises QueryFailed."""
    keys: dict[TableName, list[tuple[str, str]]] = {}
    triggers: dict[TableName, list[tuple[str, str]]] = {}
    for schema, name, column, operator in about(session, tables, _KEYS):
        keys.setdefault((schema, name), []).append((column, operator))
    for schema, name, trigger, mode in about(session, tables, _TRIGGERS):
        triggers.setdefault((schema, name), []).append((trigger, mode))
    found = {}
    for schema, name, *marks in about(session, tables, _FACTS):
        table = schema, name
        is_referenced, has_rules, fires, has_odd_triggers, by_name, is_of_extension = (
            mark == "t" for mark in marks
        )
        found[table] = LiveFacts(
            table,
            key=tuple(keys.get(table, ())),
            is_referenced=is_referenced,
            has_rules=has_rules,
            fires=fires,
            has_odd_triggers=has_odd_triggers,
            by_name=by_name,
            is_of_extension=is_of_extension,
            triggers=tuple(triggers.get(table, ())),
        )
    return found


def event_triggers(session: Session) -> dict[str, str]:
    """Return the event triggers that are not disabled, with their mode. Raises QueryFailed."""
    return {name or "": mode or "" for name, mode in session.query(_EVENT_TRIGGERS)}


def may_turn_triggers_off(session: Session) -> bool:
    """Return whether the role may set `session_replication_role`. Raises QueryFailed."""
    by_grant = session.server_version_num >= _PARAMETER_RIGHTS_SINCE
    return session.query(_MAY_REPLICATE[by_grant])[0][0] == "t"


def materialized_views(session: Session) -> tuple[str, ...]:
    """Return the names, as SQL, of those that hold rows, in the order to refresh them. Raises
    QueryFailed."""
    return tuple(name or "" for (name,) in session.query(_MATVIEWS))


def lock_tables(tables: Sequence[TableName], seconds: int) -> str:
    """Return SQL that begins the transaction. The lock comes before anything that takes a snapshot,
    and each later statement sees what was committed before it."""
    names = ", ".join(f"ONLY {quoted(table)}" for table in tables)
    return (
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\n"
        f"SET LOCAL lock_timeout = '{number(seconds)}s';\n"
        "SET LOCAL idle_in_transaction_session_timeout = 0;\n"
        "SET LOCAL statement_timeout = 0;\n"
        "SET LOCAL row_security = off;\n"
        + (f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE;\n" if names else "")
    )


def triggers_off(tables: Iterable[LiveFacts], *, replica: bool) -> str:
    """Return SQL that lets no trigger fire: those that *replica* does not turn off are disabled by
    name."""
    sql = "SET LOCAL session_replication_role = replica;\n" if replica else ""
    return sql + "".join(
        f"ALTER TABLE ONLY {quoted(table)} DISABLE TRIGGER {ident(name)};\n"
        for table, name, _ in _triggers_by_name(tables, replica=replica)
    )


def triggers_on(tables: Iterable[LiveFacts], *, replica: bool) -> str:
    """Return SQL that gives each trigger that `triggers_off` disabled its own mode again."""
    modes = {"A": "ENABLE ALWAYS", "R": "ENABLE REPLICA", "O": "ENABLE"}
    return "".join(
        f"ALTER TABLE ONLY {quoted(table)} {word} TRIGGER {ident(name)};\n"
        for table, name, mode in _triggers_by_name(tables, replica=replica)
        for word in (modes[mode],)
    )


def _triggers_by_name(
    tables: Iterable[LiveFacts], *, replica: bool
) -> Iterator[tuple[TableName, str, str]]:
    for facts in tables:
        for name, mode in facts.triggers:
            if mode != "O" or not replica:
                yield facts.table, name, mode


def rows_table(name: str, table: TableName, columns: Sequence[str]) -> str:
    """Return SQL that makes a temporary table for rows of *table* (`gone_rows`, `new_rows`), and
    begins to fill it."""
    names = ", ".join(map(ident, columns))
    return (
        f"CREATE TEMPORARY TABLE {name} ON COMMIT DROP AS"
        f" SELECT {names} FROM ONLY {quoted(table)} WITH NO DATA;\n"
        f"COPY pg_temp.{name} ({names}) FROM stdin;\n"
    )


def same_values(columns: Sequence[str], one: str, other: str) -> str:
    """Return the condition that *columns* have the same values in the rows *one* and *other*: equal
    is not enough (1.0 and 1.00). Mostly they are stored as the same bytes; but an array that once
    held a NULL, or a NaN that was computed, is not stored as the one that its text gives."""
    left, right = (
        f"ROW({', '.join(f'{side}.{ident(name)}' for name in columns)})::pg_catalog.record"
        for side in (one, other)
    )
    return (
        f"({left} OPERATOR(pg_catalog.*=) {right} OR {left}::pg_catalog.text"
        f' OPERATOR(pg_catalog.=) {right}::pg_catalog.text COLLATE pg_catalog."C")'
    )


def delete_rows(place: int, facts: LiveFacts, columns: Sequence[str], rows: int) -> str:
    """Return SQL that deletes exactly the *rows* of the temporary table, or fails. A row is found
    by its key, and counts if all its values are the same."""
    key = " AND ".join(f"t.{ident(name)} {equal} g.{ident(name)}" for name, equal in facts.key)
    name = quoted(facts.table)
    said = literal(f"snap: rows of {name} are not as they were recorded, of {rows} there are ")
    return (
        f"ANALYZE pg_temp.{gone_rows(place)};\n"
        f"WITH gone AS (DELETE FROM ONLY {name} AS t USING pg_temp.{gone_rows(place)} AS g"
        f" WHERE {key} AND {same_values(columns, 't', 'g')} RETURNING 1),"
        " n AS (SELECT pg_catalog.count(*) AS found FROM gone)"
        f" SELECT ({said} || found)::pg_catalog.int4 FROM n WHERE found <> {number(rows)};\n"
    )


def delete_all_rows(facts: LiveFacts) -> str:
    """Return SQL that empties a table that cannot be truncated, because others refer to it."""
    return f"DELETE FROM ONLY {quoted(facts.table)};\n"


def set_sequences(values: Mapping[str, tuple[int, bool]]) -> str:
    """Return SQL that sets sequences, by their names as SQL. RESTART first: setval alone would
    survive a rollback."""
    return "".join(
        f"ALTER SEQUENCE {name} RESTART;\nSELECT pg_catalog.setval({literal(name)},"
        f" {number(value)}, {'true' if called else 'false'});\n"
        for name, (value, called) in values.items()
    )


def refresh(views: Iterable[str]) -> str:
    """Return SQL that fills materialized views again."""
    return "".join(f"REFRESH MATERIALIZED VIEW {view};\n" for view in views)


def gone_rows(place: int) -> str:
    """Return the name of the temporary table for rows that are deleted from a table."""
    return f"snap_gone_{number(place)}"


def new_rows(place: int) -> str:
    """Return the name of the temporary table for rows that a table gets, as they are given."""
    return f"snap_new_{number(place)}"


def about(session: Session, tables: Sequence[TableName], query: str) -> Iterator[list[str]]:
    """Yield the rows of *query*, which selects from `wanted`: those of *tables* that are there.
    Raises QueryFailed."""
    for first in range(0, len(tables), _AT_A_TIME):
        named = ", ".join(
            f"({literal(schema)}::pg_catalog.name, {literal(name)}::pg_catalog.name)"
            for schema, name in tables[first : first + _AT_A_TIME]
        )
        for row in session.query(_WANTED.format(tables=named) + query):
            yield [value or "" for value in row]
