"""Moments of a database with the text of every block, so that what change detection says can be
compared with what is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pgsnap.model.baseline import Baseline, TableState
from pgsnap.sessions.base import Session, ident
from pgsnap.sessions.server import Server
from pgsnap.sources.changes.detecting import Detector
from pgsnap.sources.changes.facts import insert_position, lsn_literal, read_state
from pgsnap.sources.changes.moment import Terms, begin
from pgsnap.sources.changes.summaries import wait_for
from pgsnap.sources.changes.tables import read_tables
from pgsnap.sources.changes.verdicts import Full, Unchanged, Verdict
from pgsnap.sources.changes.ways import Method, Way, find_ways

TERMS = Terms(lock_wait_seconds=10, xid_wait_seconds=0.3, summary_wait_seconds=20)
_TEXTS = """
SELECT (x.ctid::text::point)[0]::int, string_agg(x::text, E'\\n' ORDER BY x.ctid)
FROM ONLY {table} x GROUP BY 1
"""
Texts = dict[int, str]


@dataclass(frozen=True)
class Taken:
    """A moment that is over. *texts* has, by table and block, the rows; *naive* is the position in
    the WAL that was read when the snapshot was there, which is no safe base."""

    baseline: Baseline
    texts: Mapping[int, Texts]
    verdicts: Mapping[int, Verdict]
    way: Way
    naive: int
    naively_found: Mapping[int, Verdict]
    fingerprint_equal: bool

    @property
    def tables(self) -> dict[str, TableState]:
        return {table.name: table for table in self.baseline.tables}

    def verdict(self, name: str) -> Verdict:
        return self.verdicts[self.tables[name].oid]

    def blocks_to_read(self) -> int:
        return sum(
            table.blocks if isinstance(found, Full) else len(found.blocks)
            for table in self.baseline.tables
            if not isinstance(found := self.verdicts[table.oid], Unchanged)
        )


def take(
    server: Server,
    before: Taken | None = None,
    terms: Terms = TERMS,
    *,
    naively: Method | None = None,
) -> Taken:
    """Take a moment, and read all tables in full. *naively*: before that, find by this method what
    changed since the position that was read at the snapshot *before*."""
    with begin(server.connect, before and before.baseline, terms) as moment:
        with server.connect() as other:
            naive = 0 if read_state(other).in_recovery else insert_position(other)
        found = naive_verdicts(server, before, naively, moment.tables) if before and naively else {}
        texts = {table.oid: texts_of(moment.session, table) for table in moment.tables}
        baseline = moment.finish()
        return Taken(
            baseline, texts, moment.verdicts, moment.way, naive, found, moment.fingerprint_equal
        )


def texts_of(session: Session, table: TableState) -> Texts:
    sql = _TEXTS.format(table=f"{ident(table.schema)}.{ident(table.name)}")
    return {int(block or 0): text or "" for block, text in session.query(sql)}


def wrong(before: Taken, after: Taken) -> list[str]:
    """Return the tables whose text, made of *before* and of what *after* would read, is not what it
    is."""
    return [
        f"{table.schema}.{table.name}"
        for table in after.baseline.tables
        if spliced(
            before.texts.get(table.oid, {}), after.verdicts[table.oid], after.texts[table.oid]
        )
        != after.texts[table.oid]
    ]


def spliced(old: Texts, verdict: Verdict, new: Texts) -> Texts:
    if isinstance(verdict, Full):
        return new
    if isinstance(verdict, Unchanged):
        return old
    read = set(verdict.blocks)
    kept = {block: text for block, text in old.items() if block < verdict.total_blocks}
    taken = {block: text for block, text in new.items() if block in read}
    return {block: text for block, text in kept.items() if block not in read} | taken


def naive_verdicts(
    server: Server, before: Taken, method: Method, tables: Sequence[TableState] = ()
) -> dict[int, Verdict]:
    """Return what *method* finds from the position that was read at the snapshot, where nothing
    else is compared. It has to be asked before anything reads the tables, which may mark more."""
    with server.connect() as session:
        state = read_state(session)
        ways = find_ways(session, state, checkpoint=True, methods=(method,))
        detector = Detector(session, state, ways, TERMS.summary_wait_seconds)
        now = tables or read_tables(session, state, {})[0]
        known = [table for table in now if table.oid in before.texts]
        checkpoint = detector.checkpoint()
        boundary = 0
        if method is Method.SUMMARIES:
            # It does not look whether the history is the same.
            wait_for(session, checkpoint, TERMS.summary_wait_seconds)
            # One that begins after the checkpoint may be there already.
            ends = (
                "SELECT max(s.end_lsn) - '0/0'::pg_lsn FROM pg_available_wal_summaries() s"
                f" WHERE s.start_lsn < {lsn_literal(checkpoint.redo)}"
            )
            boundary = int(session.query(ends)[0][0] or 0)
        _, found = detector.detect(
            known, base=before.naive, boundary=boundary, checkpoint=checkpoint
        )
    return dict(found)


def naively_wrong(before: Taken, after: Taken, found: Mapping[int, Verdict]) -> list[str]:
    """Return the tables whose text would be wrong by *found*."""
    verdicts = {table.oid: found.get(table.oid, Full("new")) for table in after.baseline.tables}
    return wrong(before, replace(after, verdicts=verdicts))


def methods_of(major: int) -> tuple[Method, ...]:
    """Return the ways that a server of this version can offer."""
    return tuple(Method) if major >= 17 else (Method.FILES, Method.PAGEINSPECT)
