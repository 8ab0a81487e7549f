"""SQL that gives staged tables the privileges in the snapshot, and verifies them.

Objects created in the live database get its default privileges: these are revoked before the dump's
own GRANTs, which assume an object without them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pgsnap.dump.definitions.rights import Right
from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.sessions.base import Session, literal
from pgsnap.targets.tables.blocks import do
from pgsnap.values import dataclass

_OIDS = "pgsnap.tables"


@dataclass(frozen=True, slots=True)
class Privileges:
    """All privileges that exist for a table, and for a sequence, on one server."""

    of_tables: tuple[str, ...]
    of_sequences: tuple[str, ...]


def read_privileges(session: Session) -> Privileges:
    """Return them from the server: MAINTAIN was added in 17."""

    def every(kind: str) -> tuple[str, ...]:
        rows = session.query(
            "SELECT a.privilege_type FROM"
            f" pg_catalog.aclexplode(pg_catalog.acldefault('{kind}', 10)) a"
            " WHERE a.grantee = 10 ORDER BY 1"
        )
        return tuple(name for (name,) in rows if name is not None)

    return Privileges(every("r"), every("s"))


def without_default_privileges(staging: Iterable[str], tag: str) -> str:
    """Return SQL that resets the privileges of every table and sequence in the schemas *staging* to
    those without default privileges: all to its owner, none to others."""
    return do(
        tag,
        "DECLARE made record; role text;",
        f"""FOR made IN SELECT c.oid, c.relowner, c.relacl,
      CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END
        || c.oid::pg_catalog.regclass AS name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ({_names(staging)}) AND c.relkind IN ('r', 'p', 'f', 'S')
      AND c.relacl IS NOT NULL
  LOOP
    FOR role IN SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC'
        ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
      FROM pg_catalog.aclexplode(made.relacl) a
    LOOP
      EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM %s CASCADE', made.name, role);
    END LOOP;
    EXECUTE pg_catalog.format('GRANT ALL ON %s TO %I', made.name,
      pg_catalog.pg_get_userbyid(made.relowner));
  END LOOP;""",
    )


def note_oids(staging: Iterable[str]) -> str:
    """Return SQL that records the OIDs of tables and sequences before they are renamed."""
    return (
        f"SELECT pg_catalog.set_config('{_OIDS}', (SELECT pg_catalog.json_object_agg("
        "n.nspname || '.' || c.relname, c.oid::text)::text FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        f" WHERE n.nspname IN ({_names(staging)}) AND c.relkind IN ('r', 'p', 'f', 'S')), true)"
        " IS NULL;\n"
    )


def same_rights(wanted: Sequence[Right], made_as: Mapping[TableName, TableName], tag: str) -> str:
    """Return SQL that fails unless the privileges on what `note_oids` recorded are exactly
    *wanted*, looked up by the staged names *made_as*."""
    # A table may have no privileges at all, but VALUES needs a row.
    nothing = "(NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::bool)"
    rows = [f"({literal('.'.join(made_as[right.name]))}, {_named(right)})" for right in wanted]
    values = ", ".join([nothing, *rows])
    return do(
        tag,
        "DECLARE wrong text;",
        f"""WITH made AS (
    SELECT c.oid, c.relkind, c.relowner, c.relacl, o.key AS made_as, c.relname
    FROM pg_catalog.json_each_text(pg_catalog.current_setting('{_OIDS}')::json) o
    JOIN pg_catalog.pg_class c ON c.oid = o.value::pg_catalog.oid
  ), held AS (
    SELECT m.made_as, ''::text AS part, a.grantee, a.grantor, a.privilege_type, a.is_grantable
    FROM made m, pg_catalog.aclexplode(coalesce(m.relacl, pg_catalog.acldefault(
      CASE m.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", m.relowner))) a
    UNION ALL
    SELECT m.made_as, t.attname::text, a.grantee, a.grantor, a.privilege_type, a.is_grantable
    FROM made m JOIN pg_catalog.pg_attribute t ON t.attrelid = m.oid AND NOT t.attisdropped,
      pg_catalog.aclexplode(t.attacl) a
  ), now AS (
    SELECT h.made_as, h.part, CASE h.grantee WHEN 0 THEN ''
        ELSE pg_catalog.pg_get_userbyid(h.grantee)::text END AS grantee,
      pg_catalog.pg_get_userbyid(h.grantor)::text AS grantor, h.privilege_type, h.is_grantable
    FROM held h
  ), wanted (made_as, part, grantee, grantor, privilege_type, is_grantable) AS (
    VALUES {values}
  ), differs AS (
    SELECT 'too many' AS how, x.* FROM (TABLE now EXCEPT TABLE wanted) x
    UNION ALL SELECT 'too few', y.* FROM (SELECT * FROM wanted w WHERE w.made_as IS NOT NULL
      EXCEPT TABLE now) y
  )
  SELECT pg_catalog.string_agg(pg_catalog.format('%s: %s%s to %s on %s (granted by %s%s)', d.how,
      d.privilege_type, CASE WHEN d.part <> '' THEN ' (' || d.part || ')' ELSE '' END,
      CASE d.grantee WHEN '' THEN 'PUBLIC' ELSE d.grantee END, m.relname, d.grantor,
      CASE WHEN d.is_grantable THEN ', with grant option' ELSE '' END), '; ') INTO wrong
    FROM (SELECT * FROM differs ORDER BY 1 DESC, 2, 3, 4, 6 LIMIT 5) d
    JOIN made m ON m.made_as = d.made_as;
  IF wrong IS NOT NULL THEN
    RAISE EXCEPTION 'snap: the rights would not be those of the snapshot: %', wrong;
  END IF;""",
    )


def _named(right: Right) -> str:
    words = (right.column, right.grantee, right.grantor, right.privilege)
    return f"{', '.join(map(literal, words))}, {'true' if right.grantable else 'false'}"


def _names(schemas: Iterable[str]) -> str:
    return ", ".join(map(literal, schemas))
