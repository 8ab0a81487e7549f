"""Whether a connection could also restore: rights alone, asked of the catalogs in a few queries, so
that every commit can afford it."""

from __future__ import annotations

from pgsnap.sessions.base import Session, ident, literal
from pgsnap.targets.checks.preflight import check_writable, connected_role, find_database
from pgsnap.values import dataclass

# Of template0, template1 and the maintenance database nobody expects it.
_SERVERS_OWN = ("postgres", "template0", "template1")
_OWNERS = (
    "SELECT DISTINCT r.rolname FROM pg_catalog.pg_shdepend d"
    " JOIN pg_catalog.pg_roles r ON r.oid = d.refobjid"
    " WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.deptype = 'o'"
    " AND d.dbid = (SELECT oid FROM pg_catalog.pg_database"
    " WHERE datname = pg_catalog.current_database()) ORDER BY 1"
)
_OTHER_SESSIONS = (
    "SELECT 1 FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid"
    " WHERE a.datname = {database} AND NOT pg_catalog.pg_has_role(a.usesysid, 'USAGE')"
    " AND NOT r.rolsuper LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class MissingRight:
    """What a role cannot do, in words, and the statement that lets it."""

    lack: str
    grant: str


@dataclass(frozen=True, slots=True)
class RestoreRights:
    """What *role* lacks to restore over *database*; nothing if it could."""

    role: str
    database: str
    missing: tuple[MissingRight, ...] = ()

    def words(self) -> str:
        """Return a line on what is missing, with the commands that grant it; "" if nothing is."""
        if not self.missing:
            return ""
        lacks = ", ".join(right.lack for right in self.missing)
        grants = " ".join(right.grant for right in self.missing)
        return (
            f"the role {self.role} could not restore {self.database}: it {lacks}."
            f" As a superuser: {grants}"
        )


def restore_rights(session: Session) -> RestoreRights:
    """Return what our role lacks to restore over the session's database. On a standby, where
    nothing can be restored, nothing. Raises QueryFailed."""
    ((database,),) = session.query("SELECT pg_catalog.current_database()")
    me = connected_role(session)
    name = database or ""
    if me.is_superuser or name in _SERVERS_OWN or check_writable(session).problems:
        return RestoreRights(me.name, name)
    found = []
    if not me.can_create_databases:
        grant = f"ALTER ROLE {ident(me.name)} CREATEDB;"
        found.append(MissingRight("may not create databases", grant))
    live = find_database(session, name)
    owner = live.owner if live is not None else ""
    others = [str(row[0]) for row in session.query(_OWNERS)]
    for role in dict.fromkeys([owner, *others]):
        if role and role not in me.memberships:
            what = "the database" if role == owner else "what is in it"
            grant = f"GRANT {ident(role)} TO {ident(me.name)};"
            found.append(MissingRight(f"is no member of {role}, who owns {what}", grant))
    if not me.can_signal and session.query(_OTHER_SESSIONS.format(database=literal(name))):
        grant = f"GRANT pg_signal_backend TO {ident(me.name)};"
        found.append(MissingRight("may not end the sessions of others", grant))
    return RestoreRights(me.name, name, tuple(found))
