"""SQL that creates a table beside a live one, or in its place, within one transaction.

The table and everything with a name of its own (indexes, sequences, statistics) are created in
staging schemas, one for each target schema, that exist only inside the transaction. At the end they
move into the target schemas: ALTER TABLE … SET SCHEMA takes indexes, constraints and owned
sequences along. If anything fails or is killed, the server rolls back all of it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime

from pgsnap.dump.definitions.mending import Identities, with_constant_marks
from pgsnap.dump.definitions.table_parts import TableName, TableParts, quoted, with_names
from pgsnap.dump.entries import decode, encode
from pgsnap.limits import IDENTIFIER_BYTES_MAX
from pgsnap.sessions.base import ident, literal
from pgsnap.targets.tables.blocks import DROP_LANGUAGE, MAKE_LANGUAGE, do
from pgsnap.targets.tables.live import LiveTable
from pgsnap.targets.tables.ties import REFERS, tied_since

# While it is locked nobody can read or write the table: better to fail than to block them all.
LOCK_SECONDS = 30


def beside_name(table: TableName, word: str, taken: Container[TableName] = ()) -> TableName:
    """Return ``schema.table__<word>``, with the table's own name truncated if needed; none of
    *taken*."""
    suffix = f"__{word}"
    number = 0
    while True:
        stem = _cut(table[1], IDENTIFIER_BYTES_MAX - len(suffix.encode()))
        if number:
            end = f"_{number}"
            stem = _cut(table[1], IDENTIFIER_BYTES_MAX - len((end + suffix).encode())) + end
        name = table[0], stem + suffix
        if name not in taken:
            return name
        number += 1


def replaced_name(
    table: TableName, moment: datetime, taken: Container[TableName] = ()
) -> TableName:
    """Return the name under which a replaced table is kept, none of *taken*."""
    # With milliseconds: two replacements may follow each other within a second.
    return beside_name(table, moment.strftime("replaced_%Y%m%d_%H%M%S_%f")[:-3], taken)


def _cut(name: str, size: int) -> str:
    return name.encode("utf-8", "surrogateescape")[: max(1, size)].decode("utf-8", "ignore")


def staging_schemas(parts: Iterable[TableParts], tag: str) -> dict[str, str]:
    """Return the staging schema for each schema in which *parts* have names."""
    schemas = dict.fromkeys(schema for each in parts for schema in each.schemas())
    return {schema: f"snap_{tag}_{number}" for number, schema in enumerate(schemas, 1)}


def opening(staging: Mapping[str, str], *, makes_language: bool) -> str:
    """Return SQL that creates the schemas for what is created in the transaction."""
    sql = f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s';\n"
    if makes_language:
        sql += MAKE_LANGUAGE
    for schema in staging.values():
        sql += f"CREATE SCHEMA {ident(schema)};\n"
        # The table's owner must have access to its schema; nobody else sees it.
        sql += f"GRANT USAGE, CREATE ON SCHEMA {ident(schema)} TO PUBLIC;\n"
    return sql


def staged_names(
    parts: Iterable[TableParts], staging: Mapping[str, str]
) -> dict[TableName, TableName]:
    """Return the staged name for each name that *parts* have."""
    return {old: new for each in parts for old, new in each.names_in(staging).items()}


def renamed(
    texts: Iterable[str], names: Mapping[TableName, TableName], identities: Identities
) -> str:
    """Return definitions with the staged names."""
    # As bytes, as a whole dump is processed; invalid UTF-8 passes unchanged.
    as_bytes = (encode(text, "UTF8") for text in texts)
    mended = (with_constant_marks(identities.mended(text)) for text in as_bytes)
    return "".join(f"{with_names(decode(text, 'UTF8'), names)}\n" for text in mended)


def sequence_values_sql(
    values: dict[str, tuple[int, bool]],
    names: Mapping[TableName, TableName],
    identities: Identities,
) -> str:
    """Return SQL that sets the staged sequences to their values; *values* is keyed by the names in
    the dump."""
    lines = []
    for shown, (value, called) in values.items():
        # The dump has the name as it is written in setval('…').
        old = "'" + shown.replace("'", "''") + "'::regclass"
        new = with_names(old, names)
        if new != old:
            word = "true" if called else "false"
            if kind := identities.type_for(encode(shown, "UTF8"), value).decode():
                lines.append(f"ALTER SEQUENCE {with_names(shown, names)} AS {kind};\n")
            lines.append(f"SELECT pg_catalog.setval({new}, {value}, {word});\n")
    return "".join(lines)


def closing(staging: Mapping[str, str], *, makes_language: bool) -> str:
    """Return SQL that drops the empty schemas; it fails, and so rolls everything back, if anything
    was left in them."""
    sql = f"DROP SCHEMA {', '.join(map(ident, staging.values()))};\n"
    return sql + DROP_LANGUAGE if makes_language else sql


def no_ties_to_live(table: TableName, made_as: TableName, tag: str) -> str:
    """Return SQL that fails if the new table depends on the live one: then a name was not
    replaced."""
    new, live = (literal(quoted(name)) for name in (made_as, table))
    return do(
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


def rename_all(tables: Iterable[tuple[TableName, TableName]], suffix: str, tag: str) -> str:
    """Return SQL that gives each of *tables* its second name, and its parts names that end in
    *suffix*."""
    pairs = list(tables)
    named = [(schema, new) for (schema, _), (_, new) in pairs]
    return do(tag, "", _renames(pairs) + _rename_parts([_oid(name) for name in named], suffix))


def set_schemas(tables: Iterable[tuple[TableName, str]]) -> str:
    """Return SQL that moves each of *tables* into a schema."""
    return "".join(
        f"ALTER TABLE {quoted(name)} SET SCHEMA {ident(schema)};\n" for name, schema in tables
    )


def move_statistics(staging: Mapping[str, str], tag: str) -> str:
    """Return SQL that moves extended statistics along with their table: SET SCHEMA does not."""
    return "".join(
        do(
            tag,
            "DECLARE name text;",
            f"""FOR name IN SELECT s.stxname FROM pg_catalog.pg_statistic_ext s
    WHERE s.stxnamespace = {literal(made_in)}::pg_catalog.regnamespace
  LOOP
    EXECUTE pg_catalog.format('ALTER STATISTICS %I.%I SET SCHEMA %I',
      {literal(made_in)}, name, {literal(schema)});
  END LOOP;""",
        )
        for schema, made_in in staging.items()
    )


# What is recreated, what is dropped for it, and the foreign keys of the replaced tables.
_LISTS = ("views", "rules", "keys", "notes", "drops", "own")


def take_places(replaced: Sequence[tuple[LiveTable, TableName]], into_place: str, tag: str) -> str:
    """Return SQL that locks the live tables, sets each aside under its second name, and gives their
    names to others with *into_place*.

    Views that read them, rules of other tables that use them and foreign keys that refer to them
    are recreated, and so refer to the new tables; a key that is violated fails all of it. Foreign
    keys of the old tables are dropped: they would keep rows of other tables from being deleted.
    """
    if not replaced:
        return into_place
    names = ", ".join(quoted(live.name) for live, _ in replaced)
    planned = ", ".join(f"({_oid(live.name)}, {live.oid}::pg_catalog.oid)" for live, _ in replaced)
    oids = ", ".join(str(live.oid) for live, _ in replaced)
    suffix = f"__{replaced[0][1][1].rpartition('__')[2]}"
    locked = f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE;\n"
    locked += tied_since([live for live, _ in replaced], tag)
    return locked + do(
        tag,
        f"DECLARE {' text[]; '.join(_LISTS)} text[]; one text;",
        f"""IF EXISTS (SELECT FROM (VALUES {planned}) AS v (now, oid)
      WHERE v.now IS DISTINCT FROM v.oid) THEN
    RAISE EXCEPTION 'snap: a live table is not the one that the plan showed';
  END IF;
  SELECT pg_catalog.array_agg(DISTINCT pg_catalog.format(
      'CREATE OR REPLACE VIEW %s%s AS %s', v.oid::pg_catalog.regclass,
      ' WITH (' || pg_catalog.array_to_string(v.reloptions, ', ') || ')',
      pg_catalog.pg_get_viewdef(v.oid))) INTO views
    FROM pg_catalog.pg_class t JOIN pg_catalog.pg_depend d ON {REFERS.format(oid="t.oid")}
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_type = '1'
    JOIN pg_catalog.pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
    WHERE t.oid IN ({oids}) AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass;
  SELECT pg_catalog.array_agg(DISTINCT pg_catalog.regexp_replace(
      pg_catalog.pg_get_ruledef(r.oid), '^CREATE RULE', 'CREATE OR REPLACE RULE')) INTO rules
    FROM pg_catalog.pg_class t JOIN pg_catalog.pg_depend d ON {REFERS.format(oid="t.oid")}
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_type <> '1'
    WHERE t.oid IN ({oids}) AND r.ev_class NOT IN ({oids})
      AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass;
  SELECT pg_catalog.array_agg(pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I',
      k.conrelid::pg_catalog.regclass, k.conname)),
    pg_catalog.array_agg(pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s',
      k.conrelid::pg_catalog.regclass, k.conname, pg_catalog.pg_get_constraintdef(k.oid))),
    pg_catalog.array_agg(pg_catalog.format('COMMENT ON CONSTRAINT %I ON %s IS %L', k.conname,
      k.conrelid::pg_catalog.regclass, pg_catalog.obj_description(k.oid, 'pg_constraint')))
    INTO drops, keys, notes FROM pg_catalog.pg_constraint k
    WHERE k.contype = 'f' AND k.confrelid IN ({oids}) AND k.conparentid = 0
      AND k.conrelid NOT IN ({oids});
  SELECT pg_catalog.array_agg(pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I',
      k.conrelid::pg_catalog.regclass, k.conname)) INTO own
    FROM pg_catalog.pg_constraint k
    WHERE k.contype = 'f' AND k.conrelid IN ({oids}) AND k.conparentid = 0;
  FOREACH one IN ARRAY coalesce(drops || own, '{{}}') LOOP EXECUTE one; END LOOP;
  {_renames([(live.name, kept) for live, kept in replaced])}
  {_rename_parts([str(live.oid) for live, _ in replaced], suffix)}
  EXECUTE {literal(into_place)};
  FOREACH one IN ARRAY views || rules || keys || notes || '{{}}'::text[]
  LOOP EXECUTE one; END LOOP;""",
    )


def _oid(table: TableName) -> str:
    return f"pg_catalog.to_regclass({literal(quoted(table))})::pg_catalog.oid"


def _renames(tables: Iterable[tuple[TableName, TableName]]) -> str:
    return "".join(
        f"EXECUTE {literal(f'ALTER TABLE {quoted(old)} RENAME TO {ident(new[1])}')};\n"
        for old, new in tables
    )


def _rename_parts(oids: Iterable[str], suffix: str) -> str:
    """Return SQL that gives every index, sequence and statistics object of tables an unused name
    ending in *suffix*."""
    tables = ", ".join(oids)
    return f"""DECLARE part record; stem text; number int; fresh text;
  BEGIN
  FOR part IN
    SELECT n.oid AS place_oid, n.nspname AS place, c.relname AS name,
      CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'INDEX' END AS word
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid IN (SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid IN ({tables}))
      OR (c.relkind = 'S' AND EXISTS (SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
        AND d.refobjid IN ({tables}) AND d.deptype IN ('a', 'i')))
    UNION ALL
    SELECT n.oid, n.nspname, s.stxname, 'STATISTICS' FROM pg_catalog.pg_statistic_ext s
    JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace WHERE s.stxrelid IN ({tables})
    ORDER BY 2, 3
  LOOP
    stem := part.name;
    number := 0;
    LOOP
      fresh := stem || CASE number WHEN 0 THEN '' ELSE '_' || number END || {literal(suffix)};
      IF pg_catalog.octet_length(fresh) > {IDENTIFIER_BYTES_MAX} THEN
        stem := pg_catalog.left(stem, -1);
        CONTINUE;
      END IF;
      EXIT WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_class c
          WHERE c.relnamespace = part.place_oid AND c.relname = fresh)
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_statistic_ext s
          WHERE s.stxnamespace = part.place_oid AND s.stxname = fresh);
      number := number + 1;
    END LOOP;
    EXECUTE pg_catalog.format(
      'ALTER %s %I.%I RENAME TO %I', part.word, part.place, part.name, fresh);
  END LOOP;
  END;"""
