"""Checks before a database is replaced: they report every problem, not only the first.

Nothing here changes the server.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pgsnap.errors import TargetRefused
from pgsnap.patterns import regex
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.sessions.half_dropped import CONNECTION_LIMIT as HALF_DROPPED
from pgsnap.targets.checks.subscriptions import subscriptions_of, unbinding
from pgsnap.values import dataclass

_WORD_FIRST = regex(r"[a-z]+(?=[\s,:]|$)")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that forbids a restore; the hint names the grant or command that helps."""

    message: str
    detail: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ConnectedRole:
    """Our role on the server."""

    name: str
    is_superuser: bool
    can_create_databases: bool
    can_create_roles: bool
    can_signal: bool
    """Whether we may terminate sessions of roles that we are not a member of."""
    memberships: frozenset[str]
    """All roles that we are a member of, directly or not, including our own."""


@dataclass(frozen=True, slots=True)
class LiveDatabase:
    """The database that applications use. *size_bytes* is None if we may not query it;
    *connection_limit* is -1 if there is none."""

    name: str
    oid: int
    owner: str
    encoding: str
    lc_collate: str
    lc_ctype: str
    tablespace: str
    size_bytes: int | None
    clients: int
    is_template: bool = False
    allows_connections: bool = True
    connection_limit: int = -1

    @property
    def is_half_dropped(self) -> bool:
        """Whether a DROP DATABASE of it was cancelled halfway."""
        return self.connection_limit == HALF_DROPPED


