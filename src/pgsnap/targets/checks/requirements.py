"""Checks that a server meets the requirements of a snapshot.

Nothing here changes the server.
"""

from __future__ import annotations

from collections.abc import Callable

from pgsnap.model import DatabaseProperties, Origin, Snapshot
from pgsnap.patterns import regex
from pgsnap.runners.base import Tool
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.targets.checks.locales import has_locale
from pgsnap.targets.checks.preflight import ConnectedRole, Findings, Problem
from pgsnap.targets.checks.roles import MissingRole, is_built_in
from pgsnap.targets.dumptext import understands_restrict, unknown_sets
from pgsnap.words import size

# A restored database with its indexes takes about this many times the size of its dump.
_SIZE_OF_TEXT = 1.5
# A sound estimate leaves this much free: a server with a full disk stops.
_SPACE_MARGIN = 1.1
_VERSION = regex(r"(\d+)")


def check_requirements(
    session: Session,
    me: ConnectedRole,
    snapshot: Snapshot,
    missing: tuple[MissingRole, ...],
    *,
    create_roles: bool,
    psql: Tool | None,
) -> Findings:
    """Return what the server lacks for *snapshot*: version, roles, extensions, locale."""
    found = check_version(session, snapshot.origin)
    found += _check_roles(me, snapshot, missing, create_roles=create_roles)
    if psql is not None:
        found += _check_psql(psql, snapshot.origin)
    properties = snapshot.origin.properties
    if properties is not None:
        found += _check_extensions(session, me, properties)
        found += _check_locale(session, properties)
        found += _check_tablespace(session, properties)
    return found


def source_major(origin: Origin) -> int | None:
    """Return the major version of the server that was dumped, None if unknown."""
    if origin.server is not None:
        return origin.server.major
    version = _VERSION.search(origin.dumped_from)
    return int(version.group(1)) if version is not None else None


def needed_bytes(snapshot: Snapshot) -> int:
    """Return the approximate size of the restored database."""
    properties = snapshot.origin.properties
    if properties is not None and properties.size_bytes:
        return properties.size_bytes
    return int(snapshot.plain_bytes * _SIZE_OF_TEXT)


def check_space(
    session: Session,
    need_bytes: int,
    tablespace: str,
    *,
    free_bytes: Callable[[str], int | None] | None,
) -> tuple[int | None, Findings]:
    """Return the free bytes on the server's data disk (None: unknown), and the resulting findings.

    *free_bytes* measures the server's file system; it is None if that is impossible, or if it is
    uncertain that the files are there. Only a certain lack of space is a refusal.
    """
    if free_bytes is None:
        return None, Findings()
    rows = session.query(
        "SELECT nullif(pg_catalog.pg_tablespace_location(oid), '') FROM pg_catalog.pg_tablespace"
        f" WHERE spcname = {literal(tablespace)}"
    )
    place = rows[0][0] if rows else None
    if place is None:
        rows = session.query(
            "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'data_directory'"
        )
        place = rows[0][0] if rows else None
    free = free_bytes(place) if place is not None else None
    if free is None or free >= need_bytes * _SPACE_MARGIN:
        return free, Findings()
    return free, Findings(
        (
            Problem(
                f"there is too little space: about {size(need_bytes)} are needed,"
                f" {size(free)} are free",
                detail=f"The server keeps its data in {place}.",
                hint="Free space there, or drop a kept database: snap undo --discard.",
            ),
        )
    )


def check_version(session: Session, origin: Origin) -> Findings:
    """Refuse a server that is older than the snapshot's, as far as versions are known."""
    target = session.server_version_num // 10000
    source = source_major(origin)
    warnings = []
    if source is not None and source > target:
        return Findings(
            (
                Problem(
                    f"the snapshot comes from PostgreSQL {source}, the server is {target}",
                    detail="An older server does not know all that a newer one writes.",
                    hint=f"Restore to a server of version {source} or later.",
                ),
            )
        )
    if source is not None and source < target:
        warnings.append(f"the snapshot comes from PostgreSQL {source}, the server is {target}")
    dumper = _VERSION.search(origin.dump_version)
    if dumper is not None and int(dumper.group(1)) > target and unknown_sets(target):
        names = ", ".join(name.decode() for name in unknown_sets(target))
        warnings.append(
            f"pg_dump {dumper.group(1)} made the dump; what a server of {target} does not know is"
            f" left out: SET {names}"
        )
    return Findings(warnings=tuple(warnings))


