"""Finds what makes a database's own dump impossible to load, as far as its catalogs show it.

pg_dump records it silently, and psql fails on it at the restore. Works as any role.
"""

from __future__ import annotations

from pgsnap.sessions.base import Session, ident
from pgsnap.values import dataclass
from pgsnap.words import some

_FIRST_USER_OID = 16384
_OURS = "n.nspname <> 'information_schema' AND NOT pg_catalog.starts_with(n.nspname, 'pg_')"
# pg_dump writes such a grant as SET SESSION AUTHORIZATION to its grantor.
_GRANTORS = f"""
SELECT DISTINCT pg_catalog.pg_get_userbyid(item.grantor), n.nspname FROM (
    SELECT relnamespace AS space, relowner AS owner, relacl AS acl FROM pg_catalog.pg_class
    UNION ALL SELECT c.relnamespace, c.relowner, a.attacl FROM pg_catalog.pg_attribute a
        JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    UNION ALL SELECT pronamespace, proowner, proacl FROM pg_catalog.pg_proc
    UNION ALL SELECT typnamespace, typowner, typacl FROM pg_catalog.pg_type
) o JOIN pg_catalog.pg_namespace n ON n.oid = o.space, pg_catalog.aclexplode(o.acl) item
WHERE o.acl IS NOT NULL AND item.grantor <> o.owner AND {_OURS}
    AND NOT pg_catalog.has_schema_privilege(item.grantor, n.oid, 'USAGE') ORDER BY 1, 2
"""
# What the names in a function body stored as text refer to is unknown; a name like that of a
# function that calls nextval is enough for a doubt. A parsed body has OIDs; printing it as text
# takes locks.
_NEXTVAL_OID = 1574
_GENERATED = rf"""
WITH RECURSIVE functions AS MATERIALIZED (
    SELECT p.oid, coalesce(p.prosqlbody::text, p.prosrc) AS body,
           CASE WHEN p.prosqlbody IS NULL THEN '\mnextval\M'
                ELSE ':funcid {_NEXTVAL_OID}\M' END AS draws,
           ':funcid ' || p.oid || '\M|\m'
           || pg_catalog.regexp_replace(p.proname, '([^[:alnum:]_])', '\\\1', 'g')
           || '"?\s*\(' AS called
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE p.oid >= {_FIRST_USER_OID} AND l.lanname IN ('sql', 'plpgsql')
), columns AS (
    SELECT n.nspname, c.relname, a.attname, f.oid
    FROM pg_catalog.pg_attrdef d
    JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        AND a.attgenerated <> ''
    JOIN pg_catalog.pg_class c ON c.oid = d.adrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_depend x ON x.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
        AND (x.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND x.objid = d.oid
             -- Up to 14 it is the column itself that needs what its expression names.
             OR x.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND x.objid = d.adrelid
                AND x.objsubid = d.adnum)
    JOIN functions f ON f.oid = x.refobjid WHERE {_OURS}
), calls (first, oid) AS (
    SELECT DISTINCT c.oid, c.oid FROM columns c
    UNION SELECT calls.first, f.oid FROM calls JOIN functions g ON g.oid = calls.oid
    JOIN functions f ON g.body OPERATOR(pg_catalog.~*) f.called
)
SELECT DISTINCT c.nspname, c.relname, c.attname, c.oid::pg_catalog.regprocedure
FROM columns c JOIN calls ON calls.first = c.oid
JOIN functions f ON f.oid = calls.oid AND f.body OPERATOR(pg_catalog.~*) f.draws
ORDER BY 1, 2, 3
"""
# pg_dump omits the type of an identity column's sequence, and writes its maximum only if it is not
# the type's own.
_IDENTITIES = f"""
SELECT n.nspname, c.relname, pg_catalog.format_type(s.seqtypid, NULL), s.end_at,
    pg_catalog.format('%s.%s.%s', tn.nspname, t.relname, a.attname),
    pg_catalog.format_type(a.atttypid, NULL)
FROM (SELECT *, CASE WHEN seqincrement > 0 THEN seqmax ELSE seqmin END AS end_at,
        CASE seqtypid WHEN 'int2'::pg_catalog.regtype THEN 32767
            WHEN 'int4'::pg_catalog.regtype THEN 2147483647
            ELSE 9223372036854775807 END AS most FROM pg_catalog.pg_sequence) s
JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.objid = c.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    AND d.deptype = 'i'
JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
JOIN pg_catalog.pg_class t ON t.oid = a.attrelid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
WHERE s.seqtypid <> a.atttypid AND {_OURS}
    AND s.end_at = CASE WHEN s.seqincrement > 0 THEN s.most ELSE -s.most - 1 END ORDER BY 1, 2
"""
# There is no way to write which "=" most of these compare by: a load searches for it again, in
# pg_catalog alone. Whole rows are compared by one operator for each column, of which the first
# one's is written. Trees of expressions name them: {:usingClause … :quals … :rtindex} is a join,
# {:testexpr … :operName} compares with a subquery.
_COMPARISONS = rf"""
WITH operators AS MATERIALIZED (
    SELECT o.oid, o.oid::pg_catalog.regoperator AS shown, pg_catalog.replace(
        CASE WHEN o.oprname = '=' THEN '\{{(DISTINCTEXPR|NULLIFEXPR) :opno OID\M'
            '|\{{(CASE)?WHEN :expr \{{OPEXPR :opno OID [^{{]*:args \(\{{CASETESTEXPR'
            '|:usingClause \("((?!:rtindex).)*:opno OID\M|' ELSE '' END
        || ':opnos \(o(?!( OID)+\))( \d+)* OID\M'
        || '|:testexpr \{{BOOLEXPR (?=((?!:operName).)*:opno OID\M)'
           '(?=((?!:operName).)*:opno (?!OID\M)\d)', 'OID', o.oid::text) AS pattern
    FROM pg_catalog.pg_operator o WHERE o.oid >= {_FIRST_USER_OID}
        AND o.oprnamespace <> 'pg_catalog'::pg_catalog.regnamespace
), used AS MATERIALIZED (
    SELECT DISTINCT d.classid, d.objid, d.objsubid, o.shown, o.pattern
    FROM operators o JOIN pg_catalog.pg_depend d ON d.refobjid = o.oid
        AND d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend m WHERE m.deptype = 'e'
        AND m.classid = d.classid AND m.objid = d.objid)
), trees AS (
    SELECT u.*, r.ev_action::text || r.ev_qual::text AS tree,
        CASE WHEN r.rulename = '_RETURN' THEN r.ev_class END AS view
    FROM used u JOIN pg_catalog.pg_rewrite r ON r.oid = u.objid
    WHERE u.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend m WHERE m.deptype = 'e' AND m.objid = r.ev_class
            AND m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
    UNION ALL SELECT u.*, t.tgqual::text, NULL FROM used u JOIN pg_catalog.pg_trigger t
        ON t.oid = u.objid AND u.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass
        AND NOT t.tgisinternal
    UNION ALL SELECT u.*, c.conbin::text, NULL FROM used u JOIN pg_catalog.pg_constraint c
        ON c.oid = u.objid AND u.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
    UNION ALL SELECT u.*, pg_catalog.concat(p.polqual, p.polwithcheck), NULL
        FROM used u JOIN pg_catalog.pg_policy p
        ON p.oid = u.objid AND u.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
    UNION ALL SELECT u.*, pg_catalog.concat(i.indexprs, i.indpred), NULL
        FROM used u JOIN pg_catalog.pg_index i
        ON i.indexrelid = u.objid AND u.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
    UNION ALL SELECT u.*, a.adbin::text, NULL FROM used u JOIN pg_catalog.pg_attrdef a
        ON u.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND a.oid = u.objid
        -- Up to 14 it is the column itself that needs what its expression names.
        OR u.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND a.adrelid = u.objid
            AND a.adnum = u.objsubid
    UNION ALL SELECT u.*, f.prosqlbody::text, NULL FROM used u JOIN pg_catalog.pg_proc f
        ON f.oid = u.objid AND u.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
)
SELECT DISTINCT coalesce('view ' || view::pg_catalog.regclass,
        pg_catalog.pg_describe_object(classid, objid, objsubid)), shown
FROM trees WHERE tree OPERATOR(pg_catalog.~) pattern ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why a snapshot of the database cannot be restored, or (not *is_certain*) may be restored with
    differences; and how to fix it."""

    text: str
    way: str
    is_certain: bool = True


