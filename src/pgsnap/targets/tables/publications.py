"""The publications that include a table: by its OID, its schema, or all tables."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from pgsnap.sessions.base import Session, literal
from pgsnap.values import dataclass


class How(enum.Enum):
    """Why a table is in a publication, or why not."""

    LISTED = "listed"
    EXCEPTED = "excepted"
    SCHEMA = "schema"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication, and *how* it relates to one table. *columns* and *rows* are what it publishes
    of that table, as SQL ("" for all); *excepted* are all tables that it excludes, as SQL."""

    name: str
    how: How
    columns: str = ""
    rows: str = ""
    excepted: tuple[str, ...] = ()


def publications_of(session: Session, schema: str, oid: int | None) -> tuple[Publication, ...]:
    """Return the publications that concern the live table *oid* (None: a table that does not exist
    yet) in *schema*."""
    major = session.server_version_num // 10000
    found = list(_by_number(session, oid, major)) if oid is not None else []
    named = {publication.name for publication in found}
    for (name,) in session.query(
        "SELECT pubname FROM pg_catalog.pg_publication WHERE puballtables ORDER BY 1"
    ):
        if name not in named:
            found.append(Publication(name or "", How.ALL))
    if major >= 15:
        rows = session.query(
            "SELECT p.pubname FROM pg_catalog.pg_publication_namespace s"
            " JOIN pg_catalog.pg_publication p ON p.oid = s.pnpubid"
            " JOIN pg_catalog.pg_namespace n ON n.oid = s.pnnspid"
            f" WHERE n.nspname = {literal(schema)} ORDER BY 1"
        )
        found += [Publication(name or "", How.SCHEMA) for (name,) in rows]
    return tuple(found)


def slots_of_subscribers(session: Session) -> tuple[str, ...]:
    """Return the slots of this database through which subscriptions receive what is published."""
    rows = session.query(
        "SELECT slot_name FROM pg_catalog.pg_replication_slots WHERE slot_type = 'logical'"
        " AND plugin = 'pgoutput' AND database = pg_catalog.current_database() ORDER BY 1"
    )
    return tuple(name for (name,) in rows if name is not None)


def _by_number(session: Session, oid: int, major: int) -> Sequence[Publication]:
    columns = "NULL"
    rows = "NULL"
    if major >= 15:
        rows = "pg_catalog.pg_get_expr(r.prqual, r.prrelid)"
        columns = (
            "(SELECT pg_catalog.string_agg(pg_catalog.quote_ident(t.attname), ', '"
            " ORDER BY t.attnum) FROM pg_catalog.pg_attribute t WHERE t.attrelid = r.prrelid"
            " AND t.attnum = ANY (r.prattrs::pg_catalog.int2[]))"
        )
    excepted = "r.prexcept" if major >= 19 else "false"
    left_out = "e.prexcept" if major >= 19 else "false"
    found = session.query(
        f"SELECT p.pubname, {excepted}, {columns}, {rows}, (SELECT pg_catalog.string_agg("
        "e.prrelid::pg_catalog.regclass::text, E'\\n')"
        f" FROM pg_catalog.pg_publication_rel e WHERE e.prpubid = p.oid AND {left_out})"
        " FROM pg_catalog.pg_publication_rel r"
        " JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid"
        f" WHERE r.prrelid = {oid} ORDER BY 1"
    )
    return [
        Publication(
            name or "",
            How.EXCEPTED if is_excepted == "t" else How.LISTED,
            columns or "",
            rows or "",
            tuple((others or "").splitlines()),
        )
        for name, is_excepted, columns, rows, others in found
    ]