def _check_psql(psql: Tool, origin: Origin) -> Findings:
    if not origin.has_meta_commands:
        return Findings()
    if understands_restrict(psql.version_num):
        return Findings(
            warnings=("the dump holds psql commands (\\...): psql will refuse the first of them",)
        )
    return Findings(
        (
            Problem(
                "the dump holds psql commands (\\...), which could do anything on this machine",
                detail=f"{psql.version_line} has no way to refuse them.",
                hint=f"Install the latest minor version: apt install"
                f" postgresql-client-{psql.major}.",
            ),
        )
    )


def _check_roles(
    me: ConnectedRole, snapshot: Snapshot, missing: tuple[MissingRole, ...], *, create_roles: bool
) -> Findings:
    problems = []
    names = ", ".join(role.name for role in missing)
    if missing and not create_roles:
        commands = " ".join(words for role in missing for words in role.shown)
        problems.append(
            Problem(
                f"roles are missing on the server: {names}",
                detail=f"They were: {commands}",
                hint="Make them, or let the restore do it: --create-roles.",
            )
        )
    if missing and create_roles and not me.can_create_roles:
        problems.append(
            Problem(
                f"the role {me.name} may not make the missing roles: {names}",
                hint=f"As a superuser: ALTER ROLE {ident(me.name)} CREATEROLE;",
            )
        )
    owners = set(snapshot.origin.owners)
    if snapshot.origin.properties is not None:
        owners.add(snapshot.origin.properties.owner)
    absent = {role.name for role in missing}
    known = me.memberships | absent
    foreign = sorted(name for name in owners - known if name and not is_built_in(name))
    if foreign and not me.is_superuser and snapshot.origin.is_pg_dump:
        problems.append(
            Problem(
                f"the role {me.name} may not make objects for their owners: {', '.join(foreign)}",
                hint=f"As a superuser: GRANT {', '.join(map(ident, foreign))} TO {ident(me.name)};",
            )
        )
    return Findings(tuple(problems))


def _check_extensions(
    session: Session, me: ConnectedRole, properties: DatabaseProperties
) -> Findings:
    rows = session.query(
        "SELECT e.name, e.default_version, v.superuser AND NOT v.trusted"
        " FROM pg_catalog.pg_available_extensions e"
        " LEFT JOIN pg_catalog.pg_available_extension_versions v"
        " ON v.name = e.name AND v.version = e.default_version"
    )
    available = {name: (version, needs == "t") for name, version, needs in rows}
    problems = []
    warnings = []
    for extension in properties.extensions:
        # plpgsql is in template0: no dump creates it.
        if extension.name == "plpgsql":
            continue
        if extension.name not in available:
            problems.append(
                Problem(
                    f"the extension {extension.name} is not installed on the server",
                    detail=f"The snapshot has version {extension.version} of it.",
                    hint="Install its package on the server's machine.",
                )
            )
            continue
        version, needs_superuser = available[extension.name]
        if needs_superuser and not me.is_superuser:
            problems.append(
                Problem(
                    f"only a superuser may install the extension {extension.name}",
                    hint="Connect as a superuser.",
                )
            )
        if version != extension.version:
            warnings.append(
                f"the extension {extension.name} will have version {version}, the snapshot has"
                f" {extension.version}"
            )
    return Findings(tuple(problems), tuple(warnings))


def _check_locale(session: Session, properties: DatabaseProperties) -> Findings:
    """Refuse if the locale is missing. CREATE DATABASE checks it against the encoding: they matched
    once."""
    for locale in sorted({properties.lc_collate, properties.lc_ctype}):
        if not has_locale(session, locale):
            return Findings(
                (
                    Problem(
                        f"the server's machine does not have the locale {locale}",
                        hint="Make it there (dpkg-reconfigure locales, or localedef), then restart"
                        " PostgreSQL.",
                    ),
                )
            )
    if properties.locale_provider == "i" and not session.query(
        # Since 17 a server without ICU lists an ICU collation too; this one is created by initdb.
        "SELECT 1 FROM pg_catalog.pg_collation WHERE collname = 'und-x-icu'"
    ):
        return Findings(
            (
                Problem(
                    "the server was built without ICU, which the database's locale needs",
                    hint="Restore to a server with ICU.",
                ),
            )
        )
    return Findings()


def _check_tablespace(session: Session, properties: DatabaseProperties) -> Findings:
    name = properties.tablespace
    if session.query(f"SELECT 1 FROM pg_catalog.pg_tablespace WHERE spcname = {literal(name)}"):
        return Findings()
    return Findings(
        warnings=(f"the tablespace {name} is missing; the database goes to the default one",)
    )