def find_hindrances(session: Session) -> tuple[Hindrance, ...]:
    """Return those of *session*'s database. Raises QueryFailed, ConnectionFailed."""
    found = [
        Hindrance(
            f"what {role} granted in the schema {schema} cannot be granted again: it has lost USAGE"
            " on that schema, so no dump of this database can be loaded",
            f"To mend it: GRANT USAGE ON SCHEMA {ident(schema or '')} TO {ident(role or '')};",
        )
        for role, schema in session.query(_GRANTORS)
    ]
    found += [
        Hindrance(
            f"the identity sequence {schema}.{name} is of type {kind} and ends at {end}, its column"
            f" {column} is of type {wanted}: no dump says so, and a restore may let it end where a"
            f" {wanted} does",
            "To mend it, give the two one type:"
            f" ALTER SEQUENCE {ident(schema or '')}.{ident(name or '')} AS {wanted};",
            is_certain=False,
        )
        for schema, name, kind, end, column, wanted in session.query(_IDENTITIES)
    ]
    columns: dict[str, list[str]] = {}
    for schema, table, column, function in session.query(_GENERATED):
        columns.setdefault(function or "", []).append(f"{schema}.{table}.{column}")
    found += [
        Hindrance(
            f"the generated column {some(names)} calls {function}, whose body draws from a"
            " sequence, or calls what does: a restore fails or makes other values",
            "To mend it: let a trigger or a default draw the number",
            is_certain=False,
        )
        for function, names in columns.items()
    ]
    compared: dict[str, list[str]] = {}
    for what, operator in session.query(_COMPARISONS):
        compared.setdefault(operator or "", []).append(what or "")
    found += [
        Hindrance(
            f"no dump names the operator {operator} for {some(names)}: a restore takes another one"
            " there, so that another answer may come out, or finds none and fails",
            "To mend it: compare with =, value by value, for which a dump names the operator;"
            " not by IS DISTINCT FROM, NULLIF, CASE … WHEN, JOIN … USING or rows of several values",
            is_certain=False,
        )
        for operator, names in compared.items()
    ]
    return tuple(found)
