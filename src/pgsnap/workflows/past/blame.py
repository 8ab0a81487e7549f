"""Which snapshot gave each column of a row the value that it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from pgsnap.errors import UnknownRevision, UsageError
from pgsnap.model import Snapshot, SnapshotId
from pgsnap.rows.assembled import Field
from pgsnap.values import dataclass
from pgsnap.words import plural
from pgsnap.workflows.contents.table_names import shown
from pgsnap.workflows.past.history import EventKind, RowEvent, RowHistory, RowVersion


@dataclass(frozen=True, slots=True)
class BlamedColumn:
    """A column of a row with its value, and the first snapshot that has it. *is_oldest*: no older
    one is known, so the value may be older; *is_new_row*: it is as old as the row."""

    column: str
    value: Field
    snapshot_id: SnapshotId
    snapshot: Snapshot
    is_oldest: bool = False
    is_new_row: bool = False


@dataclass(frozen=True, slots=True)
class Blame:
    """A *row* and its *columns* in their order. *notes* say how the definition of its table changed
    meanwhile, each with the first snapshot that has it so: as that another table had its name."""

    row: RowVersion
    columns: tuple[BlamedColumn, ...]
    notes: tuple[tuple[SnapshotId, str], ...]


@dataclass(slots=True)
class _Blamed:
    """The columns of a row, and how those are called in older snapshots that are left."""

    row: RowVersion
    left: dict[str, str]
    found: dict[str, BlamedColumn] = field(default_factory=dict)

    def take(self, column: str, event: RowEvent) -> None:
        value = self.row.field(column)
        assert value is not None
        self.found[column] = BlamedColumn(
            column,
            value,
            event.snapshot_id,
            event.snapshot,
            is_oldest=event.kind is EventKind.FIRST,
            is_new_row=event.kind is EventKind.APPEARED,
        )
        del self.left[column]


def blame(history: RowHistory, events: Iterator[RowEvent]) -> Blame:
    """Return what gave the row in the newest snapshot its values.

    Only as many snapshots are looked into as are needed. Raises UnknownRevision if that snapshot
    has no row with the key, UsageError if it has several.
    """
    first = next(events, None)
    if len(history.present) > 1:
        raise UsageError(
            f"{plural(len(history.present), 'row')} of {shown(history.table)} have the key"
            f" {history.key.shown}",
            hint="Name columns that say which one is meant with --key.",
        )
    if not history.present:
        raise _gone(history, first)
    row = history.present[0]
    blamed = _Blamed(row, {column: column for column in row.columns})
    event = first
    notes: list[tuple[SnapshotId, str]] = []
    while event is not None and blamed.left:
        _attribute(blamed, event)
        notes += [(event.snapshot_id, note) for note in event.notes]
        event = next(events, None) if blamed.left else None
    found = [blamed.found[column] for column in row.columns if column in blamed.found]
    return Blame(row, tuple(found), tuple(notes))


def _attribute(blamed: _Blamed, event: RowEvent) -> None:
    """Attribute the columns that *event* changed."""
    if event.kind in (EventKind.APPEARED, EventKind.FIRST) or len(event.before) > 1:
        for column in list(blamed.left):
            blamed.take(column, event)
        return
    changed = {change.column for change in event.columns}
    renamed = dict(event.renamed)
    for column, name in list(blamed.left.items()):
        if name in changed:
            blamed.take(column, event)
        else:
            blamed.left[column] = renamed.get(name, name)


def _gone(history: RowHistory, last: RowEvent | None) -> UnknownRevision:
    where = f"{shown(history.table)} has no row {history.key.shown}"
    if not history.known:
        return UnknownRevision(
            f"it is not known whether there is a row {history.key.shown} of {shown(history.table)}",
            detail=f"{history.gaps[:1].upper()}{history.gaps[1:]}.",
            hint="Look for damage: snap verify --data",
        )
    if last is None:
        return UnknownRevision(
            where,
            detail=f"None of {plural(history.known, 'snapshot')} has such a row."
            + (f" But {history.gaps}." if history.unknown else ""),
            hint="Keys are written as PostgreSQL prints them; several columns as a=1,b=2.",
        )
    return UnknownRevision(
        f"{where} any more",
        detail=f"It went with snapshot {last.snapshot_id.hex()[:12]}"
        f" of {last.snapshot.time.astimezone():%Y-%m-%d %H:%M}.",
        hint="See its history: snap log --table TABLE --row KEY",
    )
