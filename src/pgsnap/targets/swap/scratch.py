"""Scratch databases: created, marked, dropped, and recognized when their creator is gone.

A database is dropped here only if its name has our pattern and it either carries our marker or is
empty (its creator died before marking it), or is already half-dropped. A clone is never empty: an
unmarked one is dropped only if nobody but superusers can connect to it, as is so from CREATE
DATABASE until it is marked.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime

from pgsnap.errors import QueryFailed, RestoreFailed, SnapError, TargetRefused
from pgsnap.model import DatabaseProperties
from pgsnap.progress import SILENT, Progress
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.sessions.half_dropped import CONNECTION_LIMIT as HALF_DROPPED
from pgsnap.targets.checks.locales import has_locale
from pgsnap.targets.checks.preflight import connected_role
from pgsnap.targets.checks.subscriptions import drop_subscriptions
from pgsnap.targets.naming import (
    LOADER_PATTERN,
    SCRATCH_PATTERN,
    SESSION_PATTERN,
    WARM_PATTERN,
    loader_role,
    scratch_name,
    token_of,
)
from pgsnap.targets.swap.dropping import drop_database
from pgsnap.values import dataclass

FIRST_USER_OID = 16384
CLOSED = "0"
"""The connection limit of a database that was created and not marked yet."""
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}


@dataclass(frozen=True, slots=True)
class Scratch:
    """A database that a restore fills. It is identified by its OID, whatever its name."""

    name: str
    oid: int
    token: str


@dataclass(frozen=True, slots=True)
class Leftover:
    """A scratch database, a clone that was not finished, or a loader role, whose restore is no
    longer alive."""

    name: str
    token: str
    is_role: bool = False


def create_statement(
    name: str, properties: DatabaseProperties | None, version_num: int, tablespace: str | None
) -> str:
    """Return the CREATE DATABASE with the encoding and locale of *properties*.

    Without properties the server's defaults apply. LOCALE_PROVIDER exists since 15, ICU_RULES since
    16, the builtin provider since 17 (the manual's CREATE DATABASE of each version).
    """
    words = [f"CREATE DATABASE {ident(name)} TEMPLATE template0"]
    if properties is not None:
        words.append(f"ENCODING {literal(properties.encoding)}")
        if version_num >= 150000:
            words.append(f"LOCALE_PROVIDER {_PROVIDERS[properties.locale_provider]}")
        words.append(f"LC_COLLATE {literal(properties.lc_collate)}")
        words.append(f"LC_CTYPE {literal(properties.lc_ctype)}")
        if properties.locale is not None:
            if properties.locale_provider == "i":
                words.append(f"ICU_LOCALE {literal(properties.locale)}")
            elif properties.locale_provider == "b":
                words.append(f"BUILTIN_LOCALE {literal(properties.locale)}")
        if properties.icu_rules is not None and version_num >= 160000:
            words.append(f"ICU_RULES {literal(properties.icu_rules)}")
    if tablespace is not None and tablespace != "pg_default":
        words.append(f"TABLESPACE {ident(tablespace)}")
    return " ".join(words)


def create_scratch(
    session: Session,
    live: str,
    token: str,
    properties: DatabaseProperties | None,
    *,
    snapshot: str,
) -> Scratch:
    """Create and mark an empty database. *session* has the restore's application name, so that
    nobody takes the new database for a leftover.

    Raises TargetRefused if the server cannot create it.
    """
    name = scratch_name(live, token)
    tablespace = properties.tablespace if properties is not None else None
    if tablespace is not None and not session.query(
        f"SELECT 1 FROM pg_catalog.pg_tablespace WHERE spcname = {literal(tablespace)}"
    ):
        tablespace = None
    statement = create_statement(name, properties, session.server_version_num, tablespace)
    try:
        # Until CONNECT is revoked: earlier sessions would stay connected.
        session.execute(f"{statement} CONNECTION LIMIT {CLOSED}")
    except QueryFailed as error:
        raise TargetRefused(
            "the server cannot make a database for this snapshot",
            detail=f"{error.message}. {error.detail}".strip(),
            hint=error.hint or _creation_hint(session, error.sqlstate, properties),
        ) from error
    if properties is None or keeps_access(session, properties.owner):
        # Half-loaded, it is nobody else's business; and up to PostgreSQL 14 everybody may create
        # objects in its schema public, which its owner would then run.
        session.execute(f"REVOKE CONNECT ON DATABASE {ident(name)} FROM PUBLIC")
    session.execute(f"ALTER DATABASE {ident(name)} CONNECTION LIMIT -1")
    rows = session.query(f"SELECT oid FROM pg_catalog.pg_database WHERE datname = {literal(name)}")
    if not rows or rows[0][0] is None:
        raise RestoreFailed("the scratch database vanished", detail=f"It was called {name}.")
    session.execute(scratch_mark(name, snapshot))
    if properties is not None:
        # The database's owner may create objects in its schema public: the real owner of the dump's
        # contents needs that if we are no superuser. If this fails, the load reports it.
        with contextlib.suppress(QueryFailed):
            session.execute(f"ALTER DATABASE {ident(name)} OWNER TO {ident(properties.owner)}")
    return Scratch(name=name, oid=int(rows[0][0]), token=token)


def still_scratch(name: str, snapshot: str) -> str:
    """Return the SQL that makes a restored database a scratch one again: marked, and without the
    properties that would prevent it from being read or dropped."""
    closed = f"ALTER DATABASE {ident(name)} IS_TEMPLATE false CONNECTION LIMIT -1"
    return f"{closed}; {scratch_mark(name, snapshot)}"


def scratch_mark(name: str, snapshot: str) -> str:
    """Return the SQL that marks the database *name* as a scratch one."""
    marker = {
        "snap": "scratch",
        "snapshot": snapshot,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "start": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return f"COMMENT ON DATABASE {ident(name)} IS {literal(json.dumps(marker))}"


def keeps_access(session: Session, owner: str) -> bool:
    """Return whether we may connect to a database of *owner* when CONNECT is revoked from PUBLIC: a
    member without inheritance may not. A missing owner never comes to own it."""
    rows = session.query(
        "SELECT pg_catalog.pg_has_role(oid, 'USAGE') FROM pg_catalog.pg_roles"
        f" WHERE rolname = {literal(owner)}"
    )
    return rows in ([], [("t",)])


def _creation_hint(session: Session, sqlstate: str, properties: DatabaseProperties | None) -> str:
    if sqlstate == "42501":
        return "Let the role make databases: ALTER ROLE ... CREATEDB."
    if sqlstate == "53100":
        return "Free space where the server keeps its data, then run the restore again."
    if properties is None or sqlstate not in ("22023", "42809", "42704"):
        return ""
    for locale in (properties.lc_collate, properties.lc_ctype):
        if not has_locale(session, locale):
            return (
                f"The snapshot needs the locale {locale} on the server's machine (there: localedef"
                " or dpkg-reconfigure locales, then restart PostgreSQL)."
            )
    if properties.encoding == "SQL_ASCII" and not connected_role(session).is_superuser:
        return (
            f"Connect as a superuser: only one may give a database of SQL_ASCII the locale"
            f" {properties.lc_ctype}."
        )
    return ""


def drop_loader(session: Session, token: str) -> None:
    """Drop the temporary role of a restore, if there is one. Its database must be dropped, or no
    longer belong to it."""
    session.execute(f"DROP ROLE IF EXISTS {ident(loader_role(token))}")


def find_leftovers(
    session: Session, open_database: Callable[[str], Session]
) -> tuple[Leftover, ...]:
    """Return the scratch databases, unfinished clones and loader roles whose restore is not alive.

    A restore is alive while any session on the server has its application name. The names are read
    before the sessions: a restore opens its session first, and only then creates its database.
    """
    databases = session.query(
        "SELECT datname, pg_catalog.shobj_description(oid, 'pg_database'), datconnlimit"
        " FROM pg_catalog.pg_database"
        f" WHERE (datname OPERATOR(pg_catalog.~) {literal(SCRATCH_PATTERN)}"
        f" OR datname OPERATOR(pg_catalog.~) {literal(WARM_PATTERN)})"
        " AND NOT datistemplate ORDER BY datname"
    )
    roles = session.query(
        "SELECT rolname FROM pg_catalog.pg_roles"
        f" WHERE rolname OPERATOR(pg_catalog.~) {literal(LOADER_PATTERN)} ORDER BY rolname"
    )
    alive = alive_tokens(session)
    found: list[Leftover] = []
    for name, comment, limit in databases:
        is_warm = token_of(name or "", WARM_PATTERN) is not None
        token = token_of(name or "", WARM_PATTERN if is_warm else SCRATCH_PATTERN)
        if name is None or token is None or token in alive:
            continue
        is_left = comment is None and limit == CLOSED
        if not is_warm and not is_left:
            is_left = _is_marked(comment) or (
                comment is None and _holds_nothing(name, open_database)
            )
        if is_left or limit == str(HALF_DROPPED):
            found.append(Leftover(name=name, token=token))
    for (role,) in roles:
        token = token_of(role or "", LOADER_PATTERN)
        if role is not None and token is not None and token not in alive:
            found.append(Leftover(name=role, token=token, is_role=True))
    return tuple(found)


def drop_leftovers(
    session: Session, open_database: Callable[[str], Session], progress: Progress = SILENT
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Drop what dead restores left behind. Returns the dropped names, and why others were not
    dropped."""
    gone: list[str] = []
    stayed: list[str] = []
    ((here,),) = session.query("SELECT pg_catalog.current_database()")
    # Roles come last in the list: they can be dropped only after the databases that they own.
    for leftover in find_leftovers(session, open_database):
        try:
            if leftover.is_role:
                drop_loader(session, leftover.token)
            else:
                drop_subscriptions(session, open_database, leftover.name)
                drop_database(
                    session,
                    leftover.name,
                    watch=lambda: open_database(here or ""),
                    progress=progress,
                )
        except SnapError as error:
            stayed.append(f"{leftover.name}: {error.message}")
        else:
            gone.append(leftover.name)
    return tuple(gone), tuple(stayed)


def alive_tokens(session: Session) -> set[str]:
    """Return the tokens of the restores that are alive. Raises QueryFailed, ConnectionFailed."""
    # Every role can see the application_name of every session.
    rows = session.query(
        "SELECT DISTINCT application_name FROM pg_catalog.pg_stat_activity"
        f" WHERE application_name OPERATOR(pg_catalog.~) {literal(SESSION_PATTERN)}"
    )
    tokens = (token_of(name or "", SESSION_PATTERN) for (name,) in rows)
    return {token for token in tokens if token is not None}


def _is_marked(comment: str | None) -> bool:
    if comment is None:
        return False
    try:
        marker = json.loads(comment)
    except ValueError:
        return False
    return isinstance(marker, dict) and marker.get("snap") == "scratch"


def _holds_nothing(name: str, open_database: Callable[[str], Session]) -> bool:
    """Return whether a database is still empty: nothing in it is newer than initdb."""
    try:
        with open_database(name) as session:
            rows = session.query(
                f"SELECT (SELECT count(*) FROM pg_catalog.pg_class WHERE oid >= {FIRST_USER_OID})"
                f" + (SELECT count(*) FROM pg_catalog.pg_proc WHERE oid >= {FIRST_USER_OID})"
                f" + (SELECT count(*) FROM pg_catalog.pg_namespace WHERE oid >= {FIRST_USER_OID})"
                " + (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata)"
            )
    except SnapError:
        return False
    return bool(rows) and rows[0][0] == "0"
