"""Puts single rows of a table back: what the catalogs say against it, and the SQL.

The rows of the snapshot are in temporary tables of one session: `snap_all` all of them, `snap_new`
those that are to be in the live table, `snap_old` the live rows that are changed or deleted for it.
A row of `snap_new` that has no row of its key in `snap_old` is added.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from pgsnap.dump.definitions.table_parts import TableName, quoted
from pgsnap.sessions.base import Session, ident, literal, number
from pgsnap.targets.tables.foreign_keys import ForeignKey
from pgsnap.targets.tables.put_back import same_values
from pgsnap.values import dataclass

_WRITES = {"insert": (4, "3"), "update": (16, "2"), "delete": (8, "4")}
_COLUMNS = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attgenerated
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_COMPOSITES = """
WITH RECURSIVE used (type) AS (
    SELECT a.atttypid FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT v.type FROM used u JOIN pg_catalog.pg_type t ON t.oid = u.type
    LEFT JOIN pg_catalog.pg_attribute a
        ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped,
    LATERAL (VALUES (t.typelem), (t.typbasetype), (a.atttypid)) v (type) WHERE v.type <> 0)
SELECT n.nspname, t.typname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)
FROM used u JOIN pg_catalog.pg_type t ON t.oid = u.type
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
JOIN pg_catalog.pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY t.oid, a.attnum
"""
_TRIGGERS = """
SELECT DISTINCT t.tgname FROM pg_catalog.pg_trigger t
WHERE t.tgrelid IN (SELECT {oid} UNION SELECT p.relid::pg_catalog.oid
    FROM pg_catalog.pg_partition_tree({oid}) p)
  AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & {events} <> 0 ORDER BY 1
"""
_RULES = """
SELECT r.rulename FROM pg_catalog.pg_rewrite r
WHERE r.ev_class = {oid} AND r.ev_enabled IN ('O', 'A') AND r.ev_type IN ({events}) ORDER BY 1
"""
_SUBSCRIBED = "SELECT 1 FROM pg_catalog.pg_subscription_rel WHERE srrelid = {oid}"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a live table, with its type as SQL."""

    name: str
    type: str
    is_generated: bool


@dataclass(frozen=True, slots=True)
class RowsTable:
    """A live table of which rows are put back. *columns* are those that the snapshot has; *key* are
    the columns of the primary key, each with its equality operator. What a table is partitioned by
    is in its primary key, so no row changes its partition."""

    name: TableName
    is_partitioned: bool
    columns: tuple[str, ...]
    key: tuple[tuple[str, str], ...]

    def live(self) -> str:
        """Return its name as SQL: partitions included, inheritance children left out."""
        return quoted(self.name) if self.is_partitioned else f"ONLY {quoted(self.name)}"

    def names(self, side: str = "") -> str:
        """Return all columns, of *side*."""
        return ", ".join(f"{side}{ident(name)}" for name in self.columns)

    def same_key(self, one: str, other: str) -> str:
        return " AND ".join(
            f"{one}.{ident(name)} {equal} {other}.{ident(name)}" for name, equal in self.key
        )

    def same(self, one: str, other: str, columns: Sequence[str] = ()) -> str:
        """Return the condition that *columns* (none: all) have the same values on both sides."""
        return same_values(columns or self.columns, one, other)


def read_columns(session: Session, oid: int) -> tuple[Column, ...]:
    """Return the columns of a live table. Raises QueryFailed."""
    return tuple(
        Column(name or "", sql or "", is_generated=bool(generated))
        for name, sql, generated in session.query(_COLUMNS.format(oid=number(oid)))
    )


def read_composites(session: Session, oid: int) -> dict[TableName, list[tuple[str, str]]]:
    """Return the composite types that values of a live table are made of, each with the names and
    types of its attributes. Raises QueryFailed."""
    found: dict[TableName, list[tuple[str, str]]] = {}
    for schema, name, attribute, kind in session.query(_COMPOSITES.format(oid=number(oid))):
        found.setdefault((schema or "", name or ""), []).append((attribute or "", kind or ""))
    return found


