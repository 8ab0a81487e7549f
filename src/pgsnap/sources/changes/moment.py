"""The moment of a snapshot: tables locked, a snapshot exported, and what changed since the last.

The order of the steps is what makes it safe: docs/incremental.md says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType

from pgsnap import interrupts
from pgsnap.errors import QueryFailed, TablesChanged
from pgsnap.model.baseline import Baseline, Mark, TableState
from pgsnap.sessions.base import Session
from pgsnap.sources.changes import history
from pgsnap.sources.changes.comparing import combined, incomparable
from pgsnap.sources.changes.detecting import Detector, NothingDetected
from pgsnap.sources.changes.facts import Checkpoint, current_timeline, read_state
from pgsnap.sources.changes.fingerprint import (
    Fingerprints,
    definitions_written,
    read_fingerprints,
)
from pgsnap.sources.changes.holding import Held, hold
from pgsnap.sources.changes.signatures import read_settings, read_signatures
from pgsnap.sources.changes.tables import read_tables
from pgsnap.sources.changes.touching import touch
from pgsnap.sources.changes.verdicts import Full, Unchanged, Verdict
from pgsnap.sources.changes.ways import Method, Way, find_ways
from pgsnap.values import dataclass

_NO_PARENT = "there is no earlier snapshot to compare with"
_OPEN_FOR_LONG = "a transaction was open during the last snapshot, and since long before it"


@dataclass(frozen=True, slots=True)
class Terms:
    """How a moment is taken. *dump_key* is what pg_dump's output depends on besides the database:
    its version and its options. *methods* are the ways of detecting changes that may be used.
    *xid_wait_seconds*: for transactions that are open; *summary_wait_seconds*: for the server's WAL
    summarizer. *parent_time* is when the parent was taken, None if that is not known."""

    lock_wait_seconds: float
    dump_key: str = ""
    may_checkpoint: bool = True
    may_touch: bool = True
    methods: tuple[Method, ...] = tuple(Method)
    xid_wait_seconds: float = 5.0
    summary_wait_seconds: float = 60.0
    parent_time: datetime | None = None


class Moment:
    """A snapshot that other sessions can use by its *snapshot_name* until `close`.

    *session* holds it, and a lock on every table; its transaction is open. *tables* are as the
    snapshot shows them; *verdicts* are by OID. *fingerprint_equal*, *globals_equal*: pg_dump's
    definitions, and pg_dumpall's output, would be those of the parent.
    """

    def __init__(
        self,
        asker: Session,
        held: Held,
        way: Way,
        verdicts: Mapping[int, Verdict],
        baseline: Baseline,
        parent: Baseline | None,
        definitions: str,
    ) -> None:
        self.session = held.session
        self.snapshot_name = held.name
        self.way = way
        self.tables = held.tables
        self.verdicts = verdicts
        self.fingerprint_equal = parent is not None and _are_equal(
            parent.fingerprint, baseline.fingerprint
        )
        # None: one of the two could not be read.
        self.definitions_changed = (
            parent.fingerprint != baseline.fingerprint
            if parent is not None and parent.fingerprint and baseline.fingerprint
            else None
        )
        self.globals_equal = parent is not None and _are_equal(
            parent.globals_fingerprint, baseline.globals_fingerprint
        )
        self._asker = asker
        self._definitions = definitions
        self._baseline = baseline

    def finish(self) -> Baseline:
        """Return the new baseline, once all that is to be read was read. Raises TablesChanged if a
        type was altered meanwhile, so that some rows may have its old and some its new look."""
        now = read_signatures(self._asker)
        changed = [
            f"{table.schema}.{table.name}"
            for table in self.tables
            if not isinstance(self.verdicts[table.oid], Unchanged)
            and table.oid in now
            and now[table.oid].types != table.types
        ]
        if changed:
            raise TablesChanged(
                "types were altered while their rows were read",
                detail=f"Of the tables {', '.join(changed[:10])}.",
                hint="Commit again.",
            )
        if definitions_written(self._asker) != self._definitions:
            # What pg_dump and pg_dumpall wrote may be of two moments: next time they run again.
            return replace(self._baseline, fingerprint=None, globals_fingerprint=None)
        return self._baseline

    def close(self) -> None:
        """End the snapshot. May be called twice."""
        self.session.close()
        self._asker.close()

    def __enter__(self) -> Moment:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _are_equal(before: bytes | None, now: bytes | None) -> bool:
    return now is not None and before == now


def begin(connect: Callable[[], Session], parent: Baseline | None, terms: Terms) -> Moment:
    """Take a snapshot of the database that *connect* returns sessions of, and find out what may
    have changed since *parent*. Raises TooManyLocks, TablesChanged, DumpFailed, QueryFailed,
    ConnectionFailed."""
    asker = connect()
    with interrupts.undone_by(asker.close):
        return _Beginning(connect, asker, parent, terms).moment()


class _Beginning:
    """The steps up to the moment, each after the one before."""

    def __init__(
        self,
        connect: Callable[[], Session],
        asker: Session,
        parent: Baseline | None,
        terms: Terms,
    ) -> None:
        self._connect = connect
        self._asker = asker
        self._terms = terms
        self._state = read_state(asker)
        self._ways = find_ways(
            asker, self._state, checkpoint=terms.may_checkpoint, methods=terms.methods
        )
        self._settings = read_settings(asker)
        self._detector = Detector(asker, self._state, self._ways, terms.summary_wait_seconds)
        self._why_not = _NO_PARENT
        self._parent: Baseline | None = None
        if parent is not None:
            self._why_not = history.why_foreign(
                asker, self._state, parent, self._settings, terms.parent_time
            )
            self._parent = None if self._why_not else parent
        if self._parent is not None and self._parent.base is None:
            self._why_not = _OPEN_FOR_LONG
        if not self._ways.methods:
            self._why_not = self._ways.way.reason

    def moment(self) -> Moment:
        mark = self._prepared()
        held = hold(self._connect, self._asker, self._state, self._terms.lock_wait_seconds)
        with interrupts.undone_by(held.session.close):
            fingerprints = self._fingerprints(held.name)
            proof, checkpoint = self._fenced(mark)
            way, verdicts = self._verdicts(held.tables, checkpoint)
            baseline = self._baseline(held, mark, proof, checkpoint, fingerprints)
            return Moment(
                self._asker, held, way, verdicts, baseline, self._parent, fingerprints.definitions
            )

    def _prepared(self) -> Mark | None:
        """Read changed blocks once, and return a position before which everything that is still
        running has written nothing; None if there is none, because something failed."""
        if self._state.in_recovery:
            return None
        try:
            if not self._why_not and self._terms.may_touch:
                self._touch()
            elif self._detector.uses_summaries:
                # Summaries begin and end at checkpoints: the nearer the better.
                self._detector.checkpoint()
            return history.take_mark(self._asker, self._terms.xid_wait_seconds)
        except QueryFailed as error:
            self._why_not = error.message
            return None

    def _touch(self) -> None:
        tables, _ = read_tables(self._asker, self._state, read_signatures(self._asker))
        _, verdicts = self._verdicts(tables, self._detector.checkpoint())
        if touch(self._asker, [(table, verdicts[table.oid]) for table in tables]):
            self._detector.checkpoint()

    def _fingerprints(self, name: str) -> Fingerprints:
        key = "\n".join([self._terms.dump_key, self._state.role, str(self._state.version_num)])
        return read_fingerprints(self._asker, name, key)

    def _fenced(self, mark: Mark | None) -> tuple[tuple[tuple[int, bool], ...], Checkpoint | None]:
        if mark is None:
            return (), None
        try:
            proof = history.leave_proof(self._asker)
            history.fence(self._asker)
            # What is detected must reach up to the snapshot.
            return proof, self._detector.checkpoint() if self._ways.methods else None
        except QueryFailed as error:
            self._why_not = error.message
            return (), None

    def _verdicts(
        self, tables: Sequence[TableState], checkpoint: Checkpoint | None
    ) -> tuple[Way, Mapping[int, Verdict]]:
        parent = self._parent
        if self._why_not or parent is None or parent.base is None or checkpoint is None:
            return self._ways.way, {table.oid: Full(self._why_not) for table in tables}
        whole = incomparable(tables, parent)
        try:
            way, detected = self._detector.detect(
                [table for table in tables if table.oid not in whole],
                base=parent.base,
                boundary=parent.boundary,
                checkpoint=checkpoint,
            )
        except NothingDetected as error:
            way = Way(None, str(error))
            return way, {table.oid: whole.get(table.oid, Full(str(error))) for table in tables}
        return way, combined(tables, parent, whole, detected)

    def _baseline(
        self,
        held: Held,
        mark: Mark | None,
        proof: tuple[tuple[int, bool], ...],
        checkpoint: Checkpoint | None,
        fingerprints: Fingerprints,
    ) -> Baseline:
        marks = [mark] if mark is not None else []
        if self._parent is not None:
            marks += self._parent.marks
        base = history.base_of(marks, held.xmin) if checkpoint is not None else None
        return Baseline(
            system_identifier=self._state.system_identifier,
            timeline=current_timeline(self._asker, in_recovery=self._state.in_recovery),
            version_num=self._state.version_num,
            database_oid=self._state.database_oid,
            base=base,
            boundary=checkpoint.redo if checkpoint is not None else 0,
            marks=history.marks_to_keep(marks, base),
            proof=proof,
            settings=self._settings,
            fingerprint=fingerprints.database,
            globals_fingerprint=fingerprints.globals,
            tables=held.tables,
        )
