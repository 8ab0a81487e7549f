"""SQL that makes one table beside a live one, or in its place, within one transaction.

The table and all that has a name of its own (indexes, sequences, statistics) are made in a schema
of their own, that exists only inside the transaction. At the end they move into the true schema:
ALTER TABLE … SET SCHEMA takes indexes, constraints and owned sequences with it. Whatever fails or
is killed, the server rolls all of it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pgsnap.dump.table_parts import TableName, TableParts, quoted, with_names
from pgsnap.limits import IDENTIFIER_BYTES_MAX
from pgsnap.sessions.base import Session, ident, literal

# While it is locked nobody reads or writes the table: better to fail than to let all of them wait.
LOCK_SECONDS = 30
# Room for "_999" before the suffix of a name that had to be cut.
_NUMBER_CHARS = 4


@dataclass(frozen=True, slots=True)
class LiveTable:
    """The table that is there now. *size_bytes* with its indexes; *kind* as pg_class.relkind."""

    name: TableName
    oid: int
    kind: str
    size_bytes: int
    owner: str
    is_ours: bool


@dataclass(frozen=True, slots=True)
class Dependents:
    """What is tied to a live table besides what belongs to it.

    *foreign_keys* of other tables refer to it, *views* read it: both can be made again.
    *stuck* cannot, *publications* would no longer publish it.
    """

    foreign_keys: tuple[str, ...]
    views: tuple[str, ...]
    stuck: tuple[str, ...]
    publications: tuple[str, ...]


def look_at_table(session: Session, table: TableName) -> LiveTable | None:
    """Return what is known of a table, or of what else has its name; None: the name is free."""
    rows = session.query(
        "SELECT c.oid, c.relkind, pg_catalog.pg_total_relation_size(c.oid), r.rolname,"
        " pg_catalog.pg_has_role(c.relowner, 'USAGE')"
        " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " JOIN pg_catalog.pg_roles r ON r.oid = c.relowner"
        f" WHERE n.nspname = {literal(table[0])} AND c.relname = {literal(table[1])}"
    )
    if not rows:
        return None
    oid, kind, size, owner, ours = rows[0]
    return LiveTable(table, int(oid or 0), kind or "", int(size or 0), owner or "", ours == "t")


def dependents_of(session: Session, table: LiveTable) -> Dependents:
    """Return what other objects have to do with *table*.

    Its parts (automatic and internal dependencies) go with it; of normal dependencies those of its
    own rules, policies, constraints, triggers and defaults are left out.
    """
    keys = session.query(
        "SELECT pg_catalog.format('%I of %s', conname, conrelid::pg_catalog.regclass)"
        f" FROM pg_catalog.pg_constraint WHERE contype = 'f' AND confrelid = {table.oid}"
        f" AND conrelid <> {table.oid} AND conparentid = 0 ORDER BY 1"
    )
    rows = session.query(
        "SELECT DISTINCT coalesce(c.relkind = 'v', false),"
        " CASE WHEN c.relkind = 'v' THEN r.ev_class::pg_catalog.regclass::text"
        " ELSE pg_catalog.pg_describe_object(d.classid, d.objid, 0) END"
        " FROM pg_catalog.pg_depend d"
        " LEFT JOIN pg_catalog.pg_rewrite r"
        " ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objid"
        " LEFT JOIN pg_catalog.pg_class c ON c.oid = r.ev_class"
        " LEFT JOIN pg_catalog.pg_policy p"
        " ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND p.oid = d.objid"
        " LEFT JOIN pg_catalog.pg_constraint k"
        " ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = d.objid"
        " LEFT JOIN pg_catalog.pg_trigger t"
        " ON d.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND t.oid = d.objid"
        " LEFT JOIN pg_catalog.pg_attrdef a"
        " ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND a.oid = d.objid"
        f" WHERE {_REFERS.format(oid=table.oid)}"
        " AND d.deptype = 'n' AND coalesce(k.contype, '') <> 'f'"
        " AND coalesce(r.ev_class, p.polrelid, k.conrelid, t.tgrelid, a.adrelid, 0)"
        f" <> {table.oid} ORDER BY 2"
    )
    published = session.query(
        "SELECT p.pubname FROM pg_catalog.pg_publication_rel r"
        f" JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = {table.oid}"
        " ORDER BY 1"
    )
    return Dependents(
        foreign_keys=tuple(name or "" for (name,) in keys),
        views=tuple(name or "" for is_view, name in rows if is_view == "t"),
        stuck=tuple(name or "" for is_view, name in rows if is_view != "t"),
        publications=tuple(name or "" for (name,) in published),
    )


# A condition on a row d of pg_depend: it refers to the table, to its row type or that type's array,
# or to a sequence that belongs to one of its columns.
_REFERS = """((d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND (d.refobjid = {oid}
 OR d.refobjid IN (SELECT s.objid FROM pg_catalog.pg_depend s
 WHERE s.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
 AND s.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND s.refobjid = {oid}
 AND s.deptype IN ('a', 'i')
 AND EXISTS (SELECT FROM pg_catalog.pg_class q WHERE q.oid = s.objid AND q.relkind = 'S'))))
 OR (d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refobjid IN (
 SELECT y.oid FROM pg_catalog.pg_type y WHERE y.typrelid = {oid}
 UNION ALL SELECT y.typarray FROM pg_catalog.pg_type y WHERE y.typrelid = {oid})))"""


def beside_name(table: TableName, word: str) -> TableName:
    """Return ``schema.table__<word>``, the table's own name cut where it would be too long."""
    suffix = f"__{word}"
    return table[0], _cut(table[1], IDENTIFIER_BYTES_MAX - len(suffix.encode())) + suffix


