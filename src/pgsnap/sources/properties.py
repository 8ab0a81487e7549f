"""Properties of a database and its server that are not in a dump, read from the catalogs.

Works as any role that may connect; what such a role may not see stays empty.
"""

from __future__ import annotations

from collections.abc import Sequence

from pgsnap.errors import QueryFailed
from pgsnap.model import DatabaseProperties, Extension, ServerInfo, Setting
from pgsnap.sessions.base import Row, Session
from pgsnap.sessions.catalog import DEFAULT_ACL

_HERE = "(SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())"

_SERVER = """
SELECT current_setting('server_version_num'), current_setting('server_version'),
       pg_is_in_recovery(), (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# Each in a query of its own: a managed server may refuse any of them.
_SYSTEM_IDENTIFIER = "SELECT system_identifier FROM pg_control_system()"
_TIMELINE = "SELECT timeline_id FROM pg_control_checkpoint()"
_WAL_LSN = """
SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
"""
_PUBLIC = "SELECT 1 FROM pg_namespace WHERE nspname = 'public'"
_SIZE = "SELECT pg_database_size(current_database())"

_DATABASE = """
SELECT d.datname, pg_get_userbyid(d.datdba), pg_encoding_to_char(d.encoding),
       d.datcollate, d.datctype, {provider}, {locale}, {icu_rules}, {collation_version},
       t.spcname, d.datconnlimit, d.datistemplate, shobj_description(d.oid, 'pg_database'),
       {default_acl}
FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace
WHERE d.datname = current_database()
"""
_ACL = """
SELECT item.acl::text
FROM pg_database d, unnest(d.datacl) WITH ORDINALITY AS item(acl, place)
WHERE d.datname = current_database() ORDER BY item.place
"""
_SETTINGS = f"""
SELECT r.rolname, item.setting
FROM pg_db_role_setting s
LEFT JOIN pg_roles r ON r.oid = s.setrole,
     unnest(s.setconfig) WITH ORDINALITY AS item(setting, place)
WHERE s.setdatabase = {_HERE} AND (s.setrole = 0 OR r.oid IS NOT NULL)
ORDER BY r.rolname COLLATE "C" NULLS FIRST, item.place
"""
_EXTENSIONS = """
SELECT e.extname, e.extversion, n.nspname
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
ORDER BY e.extname COLLATE "C"
"""
_OWNERS = (
    ("pg_namespace", "nspowner"),
    ("pg_class", "relowner"),
    ("pg_proc", "proowner"),
    ("pg_type", "typowner"),
    ("pg_operator", "oprowner"),
    ("pg_opclass", "opcowner"),
    ("pg_opfamily", "opfowner"),
    ("pg_collation", "collowner"),
    ("pg_conversion", "conowner"),
    ("pg_statistic_ext", "stxowner"),
    ("pg_ts_config", "cfgowner"),
    ("pg_ts_dict", "dictowner"),
    ("pg_foreign_data_wrapper", "fdwowner"),
    ("pg_foreign_server", "srvowner"),
    ("pg_event_trigger", "evtowner"),
    ("pg_publication", "pubowner"),
    ("pg_language", "lanowner"),
    ("pg_largeobject_metadata", "lomowner"),
)
_FIRST_USER_OID = 16384
# pg_shdepend has every owner, grantee, policy role and default privilege, except those of the
# bootstrap superuser: it is pinned, so its objects must be searched for.
_ROLES = f"""
SELECT r.rolname FROM pg_roles r
WHERE r.rolname !~ '^pg_' AND (
    r.oid = (SELECT datdba FROM pg_database WHERE datname = current_database())
    OR EXISTS (
        SELECT FROM pg_shdepend s
        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid
          AND (s.dbid = {_HERE}
               OR s.dbid = 0 AND s.classid = 'pg_database'::regclass AND s.objid = {_HERE}))
    OR EXISTS (
        SELECT FROM pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = {_HERE})
    OR r.oid = 10 AND ({{pinned}}))
