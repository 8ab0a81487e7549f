"""From what is typed to the history of a row: which snapshots, which table, which key."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.remotes import open_to_read
from pgsnap.errors import UnknownRevision
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgsnap.model import SnapshotId
    from pgsnap.workflows.past.history import RowEvent, RowHistory

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class WantedRow:
    """A row, and the snapshots that are looked into: *revision* and those before it, made in the
    span of time from *since* to *until*."""

    table: str
    key: str
    key_named: str | None = None
    revision: str | None = None
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class FoundRow:
    """The history of a row, its events as far as they are asked for, and the snapshots' tags."""

    history: RowHistory
    events: Iterator[RowEvent]
    tags: dict[SnapshotId, Sequence[str]]


@contextlib.contextmanager
def history_of(invocation: Invocation, wanted: WantedRow) -> Iterator[FoundRow]:
    """Yield the history of a row, to be consumed before the end of the context, under a bar."""
    from pgsnap.repository.snapshots.moments import first_moment, last_moment
    from pgsnap.workflows.past.history import row_history, snapshots_until
    from pgsnap.workflows.past.named import table_named

    since = _at(first_moment(wanted.since.removeprefix("@"))) if wanted.since else None
    until = _at(last_moment(wanted.until.removeprefix("@"))) if wanted.until else None
    with (
        open_to_read(invocation, wanted.revision or "latest") as (repo, newest),
        invocation.console.progress() as progress,
    ):
        snapshots = snapshots_until(repo, newest, since=since, until=until)
        if not snapshots:
            raise UnknownRevision(
                "no snapshot was made in this span of time",
                hint="See when there are some: snap log",
            )
        table = table_named(repo, snapshots, wanted.table)
        progress.phase("row")
        history, events = row_history(
            repo, snapshots, table, wanted.key, key_named=wanted.key_named, progress=progress
        )
        label = repo.snapshot(newest).database
        yield FoundRow(history, events, dict(repo.tags.by_snapshot(label)))


def _at(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)
