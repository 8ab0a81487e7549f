"""Subscriptions of a database to be dropped: the server refuses to drop a database that has any.

Those that a restore creates are disabled, as pg_dump writes them, and not connected to their
publisher. So only the subscription itself is dropped; a slot of its name on the publisher stays.
"""

from __future__ import annotations

from collections.abc import Callable

from pgsnap.errors import TargetRefused
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription of a database, and whether it is enabled."""

    name: str
    is_enabled: bool


def subscriptions_of(session: Session, database: str) -> tuple[Subscription, ...]:
    """Return the subscriptions of *database*, from any database of the server."""
    rows = session.query(
        "SELECT s.subname, s.subenabled FROM pg_catalog.pg_subscription s"
        " JOIN pg_catalog.pg_database d ON d.oid = s.subdbid"
        f" WHERE d.datname = {literal(database)} ORDER BY 1"
    )
    return tuple(Subscription(name or "", enabled == "t") for name, enabled in rows)


def unbinding(name: str) -> str:
    """Return the statements that drop a subscription without contacting its publisher, where its
    slot stays."""
    quoted = ident(name)
    return (
        f"ALTER SUBSCRIPTION {quoted} DISABLE; ALTER SUBSCRIPTION {quoted} SET (slot_name = NONE);"
        f" DROP SUBSCRIPTION {quoted};"
    )


def drop_subscriptions(
    session: Session,
    open_database: Callable[[str], Session],
    database: str,
    *,
    enabled_too: bool = True,
) -> None:
    """Drop the subscriptions of *database*, which is to be dropped itself.

    Raises TargetRefused, if not *enabled_too*, for an enabled one: it is in use. Raises
    ConnectionFailed, QueryFailed.
    """
    found = subscriptions_of(session, database)
    if not found:
        return
    enabled = [each.name for each in found if each.is_enabled]
    if enabled and not enabled_too:
        raise TargetRefused(
            f"subscriptions write to the database {database}: {', '.join(enabled)}",
            detail="The server drops no database that has subscriptions.",
            hint="In that database: " + " ".join(unbinding(name) for name in enabled),
        )
    with open_database(database) as inside:
        # Event triggers fire on these statements too, and may forbid them.
        triggers = inside.query(
            "SELECT evtname, evtenabled FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D'"
        )
        states = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
        quiet = [f"ALTER EVENT TRIGGER {ident(name or '')} DISABLE;" for name, _ in triggers]
        again = [
            f"ALTER EVENT TRIGGER {ident(name or '')} {states[state or '']};"
            for name, state in triggers
        ]
        # A single message is a single transaction.
        inside.execute(" ".join((*quiet, *(unbinding(each.name) for each in found), *again)))