def acting_triggers(session: Session, oid: int, writes: Collection[str]) -> tuple[str, ...]:
    """Return the user's triggers that fire at these *writes*. Raises QueryFailed."""
    events = sum(_WRITES[write][0] for write in writes)
    return _names(session, _TRIGGERS.format(oid=number(oid), events=events))


def acting_rules(session: Session, oid: int, writes: Collection[str]) -> tuple[str, ...]:
    """Return the rules that rewrite these *writes*. Raises QueryFailed."""
    events = ", ".join(literal(_WRITES[write][1]) for write in writes)
    return _names(session, _RULES.format(oid=number(oid), events=events or "NULL"))


def is_filtered(session: Session, oid: int) -> bool:
    """Return whether policies hide rows of the table from us. Raises QueryFailed."""
    return bool(session.query(f"SELECT 1 WHERE pg_catalog.row_security_active({number(oid)})"))


def is_subscribed(session: Session, oid: int) -> bool:
    """Return whether a subscription fills the table. Raises QueryFailed."""
    return bool(session.query(_SUBSCRIBED.format(oid=number(oid))))


# -- finding the rows ------------------------------------------------------------------------------


def make_temporary(table: RowsTable) -> str:
    """Return SQL that makes the temporary tables, empty."""
    keys = ", ".join(ident(name) for name, _ in table.key)
    like = f"AS SELECT {table.names()} FROM {table.live()} WITH NO DATA;\n"
    return (
        f"CREATE TEMPORARY TABLE snap_all {like}CREATE TEMPORARY TABLE snap_new {like}"
        f"CREATE TEMPORARY TABLE snap_old {like}CREATE TEMPORARY TABLE snap_extra {like}"
        f"CREATE TEMPORARY TABLE snap_keys AS SELECT {keys} FROM {table.live()} WITH NO DATA;\n"
    )


def copy_all(columns: Sequence[str], encoding: str) -> str:
    """Return the COPY that takes rows of a snapshot."""
    names = ", ".join(map(ident, columns))
    return f"COPY pg_temp.snap_all ({names}) FROM stdin (ENCODING {literal(encoding)})"


def copy_keys(table: RowsTable) -> str:
    """Return the COPY that takes keys, in UTF-8."""
    names = ", ".join(ident(name) for name, _ in table.key)
    return f"COPY pg_temp.snap_keys ({names}) FROM stdin"


BEGIN_READING = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL row_security = off;"
    " ANALYZE pg_temp.snap_all"
)


def choose(table: RowsTable, condition: str | None) -> Iterator[str]:
    """Yield SQL that finds the rows of the snapshot that meet *condition* (None: those whose keys
    are in `snap_keys`), and the live ones that do. In a transaction that can only read, temporary
    tables can be written to nevertheless."""
    if condition is None:
        chosen = f"EXISTS (SELECT FROM pg_temp.snap_keys k WHERE {table.same_key('k', 't')})"
        alias = "t"
    else:
        # The search path that a session has by itself: the condition means what it does in psql.
        yield (
            "SELECT pg_catalog.set_config('search_path', s.reset_val, true)"
            " FROM pg_catalog.pg_settings s WHERE s.name = 'search_path'"
        )
        chosen, alias = f"(\n{condition}\n)", ident(table.name[1])
    names = table.names()
    yield (
        f"INSERT INTO pg_temp.snap_new SELECT {names} FROM pg_temp.snap_all AS {alias}"
        f" WHERE {chosen}"
    )
    yield (
        f"INSERT INTO pg_temp.snap_extra SELECT {names} FROM {table.live()} AS {alias}"
        f" WHERE {chosen}"
    )
    yield "SET LOCAL search_path = ''"


def compare(table: RowsTable, *, delete: bool) -> Iterator[str]:
    """Yield SQL that leaves in `snap_new` only what differs from the live rows, and fills
    `snap_old`."""
    key = table.same_key("t", "n")
    columns = table.names("t.")
    yield (
        "ANALYZE pg_temp.snap_new; DELETE FROM pg_temp.snap_extra t USING pg_temp.snap_all n"
        f" WHERE {key}"
    )
    yield (
        f"DELETE FROM pg_temp.snap_new n USING {table.live()} t WHERE {key}"
        f" AND {table.same('t', 'n')}"
    )
    yield (
        f"INSERT INTO pg_temp.snap_old SELECT {columns} FROM {table.live()} t"
        f" JOIN pg_temp.snap_new n ON {key}"
    )
    if delete:
        yield "INSERT INTO pg_temp.snap_old SELECT * FROM pg_temp.snap_extra"
    yield "ANALYZE pg_temp.snap_new; ANALYZE pg_temp.snap_old"