def replaced_name(table: TableName, moment: datetime) -> TableName:
    """Return the name under which a table that is replaced is kept."""
    # With milliseconds: two replacements may follow each other within a second.
    return beside_name(table, moment.strftime("replaced_%Y%m%d_%H%M%S_%f")[:-3])


def _cut(name: str, size: int) -> str:
    return name.encode("utf-8", "surrogateescape")[: max(1, size)].decode("utf-8", "ignore")


def opening(staging: str) -> str:
    """Begin the transaction, with a schema for what is made in it."""
    return (
        f"BEGIN;\nSET LOCAL lock_timeout = '{LOCK_SECONDS}s';\nCREATE SCHEMA {ident(staging)};\n"
        # Who owns the table must be allowed into its schema; nobody else sees it.
        f"GRANT USAGE, CREATE ON SCHEMA {ident(staging)} TO PUBLIC;\n"
    )


def before_rows(parts: TableParts, staging: str) -> str:
    return _renamed(parts, parts.before, staging)


def after_rows(parts: TableParts, staging: str) -> str:
    return _renamed(parts, parts.after, staging)


def _renamed(parts: TableParts, texts: Iterable[str], staging: str) -> str:
    names = parts.names_in(staging)
    return "".join(f"{with_names(text, names)}\n" for text in texts)


def sequence_values_sql(
    parts: TableParts, values: dict[str, tuple[int, bool]], staging: str
) -> str:
    """Set the table's sequences to where they stood; *values* by the names in the dump."""
    names = parts.names_in(staging)
    lines = []
    for shown, (value, called) in values.items():
        # The dump has the name as it stands in setval('…').
        new = with_names(f"'{shown}'::regclass", names)
        if new != f"'{shown}'::regclass":
            word = "true" if called else "false"
            lines.append(f"SELECT pg_catalog.setval({new}, {value}, {word});\n")
    return "".join(lines)


def closing(staging: str) -> str:
    """Drop the empty schema; fails, and so takes everything back, if anything was left in it."""
    return f"DROP SCHEMA {ident(staging)};\n"


def no_ties_to_live(parts: TableParts, staging: str, tag: str) -> str:
    """Fail if the new table depends on the live one: then a name was not replaced."""
    new, live = (literal(quoted(name)) for name in ((staging, parts.table[1]), parts.table))
    return _do(
        tag,
        "DECLARE tie text;",
        f"""SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) INTO tie
    FROM pg_catalog.pg_depend d
    WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND d.refobjid = pg_catalog.to_regclass({live})
      AND (d.objid = pg_catalog.to_regclass({new})
        OR d.objid IN (SELECT oid FROM pg_catalog.pg_constraint
          WHERE conrelid = pg_catalog.to_regclass({new}) AND contype <> 'f'
          UNION ALL SELECT oid FROM pg_catalog.pg_trigger
          WHERE tgrelid = pg_catalog.to_regclass({new})
          UNION ALL SELECT oid FROM pg_catalog.pg_policy
          WHERE polrelid = pg_catalog.to_regclass({new})
          UNION ALL SELECT oid FROM pg_catalog.pg_attrdef
          WHERE adrelid = pg_catalog.to_regclass({new})
          UNION ALL SELECT oid FROM pg_catalog.pg_rewrite
          WHERE ev_class = pg_catalog.to_regclass({new}))) LIMIT 1;
  IF tie IS NOT NULL THEN
    RAISE EXCEPTION 'snap: the new table would depend on the live one: %', tie;
  END IF;""",
    )


