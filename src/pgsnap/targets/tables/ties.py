"""Objects that refer to a live table by its OID, and so would keep referring to the replaced
one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from pgsnap.dump.definitions.table_parts import TableName, quoted
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.targets.tables.blocks import do
from pgsnap.targets.tables.live import LiveTable
from pgsnap.values import dataclass

# Types whose values are OIDs of tables, or of their row types.
_MEANS = "'regclass', '_regclass', 'regtype', '_regtype'"
# A larger application table is not scanned for this.
_READ_BYTES_MAX = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Dependents:
    """Dependents of a live table besides its own parts.

    *foreign_keys* of other tables refer to it, *views* (and rules of others) read or write it: both
    can be recreated. *stuck* cannot. *columns* of the application's own tables contain its OID, or
    may contain it.
    """

    foreign_keys: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


REFERS = """((d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND (d.refobjid = {oid}
 OR d.refobjid IN (SELECT s.objid FROM pg_catalog.pg_depend s
 WHERE s.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
 AND s.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND s.refobjid = {oid}
 AND s.deptype IN ('a', 'i')
 AND EXISTS (SELECT FROM pg_catalog.pg_class q WHERE q.oid = s.objid AND q.relkind = 'S'))))
 OR (d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refobjid IN (
 SELECT y.oid FROM pg_catalog.pg_type y WHERE y.typrelid = {oid}
 UNION ALL SELECT y.typarray FROM pg_catalog.pg_type y WHERE y.typrelid = {oid})))"""
"""A condition on a row d of pg_depend: it refers to the table *oid*, to its row type or that type's
array, or to a sequence owned by one of its columns."""


def dependents_of(session: Session, table: LiveTable, replaced: Collection[int] = ()) -> Dependents:
    """Return the dependents of *table*.

    Its parts move with it. What belongs to it, or to tables *replaced* along with it, is restored
    from the snapshot.
    """
    others = ", ".join(map(str, {table.oid, *replaced}))
    keys = _words(
        session,
        "SELECT pg_catalog.format('%I of %s', conname, conrelid::pg_catalog.regclass)"
        f" FROM pg_catalog.pg_constraint WHERE contype = 'f' AND confrelid = {table.oid}"
        f" AND conrelid NOT IN ({others}) AND conparentid = 0 ORDER BY 1",
    )
    rows = session.query(_DEPENDS.format(refers=REFERS.format(oid=table.oid), others=others))
    views = [name or "" for is_view, name in rows if is_view == "t"]
    stuck = [name or "" for is_view, name in rows if is_view != "t"]
    stuck += _words(session, _FROM_TRIGGERS.format(oid=table.oid, others=others))
    stuck += _words(session, _SUBSCRIPTIONS.format(oid=table.oid))
    holders = list(_holders(session, table, others))
    stuck += [str(each) for each in holders if each.extension]
    return Dependents(
        foreign_keys=tuple(keys),
        views=tuple(views),
        stuck=tuple(stuck),
        columns=tuple(str(each) for each in holders if not each.extension),
    )


# Automatic and internal dependencies are those of its parts. A view in a session's temporary schema
# is out of reach; one that shows whole rows depends on the row type as well, and so is stuck.
# Publications are handled separately (table_publications).
_DEPENDS = """
SELECT DISTINCT coalesce((c.relkind = 'v' OR r.ev_type <> '1') AND c.relpersistence <> 't', false),
  CASE WHEN c.relkind = 'v' AND r.ev_type = '1' AND c.relpersistence <> 't'
    THEN r.ev_class::pg_catalog.regclass::text
    ELSE pg_catalog.pg_describe_object(d.classid, d.objid, 0) END
FROM pg_catalog.pg_depend d
LEFT JOIN pg_catalog.pg_rewrite r
  ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objid
LEFT JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
LEFT JOIN pg_catalog.pg_policy p
  ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND p.oid = d.objid
