"""Foreign keys of live tables: what the catalogs say about them, and the SQL that checks them, as a
whole or only for rows that were put in or taken out.

PL/pgSQL is not needed: if a key does not hold, a cast of text to a number fails.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.targets.tables.put_back import ANCESTORS, about, gone_rows, new_rows
from pgsnap.values import dataclass


def _pairs(left: str, operators: str, right: str) -> str:
    """Return SQL for how columns of two rows match; *left* and *right* are their aliases, with the
    columns of which end of the key."""
    ends = {"p": ("p", "b"), "q": ("q", "b"), "f": ("f", "a")}
    (one, of_one), (other, of_other) = ends[left], ends[right]
    return f"""
  (SELECT pg_catalog.string_agg(pg_catalog.format('{one}.%I OPERATOR(%I.%s) {other}.%I',
      {of_one}.attname, s.nspname, o.oprname, {of_other}.attname), ' AND ')
    FROM pg_catalog.generate_subscripts(k.conkey, 1) g(place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[g.place]
    JOIN pg_catalog.pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = k.confkey[g.place]
    JOIN pg_catalog.pg_operator o ON o.oid = k.{operators}[g.place]
    JOIN pg_catalog.pg_namespace s ON s.oid = o.oprnamespace)"""


def _names(alias: str) -> str:
    """Return SQL for the name of a table, as SQL: without what inherits, but with partitions."""
    namespace = f"{alias}n"
    return (
        f"pg_catalog.format('%s%I.%I', CASE {alias}.relkind WHEN 'p' THEN '' ELSE 'ONLY ' END,"
        f" {namespace}.nspname, {alias}.relname)"
    )


def _leaves(alias: str) -> str:
    """Return SQL for the names of the tables that hold the rows of one."""
    return f"""
  (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(n.nspname, t.relname))
    FROM (SELECT l.relid::pg_catalog.oid FROM pg_catalog.pg_partition_tree({alias}.oid) l
      WHERE l.isleaf UNION SELECT {alias}.oid WHERE {alias}.relkind <> 'p') x(leaf)
    JOIN pg_catalog.pg_class t ON t.oid = x.leaf
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace)"""


# Operands are qualified by p (what is referred to), f (what refers), and q (what was referred to).
_FOREIGN_KEYS = f"""
SELECT k.conname, {_names("c")}, {_names("d")},
  (SELECT pg_catalog.string_agg(pg_catalog.format('f.%I IS NOT NULL', a.attname), ' AND ')
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)),
  {_pairs("p", "conpfeqop", "f")}, {_pairs("p", "conppeqop", "q")},
  coalesce(pg_catalog.to_jsonb(k) ->> 'conperiod', 'false'), k.convalidated, k.confdeltype,
  EXISTS (SELECT FROM wanted w WHERE k.confrelid IN {ANCESTORS}), k.conrelid = k.confrelid,
  k.confmatchtype = 'f',
  (SELECT pg_catalog.bool_and(a.attlen > 0) FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)),
  (SELECT pg_catalog.json_agg(b.attname) FROM pg_catalog.pg_attribute b
    WHERE b.attrelid = k.confrelid AND b.attnum = ANY (k.confkey)),
  (SELECT pg_catalog.json_agg(a.attname) FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)),
  {_leaves("c")}, {_leaves("d")}
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace
JOIN pg_catalog.pg_class d ON d.oid = k.confrelid
JOIN pg_catalog.pg_namespace dn ON dn.oid = d.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0
  AND EXISTS (SELECT FROM wanted w WHERE k.conrelid IN {ANCESTORS} OR k.confrelid IN {ANCESTORS})
ORDER BY k.oid
"""
# Two indexes read side by side, or short values sorted, take half the time of the hash joins that
# the planner likes better, with processes of their own.
_SIDE_BY_SIDE = (
    ("enable_mergejoin", "on"),
    ("enable_hashjoin", "off"),
    ("enable_nestloop", "off"),
    ("max_parallel_workers_per_gather", "0"),
)


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key as SQL: what refers (f), to what (p), when, and how rows match. *on_delete* is
    pg_constraint's letter, *columns* are those referred to, *own_columns* those that refer;
    *refers_to_it*: to the table that was asked about, *to_itself*: a table to itself. *stays*: how
    a row (p) has the key of another one (q). *is_full*: MATCH FULL. *is_short*: of values that are
    fast to sort. *referring* and *referred* are the tables that hold the rows of both ends."""

    name: str
    of: str
    to: str
    applies: str
    matches: str
    has_period: bool
    is_valid: bool = True
    on_delete: str = "a"
    refers_to_it: bool = False
    to_itself: bool = False
    columns: tuple[str, ...] = ()
    own_columns: tuple[str, ...] = ()
    stays: str = ""
    is_full: bool = False
    is_short: bool = False
    referring: frozenset[TableName] = frozenset()
    referred: frozenset[TableName] = frozenset()