def without_old(table: RowsTable, side: str) -> str:
    """Return the condition that a row of `snap_new` is added."""
    return f"NOT EXISTS (SELECT FROM pg_temp.snap_old o WHERE {table.same_key('o', side)})"


def without_new(table: RowsTable, side: str) -> str:
    """Return the condition that a row of `snap_old` is deleted."""
    return f"NOT EXISTS (SELECT FROM pg_temp.snap_new n WHERE {table.same_key('n', side)})"


def count_changes(table: RowsTable) -> str:
    """Return SQL that counts what is added, changed and deleted, and the live rows that meet the
    condition and are not in the snapshot."""
    return (
        "SELECT (SELECT count(*) FROM pg_temp.snap_new a WHERE"
        f" {without_old(table, 'a')}), (SELECT count(*) FROM pg_temp.snap_new a WHERE NOT"
        f" {without_old(table, 'a')}), (SELECT count(*) FROM pg_temp.snap_old d WHERE"
        f" {without_new(table, 'd')}), (SELECT count(*) FROM pg_temp.snap_extra)"
    )


def ambiguous_keys(table: RowsTable) -> str:
    """Return SQL that counts the keys that several of the rows have, or none."""
    names = ", ".join(ident(name) for name, _ in table.key)
    nulls = " OR ".join(f"{ident(name)} IS NULL" for name, _ in table.key)
    return (
        f"SELECT (SELECT count(*) FROM (SELECT 1 FROM pg_temp.snap_new GROUP BY {names}"
        f" HAVING count(*) > 1) d) + (SELECT count(*) FROM pg_temp.snap_new WHERE {nulls})"
    )


def differing_columns(table: RowsTable, columns: Sequence[str]) -> str:
    """Return SQL that says of each of *columns* whether it differs in a row that is changed."""
    marks = ", ".join(
        f"coalesce(pg_catalog.bool_or(NOT ({table.same('o', 'n', [name])})), false)"
        for name in columns
    )
    return (
        f"SELECT {marks} FROM pg_temp.snap_old o JOIN pg_temp.snap_new n"
        f" ON {table.same_key('o', 'n')}"
    )


def show_changes(table: RowsTable, rows: int, characters: int, columns: Sequence[str]) -> str:
    """Return SQL for the first *rows* of what is changed, in an order that does not depend on the
    *columns*: whether there is an old row and a new one, then of each column the old value, the new
    one, whether they differ, and whether one of them is longer than the *characters* shown."""
    values = []
    for name in columns:
        old, new = (f"{side}.{ident(name)}::pg_catalog.text" for side in "on")
        values += [
            f"pg_catalog.left({old}, {number(characters)})",
            f"pg_catalog.left({new}, {number(characters)})",
            f"NOT ({table.same('o', 'n', [name])})",
            f"greatest(pg_catalog.length({old}), pg_catalog.length({new})) > {number(characters)}",
        ]
    keys = ", ".join(f"coalesce(n.{ident(name)}, o.{ident(name)})" for name, _ in table.key)
    first = ident(table.key[0][0])
    return (
        f"SELECT o.{first} IS NOT NULL, n.{first} IS NOT NULL, {', '.join(values)}"
        f" FROM pg_temp.snap_old o FULL JOIN pg_temp.snap_new n ON {table.same_key('o', 'n')}"
        f" ORDER BY {keys} LIMIT {number(rows)}"
    )


def changed_keys(table: RowsTable) -> str:
    """Return SQL for the keys of all rows that are added, changed or deleted, as text."""
    names = ", ".join(f"{ident(name)}::pg_catalog.text" for name, _ in table.key)
    return (
        f"SELECT {names} FROM pg_temp.snap_new UNION ALL SELECT {names} FROM pg_temp.snap_old d"
        f" WHERE {without_new(table, 'd')}"
    )


