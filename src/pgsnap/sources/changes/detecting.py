"""Runs the best detector that works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pgsnap.errors import QueryFailed
from pgsnap.model.baseline import TableState
from pgsnap.sessions.base import Session
from pgsnap.sources.changes import pages, summaries
from pgsnap.sources.changes.facts import Checkpoint, ServerState, read_checkpoint
from pgsnap.sources.changes.summaries import ServerSetBack, SummariesUnusable
from pgsnap.sources.changes.verdicts import Verdict
from pgsnap.sources.changes.ways import Method, Way, Ways


class NothingDetected(Exception):
    """No detector works now; the text says why."""


class Detector:
    """Finds what changed between a position and the latest checkpoint, by one of *ways*."""

    def __init__(
        self, session: Session, state: ServerState, ways: Ways, summary_wait_seconds: float
    ) -> None:
        self._session = session
        self._state = state
        self._ways = ways
        self._summary_wait_seconds = summary_wait_seconds

    @property
    def uses_summaries(self) -> bool:
        return Method.SUMMARIES in self._ways.methods

    def checkpoint(self) -> Checkpoint:
        """Request a checkpoint, and return it. Raises QueryFailed, ConnectionFailed."""
        self._session.execute("CHECKPOINT")
        return read_checkpoint(self._session)

    def detect(
        self, tables: Sequence[TableState], *, base: int, boundary: int, checkpoint: Checkpoint
    ) -> tuple[Way, Mapping[int, Verdict]]:
        """Return what changed in each of *tables*, by OID, and the way by which it was found.
        Raises NothingDetected, ConnectionFailed."""
        reasons: list[str] = []
        for method in self._ways.methods:
            try:
                found = self._by(method, tables, base, boundary, checkpoint)
                way = Way(method, "; ".join(reasons)) if reasons else self._ways.way
                return way, found
            except ServerSetBack as error:
                # Then every other way is as blind.
                raise NothingDetected(str(error)) from error
            except (SummariesUnusable, pages.PagesUnreadable) as error:
                reasons.append(str(error))
            except QueryFailed as error:
                reasons.append(error.message)
        raise NothingDetected("; ".join(reasons))

    def _by(
        self,
        method: Method,
        tables: Sequence[TableState],
        base: int,
        boundary: int,
        checkpoint: Checkpoint,
    ) -> Mapping[int, Verdict]:
        if method is Method.SUMMARIES:
            summaries.wait_for(self._session, checkpoint, self._summary_wait_seconds)
            return summaries.detect(
                self._session,
                self._state,
                tables,
                base=base,
                boundary=boundary,
                checkpoint=checkpoint,
            )
        if method is Method.FILES:
            assert self._ways.data_folder is not None
            return pages.detect_by_files(
                self._session,
                self._ways.data_folder,
                self._state.system_identifier,
                tables,
                base=base,
                checkpoint=checkpoint,
            )
        assert self._ways.pageinspect is not None
        return pages.detect_by_sql(self._session, self._ways.pageinspect, tables, base=base)