ORDER BY r.rolname COLLATE "C"
"""


def read_system_identifier(session: Session) -> str:
    """Return the server's system identifier, "" if it refuses. Raises ConnectionFailed."""
    return _unless_refused(session, _SYSTEM_IDENTIFIER)


def read_server(session: Session) -> ServerInfo:
    """Return the server's identity, version and WAL position. Raises QueryFailed,
    ConnectionFailed."""
    version_num, version, in_recovery, oid = session.query(_SERVER)[0]
    return ServerInfo(
        version_num=int(version_num or 0),
        version=version or "",
        system_identifier=read_system_identifier(session),
        timeline=int(_unless_refused(session, _TIMELINE) or 0),
        wal_lsn=_unless_refused(session, _WAL_LSN),
        database_oid=int(oid or 0),
        in_recovery=in_recovery == "t",
    )


def read_properties(session: Session) -> DatabaseProperties:
    """Return the properties of the session's database. Raises QueryFailed, ConnectionFailed."""
    row = session.query(_DATABASE.format_map(_columns(session.server_version_num // 10000)))[0]
    acl = tuple(text(item[0]) for item in session.query(_ACL))
    return DatabaseProperties(
        name=text(row[0]),
        owner=text(row[1]),
        encoding=text(row[2]),
        lc_collate=text(row[3]),
        lc_ctype=text(row[4]),
        locale_provider=text(row[5]),
        locale=row[6],
        icu_rules=row[7],
        collation_version=row[8],
        tablespace=text(row[9]),
        connection_limit=int(text(row[10])),
        is_template=row[11] == "t",
        comment=row[12],
        acl=None if row[13] == "t" else acl,
        settings=_settings(session.query(_SETTINGS)),
        extensions=tuple(
            Extension(text(name), text(version), text(schema))
            for name, version, schema in session.query(_EXTENSIONS)
        ),
        roles=tuple(text(name) for (name,) in session.query(_ROLES.format(pinned=_pinned()))),
        size_bytes=int(_unless_refused(session, _SIZE) or 0),
        lacks_public=not session.query(_PUBLIC),
    )


def text(value: str | None) -> str:
    """Return a value that is never NULL in the catalogs."""
    assert value is not None
    return value


def _columns(major: int) -> dict[str, str]:
    """Return the columns of pg_database that need an expression or differ between versions."""
    icu_locale = "d.daticulocale" if major >= 15 else "NULL"
    return {
        "default_acl": DEFAULT_ACL,
        "provider": "d.datlocprovider" if major >= 15 else "'c'",
        "locale": "d.datlocale" if major >= 17 else icu_locale,
        "icu_rules": "d.daticurules" if major >= 16 else "NULL",
        "collation_version": "d.datcollversion" if major >= 15 else "NULL",
    }


def _settings(rows: Sequence[Row]) -> tuple[Setting, ...]:
    settings = []
    for role, item in rows:
        name, _, value = text(item).partition("=")
        settings.append(Setting(name=name, value=value, role=role))
    return tuple(settings)


def _pinned() -> str:
    """Return a condition: the bootstrap superuser owns something that does not belong to an
    extension."""
    return " OR ".join(
        f"EXISTS (SELECT FROM {catalog} o WHERE o.{owner} = 10 AND o.oid >= {_FIRST_USER_OID}"
        f" AND NOT EXISTS (SELECT FROM pg_depend p WHERE p.classid = '{catalog}'::regclass"
        " AND p.objid = o.oid AND p.deptype IN ('e', 'i')))"
        for catalog, owner in _OWNERS
    )


def _unless_refused(session: Session, sql: str) -> str:
    """Return the single value of *sql*, or "" if the server refuses it to this role."""
    try:
        return session.query(sql)[0][0] or ""
    except QueryFailed:
        return ""