# -- the transaction -------------------------------------------------------------------------------


def begin_writing(seconds: int) -> str:
    """Return SQL that begins the transaction; it waits so long for a lock."""
    return (
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
        f" SET LOCAL lock_timeout = '{number(seconds)}s'; SET LOCAL row_security = off"
    )


def lock(tables: Iterable[str]) -> str:
    """Return SQL that keeps others from writing to these *tables*, given as SQL."""
    return f"LOCK TABLE {', '.join(tables)} IN SHARE ROW EXCLUSIVE MODE"


def count_moved(table: RowsTable) -> str:
    """Return SQL that counts the rows that are not as they were when they were compared."""
    return (
        "SELECT (SELECT count(*) FROM pg_temp.snap_old o WHERE NOT EXISTS (SELECT FROM"
        f" {table.live()} t WHERE {table.same_key('t', 'o')} AND {table.same('t', 'o')}))"
        f" + (SELECT count(*) FROM pg_temp.snap_new a WHERE {without_old(table, 'a')}"
        f" AND EXISTS (SELECT FROM {table.live()} t WHERE {table.same_key('t', 'a')}))"
    )


def count_referrers(table: RowsTable, key: ForeignKey) -> str:
    """Return SQL that counts the rows that refer by *key* to a row that is deleted, or to values
    of it that change."""
    # The server has quoted these already.
    of, applies, matches = key.of, key.applies, key.matches
    stays = table.same("p", "n", key.columns)
    own = ""
    if key.to_itself:
        own = f" AND NOT EXISTS (SELECT FROM pg_temp.snap_old s WHERE {table.same_key('s', 'f')})"
    return (
        f"SELECT count(*) FROM {of} f WHERE {applies}{own} AND EXISTS (SELECT FROM"
        f" pg_temp.snap_old p WHERE {matches} AND NOT EXISTS (SELECT FROM pg_temp.snap_new n"
        f" WHERE {table.same_key('n', 'p')} AND {stays}))"
    )


def write(table: RowsTable, changed: Sequence[str]) -> Iterator[str]:
    """Yield the statements that delete, change and add, each of which returns how many rows it
    did. *changed* are the columns that differ in any row that is changed."""
    live, names = table.live(), table.names()
    yield (
        f"WITH done AS (DELETE FROM {live} t USING pg_temp.snap_old d WHERE"
        f" {table.same_key('t', 'd')} AND {without_new(table, 'd')} RETURNING 1)"
        " SELECT count(*) FROM done"
    )
    sets = ", ".join(f"{ident(name)} = a.{ident(name)}" for name in changed)
    yield (
        f"WITH done AS (UPDATE {live} t SET {sets} FROM pg_temp.snap_new a WHERE"
        f" {table.same_key('t', 'a')} AND NOT {without_old(table, 'a')} RETURNING 1)"
        " SELECT count(*) FROM done"
        if sets
        else "SELECT 0"
    )
    yield (
        f"WITH done AS (INSERT INTO {quoted(table.name)} ({names}) OVERRIDING SYSTEM VALUE"
        f" SELECT {table.names('a.')} FROM pg_temp.snap_new a WHERE {without_old(table, 'a')}"
        " RETURNING 1) SELECT count(*) FROM done"
    )


def count_wrong(table: RowsTable) -> str:
    """Return SQL that counts the rows that are not as they should be now; constraints that wait for
    the end are checked before."""
    return (
        "SET CONSTRAINTS ALL IMMEDIATE; SELECT (SELECT count(*) FROM pg_temp.snap_new n WHERE NOT"
        f" EXISTS (SELECT FROM {table.live()} t WHERE {table.same_key('t', 'n')}"
        f" AND {table.same('t', 'n')})) + (SELECT count(*) FROM pg_temp.snap_old d WHERE"
        f" {without_new(table, 'd')} AND EXISTS (SELECT FROM {table.live()} t"
        f" WHERE {table.same_key('t', 'd')}))"
    )


def _names(session: Session, sql: str) -> tuple[str, ...]:
    return tuple(name or "" for (name,) in session.query(sql))