LEFT JOIN pg_catalog.pg_constraint k
  ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = d.objid
LEFT JOIN pg_catalog.pg_trigger t
  ON d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND t.oid = d.objid
LEFT JOIN pg_catalog.pg_attrdef a
  ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND a.oid = d.objid
WHERE {refers} AND d.deptype = 'n' AND coalesce(k.contype, '') <> 'f'
  AND d.classid <> 'pg_catalog.pg_publication_rel'::pg_catalog.regclass
  AND coalesce(r.ev_class, p.polrelid, k.conrelid, t.tgrelid, a.adrelid, 0) NOT IN ({others})
ORDER BY 2
"""
# CREATE CONSTRAINT TRIGGER … FROM: an automatic dependency, of another table's trigger.
_FROM_TRIGGERS = """
SELECT pg_catalog.format('trigger %I on %s, which names it', tgname,
  tgrelid::pg_catalog.regclass)
FROM pg_catalog.pg_trigger
WHERE tgconstrrelid = {oid} AND tgconstraint <> 0 AND NOT tgisinternal
  AND tgrelid NOT IN ({others}) ORDER BY 1
"""
_SUBSCRIPTIONS = """
SELECT pg_catalog.format('subscription %I, which writes to it', s.subname)
FROM pg_catalog.pg_subscription_rel r JOIN pg_catalog.pg_subscription s ON s.oid = r.srsubid
WHERE r.srrelid = {oid} ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class _Holder:
    """A column that contains the OID of a table, or (not *is_certain*) may contain it."""

    table: str
    column: str
    extension: str
    is_certain: bool

    def __str__(self) -> str:
        where = f"{self.table} ({self.column})"
        if self.extension:
            where = f"the extension {self.extension}, which keeps its number in {where}"
        return where if self.is_certain else f"{where}, as far as can be known"


_NUMBERS = """
SELECT o.oid FROM pg_catalog.pg_class o WHERE o.oid = {oid}
UNION ALL SELECT y.oid FROM pg_catalog.pg_type y WHERE y.typrelid = {oid}
UNION ALL SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid = {oid}
UNION ALL SELECT d.objid FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_class q ON q.oid = d.objid AND q.relkind = 'S'
  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = {oid}
    AND d.deptype IN ('a', 'i')
"""
# In application tables only columns of types that mean tables: a plain oid may be anything there,
# and refers to tables only in an extension's tables.
_COLUMNS = """
SELECT c.oid::pg_catalog.regclass::text, t.attname, coalesce(e.extname, ''),
  y.typelem <> 0 AND y.typlen = -1, pg_catalog.pg_relation_size(c.oid),
  pg_catalog.has_column_privilege(c.oid, t.attnum, 'SELECT')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped
JOIN pg_catalog.pg_type y ON y.oid = t.atttypid
LEFT JOIN pg_catalog.pg_type b ON b.oid = y.typbasetype
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.objid = c.oid AND d.deptype = 'e'
LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.oid NOT IN ({others})
  AND c.relnamespace NOT IN ('pg_catalog'::pg_catalog.regnamespace,
    'information_schema'::pg_catalog.regnamespace, 'pg_toast'::pg_catalog.regnamespace)
  AND (coalesce(b.typname, y.typname) IN ({means})
    OR e.oid IS NOT NULL AND (coalesce(b.typname, y.typname) IN ('oid', '_oid')))
  AND coalesce(b.typnamespace, y.typnamespace) = 'pg_catalog'::pg_catalog.regnamespace
ORDER BY 1, 2
"""


