"""Changed blocks by the server's WAL summaries (PostgreSQL 17 and later)."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Mapping

from pgsnap import interrupts
from pgsnap.errors import QueryFailed
from pgsnap.limits import CHANGED_SHARE_MAX
from pgsnap.model.baseline import TableState
from pgsnap.sessions.base import Session, number
from pgsnap.sources.changes.comparing import MOSTLY_CHANGED
from pgsnap.sources.changes.facts import Checkpoint, ServerState, lsn_literal
from pgsnap.sources.changes.verdicts import Changed, Full, Unchanged, Verdict
from pgsnap.values import dataclass

_POLL_SECONDS = 0.02
_SUMMARIZED = (
    "SELECT s.summarized_lsn >= {redo} AND s.summarized_tli >= {timeline}"
    " FROM pg_get_wal_summarizer_state() s"
)
_FILES = """
SELECT s.start_lsn - '0/0'::pg_lsn, s.end_lsn - '0/0'::pg_lsn FROM pg_available_wal_summaries() s
WHERE s.tli = {timeline} AND s.end_lsn >= {base} AND s.start_lsn < {redo} ORDER BY 1, 2
"""
# Entries without a file node speak of a whole database.
_MARKED = """
WITH found AS MATERIALIZED (
    SELECT c.reltablespace AS space, c.relfilenode AS node, c.is_limit_block AS is_limit,
           c.relblocknumber AS block
    FROM (VALUES {files}) f (first, last),
         LATERAL pg_wal_summary_contents({timeline}, f.first::pg_lsn, f.last::pg_lsn) c
    WHERE c.relforknumber = 0 AND c.reldatabase IN (0, {database})
), limits AS (
    SELECT f.space, f.node, min(f.block) AS block FROM found f WHERE f.is_limit GROUP BY 1, 2
), blocks AS (
    SELECT DISTINCT f.space, f.node, f.block FROM found f WHERE NOT f.is_limit
), wanted (space, node, past) AS (
    VALUES {tables}
)
SELECT w.space, w.node, l.block, count(b.block),
       CASE WHEN count(b.block) <= {share} * w.past
           THEN string_agg(b.block::text, ',' ORDER BY b.block) END
FROM wanted w LEFT JOIN limits l ON l.space = w.space AND l.node = w.node
LEFT JOIN blocks b ON b.space = w.space AND b.node = w.node AND b.block < w.past
GROUP BY w.space, w.node, w.past, l.block
HAVING count(b.block) > 0 OR l.block IS NOT NULL
UNION ALL
SELECT 0, 0, 0, count(*), NULL FROM found f WHERE f.node = 0
"""


class SummariesUnusable(Exception):
    """The WAL since the parent is not summarized; the text says why."""


class ServerSetBack(SummariesUnusable):
    """The summaries are of another history than the parent's."""


@dataclass(frozen=True, slots=True)
class _Marked:
    """What summaries say of a file: from which block on all may have changed (None: from none), how
    many are marked and which (None: too many)."""

    limit: int | None
    count: int
    blocks: array[int] | None


def wait_for(session: Session, checkpoint: Checkpoint, seconds: float) -> None:
    """Return once the WAL up to *checkpoint* is summarized. Raises SummariesUnusable, QueryFailed,
    ConnectionFailed."""
    sql = _SUMMARIZED.format(
        redo=lsn_literal(checkpoint.redo), timeline=number(checkpoint.timeline)
    )
    deadline = time.monotonic() + seconds
    while session.query(sql)[0][0] != "t":
        if time.monotonic() >= deadline:
            raise SummariesUnusable("the server's WAL summarizer lags behind")
        interrupts.sleep(_POLL_SECONDS)


def detect(
    session: Session,
    state: ServerState,
    tables: Iterable[TableState],
    *,
    base: int,
    boundary: int,
    checkpoint: Checkpoint,
) -> Mapping[int, Verdict]:
    """Return for each of *tables*, by OID, what changed between *base* and *checkpoint*. *boundary*
    is where a summary ended then. Raises ServerSetBack, SummariesUnusable, ConnectionFailed."""
    wanted = list(tables)
    try:
        files = _files(session, base, checkpoint)
        _check(files, base, boundary, checkpoint)
        marked = _marked(session, state, wanted, files, checkpoint)
    except QueryFailed as error:
        # A summary may be removed at any moment.
        raise SummariesUnusable(f"the WAL summaries cannot be read: {error.message}") from error
    return {
        table.oid: _verdict(table, marked.get((table.tablespace, table.relfilenode)))
        for table in wanted
    }


def _files(session: Session, base: int, checkpoint: Checkpoint) -> list[tuple[int, int]]:
    rows = session.query(
        _FILES.format(
            timeline=number(checkpoint.timeline),
            base=lsn_literal(base),
            redo=lsn_literal(checkpoint.redo),
        )
    )
    return [(int(start or 0), int(end or 0)) for start, end in rows]


def _check(
    files: Iterable[tuple[int, int]], base: int, boundary: int, checkpoint: Checkpoint
) -> None:
    """Raise SummariesUnusable unless *files* cover all from *base* to *checkpoint*, and one of them
    begins or ends at *boundary*: after a server was set back, its summaries end elsewhere."""
    covered, ends = base, set[int]()
    for start, end in files:
        if start > covered:
            raise SummariesUnusable("WAL summaries since the last snapshot are missing")
        covered = max(covered, end)
        ends |= {start, end}
    if covered < checkpoint.redo:
        raise SummariesUnusable("WAL summaries since the last snapshot are missing")
    if boundary not in ends:
        raise ServerSetBack("the server was set back to an earlier state")


def _marked(
    session: Session,
    state: ServerState,
    tables: list[TableState],
    files: list[tuple[int, int]],
    checkpoint: Checkpoint,
) -> dict[tuple[int, int], _Marked]:
    spans = [(start, end) for start, end in files if start < end]
    if not spans or not tables:
        return {}
    rows = session.query(
        _MARKED.format(
            files=", ".join(f"({lsn_literal(start)}, {lsn_literal(end)})" for start, end in spans),
            timeline=number(checkpoint.timeline),
            database=number(state.database_oid),
            share=CHANGED_SHARE_MAX,
            tables=", ".join(
                f"({number(t.tablespace)}::oid, {number(t.relfilenode)}::oid,"
                f" {number(t.blocks)}::bigint)"
                for t in tables
            ),
        )
    )
    found = {}
    for space, node, limit, count, blocks in rows:
        if node == "0":
            if count != "0":
                raise SummariesUnusable("the database was made or copied since the last snapshot")
            continue
        found[int(space or 0), int(node or 0)] = _Marked(
            limit=None if limit is None else int(limit),
            count=int(count or 0),
            blocks=_numbers(blocks) if count == "0" or blocks is not None else None,
        )
    return found


def _numbers(text: str | None) -> array[int]:
    return array("I", map(int, text.split(","))) if text else array("I")


def _verdict(table: TableState, marked: _Marked | None) -> Verdict:
    if marked is None:
        return Unchanged()
    if marked.blocks is None:
        return Full(MOSTLY_CHANGED)
    blocks = marked.blocks
    if marked.limit is not None and marked.limit < table.blocks:
        # It was cut to this length: what lies behind is new.
        known = [block for block in blocks if block < marked.limit]
        blocks = array("I", [*known, *range(marked.limit, table.blocks)])
    return Changed(blocks, table.blocks) if blocks else Unchanged()
