"""What is to be known of the tables of a scratch database before their rows are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pgsnap.sessions.base import Session
from pgsnap.targets.load.hashed_rows import chosen_anew
from pgsnap.targets.load.order_of_tables import tables_with_functions
from pgsnap.targets.load.row_order import Table, empty_tables


@dataclass(frozen=True, slots=True)
class TablesMade:
    """The tables that psql has created: *empty* may be truncated before their rows are loaded;
    *roots* maps a table to the topmost partitioned table that takes its rows; *partitioned* are all
    that are partitioned, or a part of such a table; the rows of those *in_order* may need the rows
    of the tables before them."""

    empty: frozenset[Table]
    roots: Mapping[Table, Table]
    partitioned: frozenset[Table]
    in_order: frozenset[Table]

    @classmethod
    def read(cls, session: Session) -> TablesMade:
        """Read them from *session*'s database."""
        roots = chosen_anew(session)
        # Those may already hold rows routed to them from other partitions.
        empty = empty_tables(session) - roots.keys()
        return cls(empty, roots, _partitioned(session), tables_with_functions(session))


def _partitioned(session: Session) -> frozenset[Table]:
    rows = session.query(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'p' OR c.relispartition AND c.relkind = 'r'"
    )
    return frozenset((schema or "", name or "") for schema, name in rows)
