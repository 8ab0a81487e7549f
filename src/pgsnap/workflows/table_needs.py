"""What tables of a snapshot need of the database that they come back to: roles, rights that can
be read, PL/pgSQL, and that it can be written. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pgsnap.dump.rights import Right, rights_of, roles_in
from pgsnap.dump.table_parts import TableName, TableParts
from pgsnap.model import SnapshotId
from pgsnap.sessions.base import Session, ident
from pgsnap.targets.preflight import Findings, Me, Problem
from pgsnap.targets.read_only import SETTING
from pgsnap.targets.roles import server_roles
from pgsnap.targets.table_rights import Privileges, read_privileges
from pgsnap.workflows.table_names import by_a_copy, shown

_LANGUAGE = "plpgsql"


@dataclass(frozen=True, slots=True)
class Needs:
    """*rights* are all that the new tables and sequences are to have; *makes_language*: PL/pgSQL
    is made for the restore, and dropped again."""

    rights: tuple[Right, ...]
    makes_language: bool
    findings: Findings


def read_needs(
    session: Session, me: Me, database: str, snapshot_id: SnapshotId, tables: Sequence[TableParts]
) -> Needs:
    """Return what *tables* need, and what of it is not there."""
    language, found = _language(session, me)
    found += Findings(tuple(_read_only(session, me, database)))
    privileges = read_privileges(session)
    named: dict[str, TableName] = {}
    rights: list[Right] = []
    for parts in tables:
        owner = parts.owner or me.name
        try:
            roles = roles_in(parts.rights)
            rights += rights_of(parts.rights, _objects(parts, privileges), owner)
        except ValueError as error:
            found += Findings((_unreadable(snapshot_id, parts.table, error),))
            continue
        named |= {role: named.get(role, parts.table) for role in sorted({owner, *roles})}
    found += Findings(tuple(_missing(named, server_roles(session))))
    return Needs(tuple(rights), language, found)


def _objects(parts: TableParts, privileges: Privileges) -> dict[TableName, Sequence[str]]:
    return {
        parts.table: privileges.of_tables,
        **dict.fromkeys(parts.sequences, privileges.of_sequences),
    }


def _unreadable(snapshot_id: SnapshotId, table: TableName, error: ValueError) -> Problem:
    return Problem(
        f"who has rights on {shown(table)} cannot be told from the snapshot",
        detail=f"A statement about them is not as pg_dump writes it: {error}.",
        hint=by_a_copy(snapshot_id, table),
    )


def _missing(named: Mapping[str, TableName], there: frozenset[str]) -> Iterable[Problem]:
    for role, table in named.items():
        if role not in there:
            yield Problem(
                f"there is no role {role} any more, which owns {shown(table)} or has rights on it",
                hint=f"Make it: CREATE ROLE {ident(role)};",
            )


def _language(session: Session, me: Me) -> tuple[bool, Findings]:
    """Tell whether PL/pgSQL, in which snap's own blocks are, has to be made."""
    rows = session.query(
        "SELECT pg_catalog.has_language_privilege(oid, 'USAGE') FROM pg_catalog.pg_language"
        f" WHERE lanname = '{_LANGUAGE}'"
    )
    if not rows:
        told = (
            "the database has no PL/pgSQL, which this needs: it is made within the transaction,"
            " and dropped at its end"
        )
        return True, Findings(warnings=(told,))
    if rows[0][0] == "t":
        return False, Findings()
    problem = Problem(
        f"the role {me.name} may not use PL/pgSQL, which this needs",
        hint=f"As a superuser: GRANT USAGE ON LANGUAGE {_LANGUAGE} TO {ident(me.name)};",
    )
    return False, Findings((problem,))


def _read_only(session: Session, me: Me, database: str) -> Iterable[Problem]:
    """Yield what keeps our transactions from writing, where that is a setting."""
    ((setting, source),) = session.query(
        f"SELECT setting, source FROM pg_catalog.pg_settings WHERE name = '{SETTING}'"
    )
    if setting != "on" or session.query("SELECT 1 WHERE pg_catalog.pg_is_in_recovery()"):
        return
    where, role = ident(database), ident(me.name)
    ways = {
        "database": f"ALTER DATABASE {where} RESET {SETTING};",
        "user": f"ALTER ROLE {role} RESET {SETTING};",
        "database user": f"ALTER ROLE {role} IN DATABASE {where} RESET {SETTING};",
        "global": f"ALTER ROLE ALL RESET {SETTING};",
        "client": f"Take {SETTING} out of the connection's options.",
    }
    elsewhere = f"Turn {SETTING} off in the server's configuration and load it again."
    yield Problem(
        f"new transactions in the database {database} can only read",
        detail=f"{SETTING} is on (set for: {source}). A restore --read-only that was killed leaves"
        " it on, too."
        if source == "database"
        else f"{SETTING} is on (set for: {source}).",
        hint=ways.get(source or "", elsewhere),
    )