def read_foreign_keys(session: Session, tables: Sequence[TableName]) -> tuple[ForeignKey, ...]:
    """Return the foreign keys of *tables*, and those that refer to them, also such as are not valid
    for rows that were there before. Raises QueryFailed."""
    found = {}
    for name, of, to, applies, matches, stays, *more in about(session, tables, _FOREIGN_KEYS):
        period, is_valid, on_delete, refers, itself, is_full, is_short, *lists = more
        columns, own_columns, referring, referred = map(json.loads, lists)
        found[name, of] = ForeignKey(
            name,
            of,
            to,
            applies,
            matches,
            has_period=period == "true",
            is_valid=is_valid == "t",
            on_delete=on_delete,
            refers_to_it=refers == "t",
            to_itself=itself == "t",
            columns=tuple(columns),
            own_columns=tuple(own_columns),
            stays=stays,
            is_full=is_full == "t",
            is_short=is_short == "t",
            referring=frozenset(map(tuple, referring)),
            referred=frozenset(map(tuple, referred)),
        )
    return tuple(found.values())


def orphans(key: ForeignKey, of: str = "") -> str:
    """Return a query for one row that violates *key*: any, or one of the table *of*, whose rows
    have the same columns."""
    # The server has quoted these already.
    found = (
        f"(SELECT 1 FROM {of or key.of} f WHERE {key.applies} AND NOT EXISTS"
        f" (SELECT FROM {key.to} p WHERE {key.matches}) LIMIT 1)"
    )
    if key.is_full and len(key.own_columns) > 1:
        columns = ", ".join(f"f.{ident(name)}" for name in key.own_columns)
        found += (
            f" UNION ALL (SELECT 1 FROM {of or key.of} f WHERE pg_catalog.num_nulls({columns})"
            f" NOT IN (0, {len(key.own_columns)}) LIMIT 1)"
        )
    return found


def side_by_side(key: ForeignKey) -> str:
    """Return SQL that lets the server check *key* as a whole in less time, within a transaction;
    `check_key` takes it back."""
    return "".join(
        f"SET LOCAL {name} = {value};\n" for name, value in _SIDE_BY_SIDE if key.is_short
    )


def check_key(key: ForeignKey) -> str:
    """Return SQL that fails if a foreign key does not hold."""
    settings = _SIDE_BY_SIDE if key.is_short else ()
    again = "".join(f"SET LOCAL {name} TO DEFAULT;\n" for name, _ in settings)
    return f"{side_by_side(key)}{_none_of(key, orphans(key))}{again}"


def check_new_rows(key: ForeignKey, place: int) -> str:
    """Return SQL that fails if one of the rows that a table got (`new_rows`) violates *key*."""
    name = f"pg_temp.{new_rows(place)}"
    return f"ANALYZE {name};\n{_none_of(key, orphans(key, name))}"


def check_gone_rows(key: ForeignKey, place: int) -> str:
    """Return SQL that fails if a row refers to one of those that were deleted (`gone_rows`), and
    whose key no other row has. If there is none, what refers is not read at all."""
    columns = ", ".join(f"q.{ident(name)}" for name in key.columns)
    gone = (
        f"SELECT {columns} FROM pg_temp.{gone_rows(place)} q"
        f" WHERE NOT EXISTS (SELECT FROM {key.to} p WHERE {key.stays})"
    )
    found = (
        f"(WITH gone AS MATERIALIZED ({gone}) SELECT 1 FROM {key.of} f"
        f" WHERE EXISTS (SELECT FROM gone) AND {key.applies}"
        f" AND EXISTS (SELECT FROM gone p WHERE {key.matches})"
        f" AND NOT EXISTS (SELECT FROM {key.to} p WHERE {key.matches}) LIMIT 1)"
    )
    return _none_of(key, found)


def _none_of(key: ForeignKey, found: str) -> str:
    said = literal(f"snap: the foreign key {ident(key.name)} of {key.of} does not hold: ")
    return (
        f"SELECT ({said} || n.orphans)::pg_catalog.int4 FROM (SELECT pg_catalog.count(*) FROM"
        f" ({found}) x) n(orphans) WHERE n.orphans <> 0;\n"
    )
