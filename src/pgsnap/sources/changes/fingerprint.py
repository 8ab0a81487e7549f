"""The state of the catalogs that pg_dump and pg_dumpall read, as one value.

A row's place and the transaction that wrote it identify its contents: catalogs are never updated in
place but for counters, which no dump shows. Rows of temporary objects are left out where that is
easy; where it is not, the value differs and the schema is dumped once more.
"""

from __future__ import annotations

from collections.abc import Iterable

from pgsnap.sessions.base import Session, literal
from pgsnap.sources.changes.signatures import digest
from pgsnap.values import dataclass

_FIRST_USER_OID = 16384
_WRITTEN = "sum(hash_record_extended(ROW(x.ctid, x.xmin), 0))"
_TEMPORARY = """
WITH passing AS MATERIALIZED (
    SELECT n.oid FROM pg_namespace n WHERE n.nspname ~ '^pg_(toast_)?temp_'
), fleeting AS MATERIALIZED (
    SELECT c.oid FROM pg_class c
    WHERE c.relpersistence = 't' OR c.relnamespace IN (SELECT p.oid FROM passing p)
)
"""
# What belongs to a relation, by the column that says to which.
_OF_RELATIONS = {
    "pg_attribute": "attrelid",
    "pg_index": "indexrelid",
    "pg_attrdef": "adrelid",
    "pg_constraint": "conrelid",
    "pg_sequence": "seqrelid",
    "pg_rewrite": "ev_class",
    "pg_trigger": "tgrelid",
    "pg_policy": "polrelid",
    "pg_inherits": "inhrelid",
    "pg_partitioned_table": "partrelid",
    "pg_statistic_ext": "stxrelid",
}
_OF_NAMESPACES = {"pg_proc": "pronamespace", "pg_operator": "oprnamespace"}
# Read below by their values, or in no dump.
_APART = (
    "pg_class",
    "pg_namespace",
    "pg_type",
    "pg_depend",
    "pg_largeobject",
    "pg_largeobject_metadata",
    "pg_user_mapping",
    "pg_statistic",
    "pg_statistic_ext_data",
)
# What no dump shows, and what `_secret_parts` reads.
_NOT_READ = frozenset(
    ("pg_largeobject", "pg_statistic", "pg_statistic_ext_data", "pg_user_mapping")
)
_CATALOGS = f"""
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND NOT c.relisshared
  AND c.oid < {_FIRST_USER_OID} ORDER BY c.relname
"""
# Counters and places of storage, which are updated in place or by TRUNCATE and VACUUM FULL.
_VOLATILE_COLUMNS = (
    "relfilenode",
    "relpages",
    "reltuples",
    "relallvisible",
    "relallfrozen",
    "reltoastrelid",
    "relfrozenxid",
    "relminmxid",
    "relrewrite",
    "relhasindex",
)
_CLASS_COLUMNS = """
SELECT a.attname FROM pg_attribute a
WHERE a.attrelid = 'pg_class'::regclass AND a.attnum > 0 ORDER BY a.attnum
"""
_BY_VALUE = "sum(hashtextextended(({row})::text, 0))"
# The options of a TOAST table are written as those of its table.
_TOAST_OPTIONS = "(SELECT t.reloptions FROM pg_class t WHERE t.oid = x.reltoastrelid)"
_HERE = "(SELECT d.oid FROM pg_database d WHERE d.datname = current_database())"
_LASTING_CLASS = (
    "x.relnamespace <> 'pg_toast'::regnamespace AND x.oid NOT IN (SELECT f.oid FROM fleeting f)"
)
_SECRET_PARTS = (
    # What only some roles may read: how many there are, and by whom the rows can be read.
    ("pg_user_mapping", "SELECT count(*) FROM pg_user_mappings", "true"),
    (
        "pg_subscription",
        f"SELECT count(*) FROM pg_subscription s WHERE s.subdbid = {_HERE}",
        f"x.subdbid = {_HERE}",
    ),
)
_GLOBAL_PARTS = ("pg_auth_members", "pg_db_role_setting", "pg_tablespace", "pg_parameter_acl")
_PARAMETER_ACL_SINCE = 150000


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Of one snapshot. *definitions* says when the rows were written that *database* holds by their
    values."""

    database: bytes | None
    globals: bytes | None
    definitions: str


def read_fingerprints(session: Session, snapshot: str, key: str) -> Fingerprints:
    """Return those of an exported *snapshot*. Raises QueryFailed, ConnectionFailed."""
    session.execute(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
        f" SET TRANSACTION SNAPSHOT {literal(snapshot)}"
    )
    found = Fingerprints(
        definitions=definitions_written(session),
        database=database_fingerprint(session, key),
        globals=globals_fingerprint(session, key),
    )
    session.execute("COMMIT")
    return found


def database_fingerprint(session: Session, key: str) -> bytes | None:
    """Return the state of what pg_dump reads but rows; *key* is what else its output depends on.
    None if the role may not read all of it. Raises QueryFailed, ConnectionFailed."""
    catalogs = [row[0] or "" for row in session.query(_CATALOGS)]
    columns = [
        f"x.{row[0]}" for row in session.query(_CLASS_COLUMNS) if row[0] not in _VOLATILE_COLUMNS
    ]
    parts = [_part(name, _WRITTEN, _lasting(name)) for name in catalogs if name not in _APART]
    parts += [
        _part(
            "pg_class",
            _BY_VALUE.format(row=f"ROW({', '.join(columns)}, {_TOAST_OPTIONS})"),
            _LASTING_CLASS,
        ),
        _part("pg_namespace", _WRITTEN, "x.oid NOT IN (SELECT p.oid FROM passing p)"),
        _part(
            "pg_type",
            _WRITTEN,
            "x.typrelid NOT IN (SELECT f.oid FROM fleeting f)"
            " AND x.typnamespace NOT IN (SELECT p.oid FROM passing p)",
        ),
        _part(
            "pg_depend",
            _WRITTEN,
            "x.deptype IN ('e', 'x') OR (x.classid = 'pg_class'::regclass"
            " AND x.refclassid = 'pg_class'::regclass"
            " AND x.objid NOT IN (SELECT f.oid FROM fleeting f)"
            " AND x.refobjid NOT IN (SELECT f.oid FROM fleeting f))",
        ),
        _part("pg_largeobject_metadata", _BY_VALUE.format(row="x.*"), "true"),
        # Owners and grantees are written by name.
        _part("pg_roles", _BY_VALUE.format(row="ROW(x.oid, x.rolname)"), "true"),
        _part("pg_tablespace", _BY_VALUE.format(row="ROW(x.oid, x.spcname)"), "true"),
    ]
    secret = _secret_parts(session)
    names = {*catalogs, "pg_roles", "pg_tablespace"} - _NOT_READ
    if secret is None or _are_closed(session, names):
        return None
    return _fingerprint(session, key, [*parts, *secret])


def globals_fingerprint(session: Session, key: str) -> bytes | None:
    """Return the state of what ``pg_dumpall --globals-only`` reads. Raises as
    `database_fingerprint`."""
    known = session.server_version_num
    names = [
        name
        for name in _GLOBAL_PARTS
        if name != "pg_parameter_acl" or known >= _PARAMETER_ACL_SINCE
    ]
    parts = [_part(name, _WRITTEN, "true") for name in names]
    parts += [
        _part(name, _WRITTEN, "x.classoid IN ('pg_authid'::regclass, 'pg_tablespace'::regclass)")
        for name in ("pg_shdescription", "pg_shseclabel")
    ]
    place = "ROW(x.oid, pg_tablespace_location(x.oid))"
    parts.append(_part("pg_tablespace", _BY_VALUE.format(row=place), "true"))
    if _may_read(session, "pg_authid"):
        parts.append(_part("pg_authid", _WRITTEN, "true"))
    else:
        # Then pg_dumpall reads no passwords either.
        parts.append(_part("pg_roles", _BY_VALUE.format(row="x.*"), "true"))
    if _are_closed(session, {*names, "pg_shdescription", "pg_shseclabel", "pg_roles"}):
        return None
    return _fingerprint(session, key, parts)


def definitions_written(session: Session) -> str:
    """Return when the rows were written that the fingerprints read by their values, or the values
    where no role may see more. Raises QueryFailed, ConnectionFailed."""
    parts = [
        _part("pg_class", _WRITTEN, _LASTING_CLASS),
        _part("pg_largeobject_metadata", _WRITTEN, "true"),
    ]
    others = (("pg_tablespace", _WRITTEN), ("pg_roles", _BY_VALUE.format(row="x.*")))
    # Without them there is no fingerprint anyway.
    parts += [_part(name, value, "true") for name, value in others if _may_read(session, name)]
    rows = session.query(_TEMPORARY + " UNION ALL ".join(parts))
    return "\n".join(sorted(" ".join(str(value) for value in row) for row in rows))


def _part(name: str, value: str, condition: str) -> str:
    return (
        f"SELECT '{name}', count(*), coalesce({value}, 0)::text"
        f" FROM pg_catalog.{name} x WHERE {condition}"
    )


def _lasting(name: str) -> str:
    """Return the condition on rows of a catalog that leaves out those of temporary objects."""
    if name in _OF_RELATIONS:
        return f"x.{_OF_RELATIONS[name]} NOT IN (SELECT f.oid FROM fleeting f)"
    if name in _OF_NAMESPACES:
        return f"x.{_OF_NAMESPACES[name]} NOT IN (SELECT p.oid FROM passing p)"
    return "true"


def _secret_parts(session: Session) -> list[str] | None:
    """Return the parts that not everybody may read; None if there is something in one of them that
    this role cannot read."""
    parts = []
    for name, count, condition in _SECRET_PARTS:
        if _may_read(session, name):
            parts.append(_part(name, _WRITTEN, condition))
        elif session.query(count)[0][0] != "0":
            return None
    return parts


def _may_read(session: Session, name: str) -> bool:
    return not _are_closed(session, {name})


def _are_closed(session: Session, names: Iterable[str]) -> bool:
    """Return whether the role may not read one of these catalogs: a server's owner may have closed
    any of them. What cannot be read counts as changed."""
    calls = " AND ".join(
        f"has_table_privilege({literal(f'pg_catalog.{name}')}, 'SELECT')" for name in sorted(names)
    )
    return session.query(f"SELECT {calls}")[0][0] != "t"


def _fingerprint(session: Session, key: str, parts: Iterable[str]) -> bytes:
    rows = session.query(_TEMPORARY + " UNION ALL ".join(parts))
    return digest("\n".join([key, *sorted(" ".join(str(value) for value in row) for row in rows)]))
