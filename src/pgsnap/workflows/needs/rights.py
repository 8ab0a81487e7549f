"""Roles and privileges: creates the roles that a restore needs and the server lacks, and checks the
privileges in a snapshot: grants that cannot be repeated since the grantor lost USAGE
on the schema, and functions open to PUBLIC because a file holds no privileges at all."""

from __future__ import annotations

from collections.abc import Collection

from pgsnap.dump.definitions.entry_stream import entries
from pgsnap.dump.events import occurs
from pgsnap.dump.grantors import GRANTS_AS_ANOTHER, PUBLIC, SchemaUsers, schema_users
from pgsnap.errors import QueryFailed, RestoreFailed
from pgsnap.model import SectionKind, Snapshot
from pgsnap.repository.chunks.stream import text_of_kinds
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.sources.parts import WITHOUT_RIGHTS
from pgsnap.targets.checks.preflight import Findings, Problem, connected_role
from pgsnap.targets.checks.roles import MissingRole, creation_order, server_roles

_KINDS = (SectionKind.PRE_DATA, SectionKind.POST_DATA)
_CARRIED_BYTES = 60
# Members of these may use every schema.
_EVERYWHERE = ("pg_read_all_data", "pg_write_all_data")


def check_rights(
    session: Session, snapshot: Snapshot, repo: Repository, *, left_out: bool
) -> Findings:
    """Return which grants of *snapshot* the server will not accept from their grantors, unless
    privileges are *left_out*, and whether a file has none. Missing roles are not reported here.
    Raises CorruptionError."""
    told = Findings(warnings=(WITHOUT_RIGHTS,) if snapshot.origin.lacks_rights else ())
    return told if left_out else told + _check_grantors(session, snapshot, repo)


def _check_grantors(session: Session, snapshot: Snapshot, repo: Repository) -> Findings:
    if not snapshot.origin.is_pg_dump or not _has_any(repo, snapshot):
        return Findings()
    blocks = text_of_kinds(repo, snapshot, *_KINDS)
    found = schema_users(entries(blocks, settings=True), snapshot.origin.client_encoding)
    return Findings(
        tuple(
            _problem(role, schema.schema) for schema in found for role in _without(session, schema)
        )
    )


def _problem(role: str, schema: str) -> Problem:
    return Problem(
        f"what {role} granted in the schema {schema} cannot be granted again",
        detail=f"In the snapshot {role} has lost USAGE on that schema, and psql fails on it, too.",
        hint=f"In the source database: GRANT USAGE ON SCHEMA {ident(schema)} TO {ident(role)};"
        " then commit again. Of this snapshot, a copy without rights: --to NEW --no-acl",
    )


def _without(session: Session, schema: SchemaUsers) -> list[str]:
    if PUBLIC in schema.roles:
        return []
    users = ", ".join(map(literal, sorted({*schema.roles, *_EVERYWHERE})))
    grantors = ", ".join(map(literal, schema.grantors))
    rows = session.query(
        "SELECT g.rolname FROM pg_catalog.pg_roles g"
        f" WHERE g.rolname IN ({grantors}) AND NOT g.rolsuper AND NOT EXISTS ("
        f"SELECT FROM pg_catalog.pg_roles u WHERE u.rolname IN ({users})"
        " AND pg_catalog.pg_has_role(g.oid, u.oid, 'USAGE')) ORDER BY 1"
    )
    return [name or "" for (name,) in rows]


def _has_any(repo: Repository, snapshot: Snapshot) -> bool:
    """Most dumps have no such grant."""
    # It may begin within a line where blocks overlap: what is found for nothing costs time only.
    blocks = text_of_kinds(repo, snapshot, SectionKind.POST_DATA)
    return occurs(GRANTS_AS_ANOTHER.search, blocks, _CARRIED_BYTES)


def make_missing_roles(
    session: Session, missing: Collection[MissingRole], dump_owners: Collection[str]
) -> tuple[str, ...]:
    """Create those of the *missing* roles that are still missing; return their names.

    Raises RestoreFailed; then none was created.
    """
    if not missing:
        return ()
    present = server_roles(session)
    roles = [role for role in missing if role.name not in present]
    owners = () if connected_role(session).is_superuser else dump_owners
    statements = creation_order(roles, owners)
    try:
        # A single message is a single transaction: all of them or none.
        session.execute(";\n".join(statements) or "SELECT 1")
    except QueryFailed as error:
        raise RestoreFailed(
            "the missing roles cannot be made",
            detail=f"{error.message}. {error.detail}".strip(),
            hint="Make them by hand; snap restore shows the commands in its plan.",
        ) from error
    return tuple(role.name for role in roles)
