"""Creates the roles that a restore needs and the server lacks."""

from __future__ import annotations

from collections.abc import Collection

from pgsnap.errors import QueryFailed, RestoreFailed
from pgsnap.sessions.base import Session
from pgsnap.targets.checks.preflight import connected_role
from pgsnap.targets.checks.roles import creation_order, server_roles
from pgsnap.workflows.restore.plan import RestorePlan


def make_missing_roles(
    session: Session, plan: RestorePlan, dump_owners: Collection[str]
) -> tuple[str, ...]:
    """Create those of *plan*'s missing roles that are still missing, if requested; return their
    names.

    Raises RestoreFailed; then none was created.
    """
    if not plan.options.create_roles or not plan.missing_roles:
        return ()
    present = server_roles(session)
    roles = [role for role in plan.missing_roles if role.name not in present]
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
