"""Determines whether a transaction was committed when its reply was lost."""

from __future__ import annotations

from pgsnap.sessions.base import Session, literal
from pgsnap.targets.naming import application_name


def transaction_of(session: Session, token: str, database: str) -> int | None:
    """Return the ID of the transaction in which the load of the restore *token* writes."""
    rows = session.query(
        "SELECT backend_xid::text FROM pg_catalog.pg_stat_activity"
        f" WHERE application_name = {literal(application_name(token))}"
        f" AND datname = {literal(database)} AND backend_xid IS NOT NULL"
    )
    return int(rows[0][0]) if rows and rows[0][0] is not None else None


def was_committed(session: Session, transaction: int) -> bool:
    """Return whether a recent *transaction* was committed. Its ID has 32 bits and wraps around; the
    latest one with this ID is meant."""
    round_of_numbers = 2**32
    return bool(
        session.query(
            "SELECT 1 FROM (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())"
            "::text::int8 AS next) n WHERE pg_catalog.pg_xact_status((n.next"
            f" - (n.next - {transaction}) % {round_of_numbers})::text::pg_catalog.xid8)"
            " = 'committed'"
        )
    )