def _holders(session: Session, table: LiveTable, others: str) -> Iterator[_Holder]:
    """Yield the columns of tables that contain the OID of *table*, or of a part of it."""
    columns = session.query(_COLUMNS.format(others=others, means=_MEANS))
    if not columns:
        return
    numbers = ", ".join(_words(session, _NUMBERS.format(oid=table.oid)))
    for name, column, extension, is_array, size, may_read in columns:
        holder = _Holder(name or "", column or "", extension or "", is_certain=True)
        if may_read != "t" or (not extension and int(size or 0) > _READ_BYTES_MAX):
            yield _Holder(holder.table, holder.column, holder.extension, is_certain=False)
            continue
        is_there = (
            f"{ident(holder.column)}::pg_catalog.oid[] && ARRAY[{numbers}]::pg_catalog.oid[]"
            if is_array == "t"
            else f"{ident(holder.column)}::pg_catalog.oid IN ({numbers})"
        )
        # The server already quoted the name, as regclass prints it.
        if session.query(f"SELECT 1 FROM ONLY {holder.table} WHERE {is_there} LIMIT 1"):
            yield holder


def tied_since(replaced: Sequence[LiveTable], tag: str) -> str:
    """Return SQL that fails if anything was created since the plan that would keep using one of
    *replaced*, which are locked by now."""
    others = ", ".join(str(live.oid) for live in replaced)
    found = " UNION ALL ".join(
        f"SELECT name FROM ({_DEPENDS.format(refers=REFERS.format(oid=oid), others=others)})"
        " AS x (is_view, name) WHERE NOT is_view"
        f" UNION ALL SELECT name FROM ({_FROM_TRIGGERS.format(oid=oid, others=others)}) AS y (name)"
        f" UNION ALL SELECT name FROM ({_SUBSCRIPTIONS.format(oid=oid)}) AS z (name)"
        for oid in (live.oid for live in replaced)
    )
    return do(
        tag,
        "DECLARE ties text;",
        f"""SELECT pg_catalog.string_agg(f.name, ', ') INTO ties FROM ({found}) AS f;
  IF ties IS NOT NULL THEN
    RAISE EXCEPTION 'snap: since the plan was made there is something that would go on using the'
      ' replaced table: %', ties;
  END IF;""",
    )


def means_none_of(made: Iterable[TableName], replaced: Iterable[LiveTable], tag: str) -> str:
    """Return SQL that fails if rows of the tables *made* refer to one of those *replaced* by them:
    names in the dump were resolved while these still had theirs."""
    names = ", ".join(literal(quoted(name)) for name in made)
    numbers = " UNION ALL ".join(f"({_NUMBERS.format(oid=live.oid)})" for live in replaced)
    return do(
        tag,
        "DECLARE held record; found bool; numbers pg_catalog.oid[];",
        f"""numbers := ARRAY({numbers});
  FOR held IN SELECT c.oid::pg_catalog.regclass AS name, c.relname, t.attname,
      y.typname IN ('_regclass', '_regtype') AS is_array
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped
    JOIN pg_catalog.pg_type y ON y.oid = t.atttypid
    LEFT JOIN pg_catalog.pg_type b ON b.oid = y.typbasetype
    WHERE c.oid IN (SELECT pg_catalog.to_regclass(n)::pg_catalog.oid
        FROM pg_catalog.unnest(ARRAY[{names}]) n) AND c.relkind = 'r'
      AND coalesce(b.typname, y.typname) IN ({_MEANS})
  LOOP
    EXECUTE pg_catalog.format(CASE WHEN held.is_array
      THEN 'SELECT EXISTS (SELECT FROM ONLY %s WHERE %I::pg_catalog.oid[] && $1)'
      ELSE 'SELECT EXISTS (SELECT FROM ONLY %s WHERE %I::pg_catalog.oid = ANY ($1))' END,
      held.name, held.attname) INTO found USING numbers;
    IF found THEN
      RAISE EXCEPTION 'snap: rows of % (column %) mean a table that is replaced with it',
        held.relname, held.attname;
    END IF;
  END LOOP;""",
    )


def _words(session: Session, sql: str) -> list[str]:
    rows: Iterable[tuple[str | None, ...]] = session.query(sql)
    return [name for (name,) in rows if name is not None]