def rename_parts(table: TableName, suffix: str, tag: str) -> str:
    """Give every index, sequence and statistics object of *table* a name that ends in *suffix*."""
    oid = f"pg_catalog.to_regclass({literal(quoted(table))})"
    room = IDENTIFIER_BYTES_MAX - len(suffix.encode())
    return _do(
        tag,
        "DECLARE part record; number int := 0;",
        f"""FOR part IN
    SELECT n.nspname AS place, c.relname AS name,
      CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'INDEX' END AS word
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid IN (SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid = {oid})
      OR (c.relkind = 'S' AND EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = {oid}
        AND d.deptype IN ('a', 'i')))
    UNION ALL
    SELECT n.nspname, s.stxname, 'STATISTICS' FROM pg_catalog.pg_statistic_ext s
    JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid = {oid}
  LOOP
    number := number + 1;
    EXECUTE pg_catalog.format('ALTER %s %I.%I RENAME TO %I', part.word, part.place, part.name,
      CASE WHEN pg_catalog.length(part.name::text) <= {room} THEN part.name::text
      ELSE pg_catalog.left(part.name::text, {room - _NUMBER_CHARS}) || '_' || number END
      || {literal(suffix)});
  END LOOP;""",
    )


def move(parts: TableParts, staging: str, name: str) -> str:
    """Give the new table *name* and let it move into its schema."""
    schema = ident(parts.table[0])
    sql = ""
    if name != parts.table[1]:
        sql += f"ALTER TABLE {quoted((staging, parts.table[1]))} RENAME TO {ident(name)};\n"
    return sql + f"ALTER TABLE {quoted((staging, name))} SET SCHEMA {schema};\n"


def move_statistics(staging: str, schema: str, tag: str) -> str:
    """Let extended statistics follow their table: SET SCHEMA leaves them where they are."""
    return _do(
        tag,
        "DECLARE name text;",
        f"""FOR name IN SELECT s.stxname FROM pg_catalog.pg_statistic_ext s
    WHERE s.stxnamespace = {literal(staging)}::pg_catalog.regnamespace
  LOOP
    EXECUTE pg_catalog.format('ALTER STATISTICS %I.%I SET SCHEMA %I',
      {literal(staging)}, name, {literal(schema)});
  END LOOP;""",
    )


def take_place(
    parts: TableParts, live: LiveTable, kept: TableName, replaced: Sequence[int], *,
    staging: str, tag: str,
) -> str:  # fmt: skip
    """Lock the live table, set it aside as *kept*, and let the new one take its name.

    Views that read it and foreign keys that refer to it are made again, and so look at the new
    table; a key that does not hold any more fails all of it. Foreign keys of the old table are
    dropped: they would hold rows of other tables. *replaced* are all live tables of this restore.
    """
    name, suffix = literal(quoted(live.name)), f"__{kept[1].rpartition('__')[2]}"
    others = ", ".join(str(oid) for oid in replaced)
    return (
        f"LOCK TABLE {quoted(live.name)} IN ACCESS EXCLUSIVE MODE;\n"
        + _do(
            tag,
            "",
            f"""IF pg_catalog.to_regclass({name}) IS DISTINCT FROM {live.oid}::pg_catalog.oid THEN
    RAISE EXCEPTION 'snap: the live table is not the one that the plan showed';
  END IF;""",
        )
        + rename_parts(live.name, suffix, tag)
        + _do(
            tag,
            "DECLARE views text[]; keys text[]; drops text[]; own text[]; one text;",
            f"""SELECT pg_catalog.array_agg(DISTINCT pg_catalog.format(
      'CREATE OR REPLACE VIEW %s%s AS %s', v.oid::pg_catalog.regclass,
      ' WITH (' || pg_catalog.array_to_string(v.reloptions, ', ') || ')',
      pg_catalog.pg_get_viewdef(v.oid))) INTO views
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
    JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
    WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      AND {_REFERS.format(oid=live.oid)};
  SELECT pg_catalog.array_agg(pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I',
      k.conrelid::pg_catalog.regclass, k.conname)),
    pg_catalog.array_agg(pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s',
      k.conrelid::pg_catalog.regclass, k.conname, pg_catalog.pg_get_constraintdef(k.oid)))
    INTO drops, keys FROM pg_catalog.pg_constraint k
    WHERE k.contype = 'f' AND k.confrelid = {live.oid} AND k.conparentid = 0
      AND k.conrelid NOT IN ({others});
  SELECT pg_catalog.array_agg(pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I',
      k.conrelid::pg_catalog.regclass, k.conname)) INTO own
    FROM pg_catalog.pg_constraint k
    WHERE k.contype = 'f' AND k.conrelid = {live.oid} AND k.conparentid = 0;
  FOREACH one IN ARRAY coalesce(drops || own, '{{}}') LOOP EXECUTE one; END LOOP;
  EXECUTE {literal(f"ALTER TABLE {quoted(live.name)} RENAME TO {ident(kept[1])}")};
  EXECUTE {literal(move(parts, staging, parts.table[1]).strip().rstrip(";"))};
  FOREACH one IN ARRAY coalesce(views || keys, '{{}}') LOOP EXECUTE one; END LOOP;""",
        )
    )


def _do(tag: str, declare: str, body: str) -> str:
    """Return a DO block; *tag* is nothing that can stand in a name."""
    head = f"{declare}\n" if declare else ""
    return f"DO $snap_{tag}$\n{head}BEGIN\n  {body}\nEND $snap_{tag}$;\n"
