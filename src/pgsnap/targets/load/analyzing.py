"""Runs ANALYZE in a restored database without contacting any other server.

ANALYZE reads rows of everything below a partitioned table, and of inheritance children. A foreign
table among them would mean a connection to its server, which may be down or reject us, and the
success of a restore must not depend on that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from threading import Thread

from pgsnap import interrupts
from pgsnap.errors import SnapError
from pgsnap.limits import ASIDE_BYTES_MIN
from pgsnap.model import quote_ident
from pgsnap.sessions.base import Session, ident
from pgsnap.words import some

_BATCH = 200
# So many of the largest tables are processed one by one, so that all connections end at once.
_SINGLE = 100

# Ancestors of foreign tables, and all tables that a plain ANALYZE processes, each with a flag for
# the former.
_TABLES = """
WITH RECURSIVE above(oid) AS (
    SELECT i.inhparent FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid WHERE c.relkind = 'f'
    UNION
    SELECT i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid
)
SELECT n.nspname, c.relname, c.oid IN (SELECT oid FROM above)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't'
AND EXISTS (SELECT FROM above)
ORDER BY 1, 2
"""


# The tables with rows of which some statistics are missing, as `vacuumdb --missing-stats-only` (18)
# finds them: of a column, of an expression in an index, extended ones; of a parent with children.
_WITHOUT = """
WITH inherited(relid, inherited) AS (
    SELECT oid, relkind = 'p' FROM pg_catalog.pg_class
    UNION SELECT inhparent, true FROM pg_catalog.pg_inherits
),
wanted(relid, statid, attnum) AS (
    SELECT a.attrelid, a.attrelid, a.attnum FROM pg_catalog.pg_attribute a
    WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
    AND a.attstattarget IS DISTINCT FROM 0
    UNION ALL
    SELECT i.indrelid, i.indexrelid, a.attnum FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indexrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND i.indkey[a.attnum - 1] = 0
    AND a.attstattarget IS DISTINCT FROM 0
)
SELECT n.nspname, c.relname
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't' AND c.reltuples <> 0
AND n.nspname NOT IN ('pg_catalog', 'information_schema')
AND EXISTS (
    SELECT FROM inherited h WHERE h.relid = c.oid AND (
        EXISTS (
            SELECT FROM wanted w WHERE w.relid = c.oid
            AND (w.statid = c.oid OR NOT h.inherited)
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_statistic s WHERE s.starelid = w.statid
                AND s.staattnum = w.attnum AND s.stainherit = h.inherited
            )
        )
        OR EXISTS (
            SELECT FROM pg_catalog.pg_statistic_ext e WHERE e.stxrelid = c.oid
            AND e.stxstattarget IS DISTINCT FROM 0
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_statistic_ext_data d
                WHERE d.stxoid = e.oid AND d.stxdinherit = h.inherited
            )
        )
    )
)
ORDER BY 1, 2
"""


# What a plain ANALYZE processes, the largest first as far as is known: the size of a table is known
# once an index of it was built. Partitions are processed with the topmost table.
_BY_SIZE = """
SELECT n.nspname, c.relname, c.relpages
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't' AND NOT c.relispartition
ORDER BY c.relpages DESC, 1, 2
"""
# Below this size of all tables another connection does not pay.
_PAGES_MIN = ASIDE_BYTES_MIN // 8192


def analyze(
    connect: Callable[[], Session], *, jobs: int = 1, only_missing: bool = False
) -> tuple[str, ...]:
    """Gather statistics of the database that *connect* connects to, over up to *jobs* connections;
    if *only_missing*, of the tables that lack some: others were restored. Returns what had to be
    left out, as warnings. Raises QueryFailed, ConnectionFailed."""
    with connect() as session:
        if jobs > 1 and not only_missing and not session.query(_TABLES):
            tables = session.query(_BY_SIZE)
            if sum(int(pages or 0) for *_, pages in tables) >= _PAGES_MIN:
                names = [f"{ident(schema or '')}.{ident(name or '')}" for schema, name, _ in tables]
                _side_by_side(connect, _batches(names), jobs)
                return ()
        return _one_by_one(session, only_missing=only_missing)


def _batches(names: Sequence[str]) -> Iterator[str]:
    """Yield the statements: one for each of the first *names*, which are those of large tables."""
    single = min(len(names), _SINGLE)
    yield from (f"ANALYZE {name}" for name in names[:single])
    for start in range(single, len(names), _BATCH):
        yield f"ANALYZE {', '.join(names[start : start + _BATCH])}"


def _side_by_side(connect: Callable[[], Session], statements: Iterable[str], jobs: int) -> None:
    left = deque(statements)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with connect() as session:
                # The swap's own commit waits for the WAL, and it comes after all of these.
                session.execute("SET synchronous_commit = off")
                while left and not failed:
                    with suppress(IndexError):
                        session.execute(left.popleft())
        except SnapError as error:
            failed.append(error)

    threads = [
        Thread(target=work, name=f"analyze-{number}", daemon=True)
        for number in range(min(jobs, len(left)))
    ]
    # What runs on after that is ended with the scratch database's sessions.
    with interrupts.undone_by(left.clear):
        for thread in threads:
            thread.start()
        for thread in threads:
            interrupts.ended(thread)
    if failed:
        raise failed[0]


def _one_by_one(session: Session, *, only_missing: bool) -> tuple[str, ...]:
    rows = session.query(_TABLES)
    if only_missing:
        asking = {(schema, name): asks for schema, name, asks in rows}
        without = session.query(_WITHOUT)
        rows = [(schema, name, asking.get((schema, name), "f")) for schema, name in without]
        if not rows:
            return ()
    if not rows:
        session.execute("ANALYZE")
        return ()
    own = (f"{ident(s or '')}.{ident(name or '')}" for s, name, asks in rows if asks != "t")
    while batch := list(islice(own, _BATCH)):
        session.execute(f"ANALYZE {', '.join(batch)}")
    left = [
        f"{quote_ident(s or '')}.{quote_ident(name or '')}" for s, name, asks in rows if asks == "t"
    ]
    return (f"without statistics, for which other servers would be asked: {some(left)}",)
