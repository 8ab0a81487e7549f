"""SQL that sets the properties of a database that no dump holds: owner, privileges, settings,
comment.

They belong to a database's OID, so a database that takes another's name has none of them. They are
rehearsed on the scratch database before anything is loaded, and applied by the swap itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pgsnap.errors import QueryFailed, TargetRefused
from pgsnap.model import DatabaseProperties, Setting
from pgsnap.patterns import regex
from pgsnap.sessions.base import Session, ident, literal, number
from pgsnap.sessions.catalog import DEFAULT_ACL
from pgsnap.targets.dumptext import STANDARD_STRINGS_SINCE
from pgsnap.targets.properties.acl import (
    DATABASE,
    PRIVILEGES,
    AclItem,
    acl_statements,
    format_acl_item,
    parse_acl_item,
)
from pgsnap.values import dataclass

# Parameters whose stored value is a list of quoted names (GUC_LIST_QUOTE in the server; extensions
# cannot add to them). Quoted once more they would become a single long name.
LIST_PARAMETERS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)
EMPTY_LISTS_SINCE = 190000
# A scratch database denies CONNECT to PUBLIC; a new one would not.
_OPEN_AGAIN = f"GRANT CONNECT ON DATABASE {DATABASE} TO PUBLIC"
_LIST_ITEM = regex(r'\s*(?:"((?:[^"]|"")*)"|([^\s,"]+))\s*(,|$)')


@dataclass(frozen=True, slots=True)
class PropertyStatement:
    """One statement; *sql* has `DATABASE` in place of the database's quoted name.

    If a *strict* one (owner, privileges) fails, the restore is refused: a database open to more
    roles than before is worse than none. The others are skipped with a warning.
    """

    sql: str
    strict: bool

    def for_database(self, name: str) -> str:
        return self.sql.replace(DATABASE, ident(name))


def property_statements(
    properties: DatabaseProperties, roles: frozenset[str], version_num: int
) -> tuple[PropertyStatement, ...]:
    """Return the statements that give a new database *properties*; *roles* are those on the server,
    whose version is *version_num*.

    Anything that names a missing role is left out.
    """
    found: list[PropertyStatement] = []

    def add(sql: str, *, strict: bool = False) -> None:
        found.append(PropertyStatement(sql=sql, strict=strict))

    if properties.owner in roles:
        add(f"ALTER DATABASE {DATABASE} OWNER TO {ident(properties.owner)}", strict=True)
    if properties.acl is not None:
        items = [parse_acl_item(text) for text in properties.acl]
        owner = properties.owner
        known = [i for i in items if (not i.grantee or i.grantee in roles) and i.grantor in roles]
        for sql in acl_statements(owner if owner in roles else None, known):
            add(sql, strict=True)
    else:
        add(_OPEN_AGAIN, strict=True)
    add(f"ALTER DATABASE {DATABASE} RESET ALL")
    for setting in properties.settings:
        if setting.role is None or setting.role in roles:
            add(setting_statement(setting, version_num))
    add(f"ALTER DATABASE {DATABASE} WITH CONNECTION LIMIT {number(properties.connection_limit)}")
    if properties.is_template:
        add(f"ALTER DATABASE {DATABASE} WITH IS_TEMPLATE true")
    # Always, because a scratch database carries our marker as its comment.
    comment = literal(properties.comment)
    add(f"COMMENT ON DATABASE {DATABASE} IS {comment}", strict=True)
    return tuple(found)


def plain_statements() -> tuple[PropertyStatement, ...]:
    """Return the statements for unknown properties: remove our marker, and let PUBLIC connect
    again."""
    return (
        PropertyStatement(sql=_OPEN_AGAIN, strict=True),
        PropertyStatement(sql=f"COMMENT ON DATABASE {DATABASE} IS NULL", strict=True),
    )


def setting_statement(setting: Setting, version_num: int) -> str:
    """Return the ALTER that stores *setting*, quoted by pg_dump's rules."""
    if setting.name.lower() in LIST_PARAMETERS:
        items = split_list(setting.value)
        # Older servers can store an empty list only as a list with one empty name.
        empty = "NULL" if version_num >= EMPTY_LISTS_SINCE else "''"
        value = ", ".join(literal(item) for item in items) if items else empty
    else:
        value = literal(setting.value)
    # A name such as "myapp.tenant" has two parts, which are quoted separately.
    name = ".".join(ident(part) if part else '""' for part in setting.name.split("."))
    whose = f"ALTER DATABASE {DATABASE}"
    if setting.role is not None:
        whose = f"ALTER ROLE {ident(setting.role)} IN DATABASE {DATABASE}"
    return f"{whose} SET {name} TO {value}"


