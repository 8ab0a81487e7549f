"""Blocks are read once before the snapshot is taken.

Whoever first reads a block after its rows were updated clears it up, and so changes it. Were that
our own reading of the rows, the next commit would find all these blocks changed again: also those
of a table of which so much changed that it is read as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable

from pgsnap.errors import QueryFailed
from pgsnap.model.baseline import TableState
from pgsnap.sessions.base import Session, ident, number
from pgsnap.sources.changes.comparing import MOSTLY_CHANGED
from pgsnap.sources.changes.verdicts import Changed, Full, Verdict

_TOUCH = """
SELECT count(*) FROM unnest('{{{blocks}}}'::int[]) g (b), LATERAL (
    SELECT 1 FROM ONLY {table}
    WHERE ctid >= ('(' || g.b || ',0)')::tid AND ctid < ('(' || (g.b + 1) || ',0)')::tid
    OFFSET 0) x
"""
# Not count(*) of the table, which could be answered by an index.
_TOUCH_ALL = "SELECT count(*) FROM ONLY {table} WHERE ctid >= '(0,0)'"
_BY_RANGE = "Tid Range Scan"
_BLOCKS_AT_ONCE = 4096
# Nobody needs it so much that others should wait for us.
_LOCK_WAIT = "SET LOCAL lock_timeout = '200ms'; SET LOCAL max_parallel_workers_per_gather = 0"


def touch(session: Session, found: Iterable[tuple[TableState, Verdict]]) -> int:
    """Read the changed blocks of each table, and return how many there were. A table that is locked
    or may not be read is left out. Raises ConnectionFailed."""
    touched = 0
    for table, verdict in found:
        if isinstance(verdict, Changed):
            touched += _touch_blocks(session, table, verdict)
        elif isinstance(verdict, Full) and verdict.reason == MOSTLY_CHANGED:
            touched += _touch_table(session, table)
    return touched


def _touch_table(session: Session, table: TableState) -> int:
    sql = _TOUCH_ALL.format(table=f"{ident(table.schema)}.{ident(table.name)}")
    try:
        session.execute(f"BEGIN; {_LOCK_WAIT}; {sql}; COMMIT")
    except QueryFailed:
        return 0
    return table.blocks


def _touch_blocks(session: Session, table: TableState, verdict: Changed) -> int:
    name = f"{ident(table.schema)}.{ident(table.name)}"
    touched = 0
    for start in range(0, len(verdict.blocks), _BLOCKS_AT_ONCE):
        some = verdict.blocks[start : start + _BLOCKS_AT_ONCE]
        sql = _TOUCH.format(blocks=",".join(map(number, some)), table=name)
        try:
            if not start and not _is_cheap(session, sql):
                return 0
            session.execute(f"BEGIN; {_LOCK_WAIT}; {sql}; COMMIT")
        except QueryFailed:
            return touched
        touched += len(some)
    return touched


def _is_cheap(session: Session, sql: str) -> bool:
    """Return whether the server reads only these blocks, and not the whole table for each."""
    session.execute(f"BEGIN; {_LOCK_WAIT}")
    plan = session.query(f"EXPLAIN {sql}")
    session.execute("COMMIT")
    return any(_BY_RANGE in (row[0] or "") for row in plan)
