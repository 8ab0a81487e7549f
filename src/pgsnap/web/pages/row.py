"""The history of one row: when it appeared, each change, when it went."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from pgsnap.errors import UnknownRevision, UsageError
from pgsnap.model import SnapshotHead, SnapshotId, quote_ident
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.rows.assembled import Field
from pgsnap.sessions.base import literal
from pgsnap.values import dataclass
from pgsnap.web.pages.base import Asked, Page
from pgsnap.web.pages.shown import Shown, qualified, shown_apart, shown_part
from pgsnap.workflows.diff.report import TableName
from pgsnap.workflows.past.history import (
    ColumnChange,
    EventKind,
    RowEvent,
    RowVersion,
    row_history,
    snapshots_until,
)
from pgsnap.workflows.past.pages import Value, value_of
from pgsnap.workflows.past.row_keys import RowKey

EVENTS_SHOWN = 50
SNAPSHOTS_AT_ONCE = 365
"""So many snapshots are looked through for a page, or as many as take some seconds: where nothing
says where the row is, all that changed is read."""
_READ_BYTES_MAX = 500_000_000
_VALUE_BYTES = 16_000


@dataclass(frozen=True, slots=True)
class Change:
    """A column of a row, with its value before and after; None where it is not there."""

    column: str
    before: Shown | None
    after: Shown | None


@dataclass(frozen=True, slots=True)
class Event:
    """What a snapshot has that *previous_id*, the one before it, had not. *changes* are the columns
    that changed, or all of a row that appeared or went; where the key is not unique, of one of
    *count* rows. *restorable* is the snapshot to restore from to have the row as it was."""

    kind: str
    snapshot_id: SnapshotId
    snapshot: SnapshotHead
    previous_id: SnapshotId | None
    table: TableName | None
    changes: tuple[Change, ...]
    count: int
    notes: tuple[str, ...]
    unknown: int
    restorable: SnapshotId | None


@dataclass(frozen=True, slots=True)
class RowData:
    """The history of the row of *table* with *key*, newest first. *expression* says in SQL which
    row it is. *looked_at* snapshots were looked through; *older* is from where the search goes on,
    None if it came to its end, which *ends* explains; *gaps* says of which nothing is known."""

    label: str
    table: TableName
    key: str
    shown_key: str
    expression: str
    is_unique: bool
    events: tuple[Event, ...]
    present: tuple[Change, ...]
    is_present: bool
    is_first: bool
    looked_at: int
    older: SnapshotId | None
    ends: str
    gaps: str


def page(asked: Asked) -> Page:
    return row_page(
        asked.repo,
        asked.value("label"),
        asked.table("table"),
        asked.value("key"),
        start=asked.snapshot_or_none("from"),
        read_bytes_max=_READ_BYTES_MAX,
    )


def row_page(
    repo: Repository,
    label: str,
    table: TableName,
    key: str,
    *,
    start: SnapshotId | None = None,
    limit: int = SNAPSHOTS_AT_ONCE,
    read_bytes_max: int | None = None,
    progress: Progress = SILENT,
) -> Page:
    """Return the history of the row of *table* with *key*, in *limit* snapshots from *start*
    backwards, in fewer if more than *read_bytes_max* had to be read. Raises UnknownRevision,
    UsageError, CorruptionError."""
    if "\0" in key:
        raise UsageError("no key has a NUL byte")
    newest = repo.newest(label, 1)
    if not newest:
        raise UnknownRevision(f'no snapshot is of a database "{label}"')
    every = snapshots_until(repo, start or newest[0])
    looked_at = every[:limit]
    history, events = row_history(
        repo, looked_at, table, key, read_bytes_max=read_bytes_max, progress=progress
    )
    found = list(islice(events, EVENTS_SHOWN))
    older = _older(found, history.stopped_at or looked_at[-1], every)
    if older is not None and found and found[-1].kind is EventKind.FIRST:
        # It is the first only among those that were looked at.
        found.pop()
    data = RowData(
        label=label,
        table=table,
        key=key,
        shown_key=history.key.shown,
        expression=_expression(history.key),
        is_unique=history.is_unique,
        events=tuple(map(_event, found)),
        present=tuple(_all_of(history.present[0])) if len(history.present) == 1 else (),
        is_present=bool(history.present),
        is_first=start is None,
        looked_at=history.known,
        older=older,
        ends=history.ends,
        gaps=history.gaps,
    )
    title = f"{qualified(table)} {history.key.shown}"
    return Page("row.html", title, data, "databases")


def _older(found: list[RowEvent], last: SnapshotId, every: list[SnapshotId]) -> SnapshotId | None:
    """Return the snapshot from which the history goes on, None if all of it was looked at."""
    if len(found) == EVENTS_SHOWN and found[-1].previous_id is not None:
        return found[-1].previous_id
    # The last one again: what it changed is known only by the one before it.
    return last if last != every[-1] else None


def _event(event: RowEvent) -> Event:
    changes: Iterator[Change]
    restorable: SnapshotId | None = event.snapshot_id
    rows = event.after
    if event.columns:
        codes = [side[0].encoding if side else "UTF8" for side in (event.before, event.after)]
        changes = (_changed(one, *codes) for one in event.columns)
    elif event.kind is EventKind.REMOVED:
        rows, restorable = event.before, event.previous_id
        changes = (Change(one.column, one.after, None) for one in _all_of(rows[0]))
    elif rows:
        changes = _all_of(rows[0])
    else:
        changes = iter(())
    return Event(
        kind=event.kind.value,
        snapshot_id=event.snapshot_id,
        snapshot=event.snapshot,
        previous_id=event.previous_id,
        table=rows[0].table if rows else None,
        changes=tuple(changes),
        count=len(rows),
        notes=event.notes,
        unknown=len(event.unknown),
        restorable=restorable if rows else None,
    )


def _all_of(row: RowVersion) -> Iterator[Change]:
    for column, field in zip(row.columns, row.fields, strict=False):
        yield Change(column, None, _shown(_value(field, row.encoding)))


def _changed(one: ColumnChange, before_encoding: str, after_encoding: str) -> Change:
    before = _value(one.before, before_encoding) if one.before is not None else None
    after = _value(one.after, after_encoding) if one.after is not None else None
    name = f"{one.column} (was {one.was_called})" if one.was_called else one.column
    if before is not None and after is not None and before.is_whole and after.is_whole:
        return Change(name, *shown_apart(before.text, after.text))
    return Change(name, _shown(before), _shown(after))


def _value(field: Field, encoding: str) -> Value:
    return value_of(field, encoding, _VALUE_BYTES)


def _shown(value: Value | None) -> Shown | None:
    if value is None:
        return None
    return shown_part(value.text, value.size, is_whole=value.is_whole)


def _expression(key: RowKey) -> str:
    pairs = zip(key.columns, key.texts, strict=True)
    return " AND ".join(f"{quote_ident(column)} = {literal(text)}" for column, text in pairs)