def split_list(value: str) -> list[str]:
    """Split a stored list of quoted names, as the server's SplitGUCList does."""
    items: list[str] = []
    position = 0
    while position < len(value):
        item = _LIST_ITEM.match(value, position)
        if item is None:
            # Not a list that the server would have stored: passed unchanged for the server to
            # judge.
            return [value]
        quoted, bare = item.group(1), item.group(2)
        items.append(bare if quoted is None else quoted.replace('""', '"'))
        position = item.end()
    return items


def rehearse(
    session: Session, database: str, properties: DatabaseProperties, roles: frozenset[str]
) -> tuple[tuple[PropertyStatement, ...], tuple[str, ...]]:
    """Try the statements on *database* in a transaction that is rolled back.

    Returns those that work, and a warning for each that does not and for each difference that would
    remain. Raises TargetRefused if the owner or a privilege cannot be set.
    """
    statements = list(property_statements(properties, roles, session.server_version_num))
    warnings: list[str] = []
    while True:
        failed, error = _try_all(session, database, statements)
        if failed is None or error is None:
            break
        sql = failed.for_database(properties.name)
        if failed.strict:
            raise TargetRefused(
                "the database's owner and privileges cannot be set",
                detail=f"{sql}: {error.message}. {error.detail}".strip(),
                hint="Connect as a superuser, or as a member of the database's owner.",
            )
        warnings.append(f"left out, because the server refuses it ({error.message}): {sql};")
        statements.remove(failed)
    try:
        warnings.extend(
            differences(_expected(properties, roles), read_applied(session, database))
            if not warnings
            else ()
        )
    finally:
        session.execute("ROLLBACK")
    return tuple(statements), tuple(warnings)


def _try_all(
    session: Session, database: str, statements: Sequence[PropertyStatement]
) -> tuple[PropertyStatement | None, QueryFailed | None]:
    """Run all in one transaction and leave it open, or return the first that fails and its
    error."""
    session.execute("BEGIN")
    for statement in statements:
        try:
            session.execute(statement.for_database(database))
        except QueryFailed as error:
            return statement, error
    return None, None


def read_applied(session: Session, database: str) -> DatabaseProperties:
    """Return owner, privileges, settings, comment, limit and template flag of *database*.

    Read from the shared catalogs, so *session* may be connected to any database.
    """
    name = literal(database)
    (row,) = session.query(
        f"SELECT r.rolname, d.datconnlimit, d.datistemplate, {DEFAULT_ACL},"
        " pg_catalog.shobj_description(d.oid, 'pg_database')"
        " FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba"
        f" WHERE d.datname = {name}"
    )
    acl = session.query(
        "SELECT item::text FROM pg_catalog.pg_database d, pg_catalog.unnest(d.datacl) AS item"
        f" WHERE d.datname = {name}"
    )
    settings = session.query(
        "SELECT r.rolname, item FROM pg_catalog.pg_db_role_setting s"
        " JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase"
        " LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole,"
        f" pg_catalog.unnest(s.setconfig) AS item WHERE d.datname = {name}"
    )
    return DatabaseProperties(
        name=database,
        owner=row[0] or "",
        encoding="",
        lc_collate="",
        lc_ctype="",
        connection_limit=int(row[1] or -1),
        is_template=row[2] == "t",
        comment=row[4],
        acl=None if row[3] == "t" else tuple(item or "" for (item,) in acl),
        settings=tuple(_setting(item or "", role) for role, item in settings),
    )