@dataclass(frozen=True, slots=True)
class Findings:
    """What forbids a restore, and what the user should know before it."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        # Two databases that are looked at alike may give the same words.
        return Findings(
            tuple(dict.fromkeys(self.problems + other.problems)),
            tuple(dict.fromkeys(self.warnings + other.warnings)),
        )


def refuse(problems: Sequence[Problem], what: str) -> None:
    """Raise TargetRefused with all of *problems*; return if there are none."""
    if not problems:
        return
    if len(problems) == 1:
        (problem,) = problems
        raise TargetRefused(problem.message, detail=problem.detail, hint=problem.hint)
    raise TargetRefused(
        f"{what} is refused for {len(problems)} reasons",
        detail="\n".join(
            f"({number}) {_sentence(problem.message)} {problem.detail}".strip()
            for number, problem in enumerate(problems, 1)
        ),
        hint="\n".join(f"({number}) {problem.hint}" for number, problem in enumerate(problems, 1)),
    )


def connected_role(session: Session) -> ConnectedRole:
    """Return our role and its attributes and memberships."""
    (row,) = session.query(
        "SELECT rolname, rolsuper, rolcreatedb, rolcreaterole,"
        " pg_catalog.pg_has_role('pg_signal_backend', 'USAGE')"
        " FROM pg_catalog.pg_roles WHERE rolname = current_user"
    )
    member = session.query(
        "SELECT rolname FROM pg_catalog.pg_roles WHERE pg_catalog.pg_has_role(oid, 'USAGE')"
    )
    superuser = row[1] == "t"
    return ConnectedRole(
        name=row[0] or "",
        is_superuser=superuser,
        can_create_databases=superuser or row[2] == "t",
        can_create_roles=superuser or row[3] == "t",
        can_signal=superuser or row[4] == "t",
        memberships=frozenset(name for (name,) in member if name is not None),
    )


def find_database(session: Session, name: str) -> LiveDatabase | None:
    """Return the properties of a database, None if there is no such database."""
    rows = session.query(
        "SELECT d.oid, r.rolname, pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate,"
        " d.datctype, t.spcname,"
        " CASE WHEN pg_catalog.has_database_privilege(d.oid, 'CONNECT')"
        " OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')"
        " THEN pg_catalog.pg_database_size(d.oid) END,"
        " (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid"
        " AND a.usesysid IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid()),"
        " d.datistemplate, d.datallowconn, d.datconnlimit"
        " FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba"
        f" JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname ="
        f" {literal(name)}"
    )
    if not rows:
        return None
    oid, owner, encoding, collate, ctype, tablespace, size, clients, *doors = rows[0]
    return LiveDatabase(
        name=name,
        oid=int(oid or 0),
        owner=owner or "",
        encoding=encoding or "",
        lc_collate=collate or "",
        lc_ctype=ctype or "",
        tablespace=tablespace or "",
        size_bytes=None if size is None else int(size),
        clients=int(clients or 0),
        is_template=doors[0] == "t",
        allows_connections=doors[1] == "t",
        connection_limit=int(doors[2] or -1),
    )


def check_server(session: Session, me: ConnectedRole) -> Findings:
    """Return what forbids any restore on this server, whatever the database."""
    found = check_writable(session)
    if not me.can_create_databases:
        found += Findings(
            (
                Problem(
                    f"the role {me.name} may not make databases, and so not rename them",
                    detail="A restore fills a new database and then gives it the live one's name.",
                    hint=f"As a superuser: ALTER ROLE {ident(me.name)} CREATEDB;",
                ),
            )
        )
    return found


def check_writable(session: Session) -> Findings:
    """Refuse a server on which nothing can be written."""
    if not session.query("SELECT 1 WHERE pg_catalog.pg_is_in_recovery()"):
        return Findings()
    return Findings(
        (
            Problem(
                "the server is a standby, nothing can be written there",
                hint="Name its primary in the DSN.",
            ),
        )
    )


def check_replaceable(
    session: Session, me: ConnectedRole, live: LiveDatabase, maintenance: str
) -> Findings:
    """Return what forbids renaming *live*; *maintenance* is the database that we are connected
    to."""
    problems: list[Problem] = []
    if live.name in (maintenance, "template0", "template1"):
        problems.append(
            Problem(
                f"the database {live.name} serves the server itself and is never replaced",
                hint="Restore beside it: --to NEW.",
            )
        )
    if not me.is_superuser and live.owner not in me.memberships:
        problems.append(
            Problem(
                f"the database {live.name} belongs to {live.owner}, only its owner may rename it",
                hint=f"As a superuser: GRANT {ident(live.owner)} TO {ident(me.name)};",
            )
        )
    problems.extend(_holders(session, live))
    sessions = _check_sessions(session, me, live)
    return Findings(tuple(problems)) + _check_subscriptions(session, live) + sessions


def _holders(session: Session, live: LiveDatabase) -> Iterable[Problem]:
    """Yield what is tied to the database itself and would be lost, or would prevent the rename."""
    prepared = _names(
        session,
        f"SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = {literal(live.name)}",
    )
    if prepared:
        yield Problem(
            f"the database has prepared transactions: {', '.join(prepared)}",
            hint="In that database: "
            + " ".join(f"ROLLBACK PREPARED {literal(g)};" for g in prepared)
            + " (or COMMIT PREPARED).",
        )
    detail = "They would stay with the replaced database, and their readers with it."
    yield from check_slots(session, live, detail).problems


def _check_subscriptions(session: Session, live: LiveDatabase) -> Findings:
    """Return what is forbidden by subscriptions: one belongs to its database under any name, so it
    would write to the kept one; a disabled one is back after an undo, unchanged."""
    found = subscriptions_of(session, live.name)
    enabled = [each.name for each in found if each.is_enabled]
    disabled = [each.name for each in found if not each.is_enabled]
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    if enabled:
        problem = Problem(
            f"subscriptions write to the database: {', '.join(enabled)}",
            detail="They would go on writing to the replaced database. The statements leave their"
            " slots on the publisher as they are.",
            hint=f"In that database: {' '.join(unbinding(name) for name in enabled)}",
        )
        problems = (problem,)
    if disabled:
        names = ", ".join(disabled)
        warnings = (f"subscriptions that are disabled stay with the replaced database: {names}",)
    return Findings(problems, warnings)


def check_slots(session: Session, database: LiveDatabase, detail: str) -> Findings:
    """Return which logical replication slots read from *database*; *detail* is what would happen to
    them."""
    rows = session.query(
        "SELECT s.slot_name, s.temporary, s.active_pid, a.leader_pid"
        " FROM pg_catalog.pg_replication_slots s"
        " LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid"
        f" WHERE s.database = {literal(database.name)} ORDER BY 1"
    )
    if not rows:
        return Findings()
    names = ", ".join(name or "" for name, *_ in rows)
    # For a parallel worker, its leader is shown.
    ways = [_freed(name or "", kind == "t", leader or pid) for name, kind, pid, leader in rows]
    return Findings(
        (
            Problem(
                f"logical replication slots read from the database: {names}",
                detail=detail,
                hint=" ".join(ways),
            ),
        )
    )


def _freed(slot: str, is_temporary: bool, pid: str | None) -> str:
    """Return how to remove a slot: it cannot be dropped while another process holds it."""
    if pid is not None and is_temporary and slot.startswith("pg_repack_"):
        # The server's own, since 19; the command that uses it may run for hours.
        return (
            f"The process {pid} runs REPACK (CONCURRENTLY): wait for it, or cancel it:"
            f" SELECT pg_cancel_backend({pid});"
        )
    if pid is not None and is_temporary:
        return f"The slot {slot} ends with its session: SELECT pg_terminate_backend({pid});"
    reader = f"Stop its reader (process {pid}), then: " if pid is not None else ""
    return f"{reader}SELECT pg_drop_replication_slot({literal(slot)});"


def _check_sessions(session: Session, me: ConnectedRole, live: LiveDatabase) -> Findings:
    """Refuse if there are sessions that we may not terminate."""
    if me.is_superuser:
        return Findings()
    rows = session.query(
        "SELECT DISTINCT r.rolname, r.rolsuper FROM pg_catalog.pg_stat_activity a"
        " JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid"
        f" WHERE a.datid = {live.oid} AND a.pid <> pg_catalog.pg_backend_pid() ORDER BY 1"
    )
    superusers = [name or "" for name, is_super in rows if is_super == "t"]
    others = [
        name or "" for name, is_super in rows if is_super != "t" and name not in me.memberships
    ]
    problems: list[Problem] = []
    warnings: list[str] = []
    if superusers:
        problems.append(
            Problem(
                f"superusers are connected to {live.name}: {', '.join(superusers)}",
                detail="Only a superuser may end their sessions.",
                hint="Close those sessions, or connect as a superuser.",
            )
        )
    grant = f"GRANT pg_signal_backend TO {ident(me.name)};"
    if others and not me.can_signal:
        problems.append(
            Problem(
                f"the role {me.name} may not end the sessions of {', '.join(others)}",
                hint=f"As a superuser: {grant}",
            )
        )
    elif not me.can_signal:
        warnings.append(
            f"sessions of other roles, if there are any, could not be ended (grant: {grant})"
        )
    return Findings(tuple(problems), tuple(warnings))


def _names(session: Session, sql: str) -> list[str]:
    return [name for (name,) in session.query(f"{sql} ORDER BY 1") if name is not None]


def _sentence(text: str) -> str:
    """Return *text* with a period, and a capital letter if it begins with a word: names are left
    unchanged."""
    if _WORD_FIRST.match(text):
        text = text[:1].upper() + text[1:]
    return text + "."
