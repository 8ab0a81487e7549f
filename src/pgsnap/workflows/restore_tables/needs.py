"""Checks what a snapshot's tables need in the target database: roles, readable ACLs, PL/pgSQL, and
write access. Read-only."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from pgsnap.dump.definitions.rights import Right, rights_of, roles_in
from pgsnap.dump.definitions.table_parts import TableName, TableParts, qualified_names
from pgsnap.model import SnapshotId
from pgsnap.patterns import regex
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.targets.checks.preflight import ConnectedRole, Findings, Problem
from pgsnap.targets.checks.roles import server_roles
from pgsnap.targets.swap.read_only import SETTING
from pgsnap.targets.tables.rights import Privileges, read_privileges
from pgsnap.values import dataclass
from pgsnap.workflows.contents.table_names import by_a_copy, shown

_LANGUAGE = "plpgsql"
_GENERATED = regex(r"^ +(\"(?:[^\"]|\"\")+\"|\S+) .* GENERATED ALWAYS AS \((.*)\) STORED", re.M)
_DRAWS = r"\m(nextval|setval)\M"


@dataclass(frozen=True, slots=True)
class Needs:
    """*rights* are all privileges that the new tables and sequences get; *makes_language*: PL/pgSQL
    is created for the restore, and dropped afterwards."""

    rights: tuple[Right, ...]
    makes_language: bool
    findings: Findings


def read_needs(
    session: Session,
    me: ConnectedRole,
    database: str,
    snapshot_id: SnapshotId,
    tables: Sequence[TableParts],
) -> Needs:
    """Return what *tables* need, and findings on what is missing."""
    language, found = _language(session, me)
    found += Findings(tuple(check_read_only_default(session, me, database)))
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
    found += Findings(tuple(_drawing(session, snapshot_id, tables)))
    return Needs(tuple(rights), language, found)


def _objects(parts: TableParts, privileges: Privileges) -> dict[TableName, Sequence[str]]:
    return {
        parts.table: privileges.of_tables,
        **dict.fromkeys(parts.sequences, privileges.of_sequences),
    }


def _unreadable(snapshot_id: SnapshotId, table: TableName, error: ValueError) -> Problem:
    return Problem(
        f"who has rights on {shown(table)} cannot be known from the snapshot",
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


def _language(session: Session, me: ConnectedRole) -> tuple[bool, Findings]:
    """Return whether PL/pgSQL, in which snap's own DO blocks are written, must be created."""
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


def check_read_only_default(
    session: Session, me: ConnectedRole, database: str
) -> Iterable[Problem]:
    """Yield the settings that make our transactions read-only."""
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


def _drawing(
    session: Session, snapshot_id: SnapshotId, tables: Iterable[TableParts]
) -> Iterable[Problem]:
    """Yield the generated columns whose function, judging by its source, calls nextval. Creating
    such a table, as a rehearsal does, may already advance the sequence."""
    for parts in tables:
        for column, expression in _GENERATED.findall("\n".join(parts.before)):
            names = ", ".join(
                f"({literal(schema)}, {literal(name)})"
                for schema, name in qualified_names(expression)
            )
            if not names or not session.query(
                "SELECT 1 FROM pg_catalog.pg_proc p"
                " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
                f" WHERE (n.nspname, p.proname) IN ({names})"
                " AND p.prosrc || coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), '')"
                f" ~ {literal(_DRAWS)}"
            ):
                continue
            section = shlex.quote(f"data {shown(parts.table)}")
            yield Problem(
                f"the generated column {column} of {shown(parts.table)} draws from a sequence",
                detail="Its values are in no dump: they are made again as rows are loaded, and"
                " would be others.",
                hint="All other columns are in:"
                f" snap cat {snapshot_id.hex()[:12]} --section {section}",
            )