def differences(expected: DatabaseProperties, actual: DatabaseProperties) -> tuple[str, ...]:
    """Return which of owner, privileges, settings, comment and limit differ from *expected*."""
    found: list[str] = []
    if expected.owner != actual.owner:
        found.append(f"the owner is {actual.owner}, not {expected.owner}")
    # Of two owners the defaults differ, but that is what the owner says.
    both_default = expected.acl is None and actual.acl is None
    if not both_default and _acl_set(expected) != _acl_set(actual):
        want = "default" if expected.acl is None else ", ".join(sorted(expected.acl))
        have = "default" if actual.acl is None else ", ".join(sorted(actual.acl))
        found.append(f"the privileges are {have}, not {want}")
    found += _other_settings(expected, actual)
    if expected.comment != actual.comment:
        found.append("the comment differs")
    if expected.connection_limit != actual.connection_limit:
        found.append(f"the connection limit is {actual.connection_limit}")
    if expected.is_template != actual.is_template:
        found.append("it is a template" if actual.is_template else "it is no template")
    return tuple(found)


def _other_settings(expected: DatabaseProperties, actual: DatabaseProperties) -> Iterator[str]:
    wanted, there = (
        {(setting.role or "", setting.name): setting.value for setting in _settings(one)}
        for one in (expected, actual)
    )
    for role, name in sorted(wanted.keys() | there.keys()):
        want, have = wanted.get((role, name)), there.get((role, name))
        whom = f" for role {role}" if role else ""
        if want is None:
            yield f"there is a setting {name} = {have}{whom} too many"
        elif have is None:
            yield f"the setting {name} = {want}{whom} is missing"
        elif have != want:
            yield f"the setting {name}{whom} is {have}, not {want}"


def _expected(properties: DatabaseProperties, roles: frozenset[str]) -> DatabaseProperties:
    """Return *properties* without what names a missing role, which is already reported."""
    settings = tuple(s for s in properties.settings if s.role is None or s.role in roles)
    acl = properties.acl
    if acl is not None:
        items = [parse_acl_item(text) for text in acl]
        acl = tuple(
            format_acl_item(i)
            for i in items
            if (not i.grantee or i.grantee in roles) and i.grantor in roles
        )
    return replace(properties, settings=settings, acl=acl)


def _setting(item: str, role: str | None) -> Setting:
    name, _, value = item.partition("=")
    return Setting(name=name, value=value, role=role)


def _settings(properties: DatabaseProperties) -> frozenset[Setting]:
    """Return the settings; an empty list is normalized to a list with one empty name."""
    return frozenset(
        replace(setting, value='""')
        if not setting.value and setting.name.lower() in LIST_PARAMETERS
        else setting
        for setting in properties.settings
    )


def refused_settings(session: Session, properties: DatabaseProperties) -> tuple[Setting, ...]:
    """Return the settings of *properties* that this server does not have, or no longer has."""
    known = {row[0] for row in session.query("SELECT name FROM pg_catalog.pg_settings")}
    folded = {(name or "").lower() for name in known}
    return tuple(
        setting
        for setting in properties.settings
        if ("." not in setting.name and setting.name.lower() not in folded)
        or (
            session.server_version_num // 10000 >= STANDARD_STRINGS_SINCE
            and setting.name == "standard_conforming_strings"
            and setting.value not in ("on", "true", "yes", "1")
        )
    )


def without_grants(properties: DatabaseProperties) -> DatabaseProperties:
    """Return *properties* for a copy without grants. It admits nobody whom the original does not:
    one that was closed to PUBLIC is open to its owner only."""
    items = [parse_acl_item(text) for text in properties.acl or ()]
    if properties.acl is None or any("c" in i.privileges for i in items if not i.grantee):
        return replace(properties, acl=None)
    own = AclItem(properties.owner, properties.owner, frozenset(PRIVILEGES), frozenset())
    return replace(properties, acl=(format_acl_item(own),))


def _acl_set(properties: DatabaseProperties) -> frozenset[AclItem]:
    if properties.acl is not None:
        return frozenset(parse_acl_item(text) for text in properties.acl)
    # The default privileges of a new database (the manual's "Privileges").
    owner = properties.owner
    return frozenset(
        AclItem(grantee, owner, frozenset(letters), frozenset())
        for grantee, letters in (("", "Tc"), (owner, "CTc"))
    )
