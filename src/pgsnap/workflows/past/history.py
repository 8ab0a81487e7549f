"""The history of one row: when it appeared, each change, when it went; and which snapshot gave each
of its columns the value it has."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import field
from datetime import datetime

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.dump.entries import decode
from pgsnap.errors import CorruptionError, ObjectNotFound, UnknownRevision, UsageError
from pgsnap.format.times import to_micros
from pgsnap.model import Snapshot, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.rows.assembled import Field, same_field
from pgsnap.values import dataclass
from pgsnap.words import did_you_mean, plural
from pgsnap.workflows.contents.table_names import shown
from pgsnap.workflows.past.following import Trail, View, Views
from pgsnap.workflows.past.presence import Hit, Presence, Rows, key_tests
from pgsnap.workflows.past.row_keys import RowKey, key_columns, parse_row_key
from pgsnap.workflows.past.tables import PastTable


@dataclass(frozen=True, slots=True)
class RowVersion:
    """A row as it was in a snapshot: the table that it was in, or the partition of that, its
    columns, and their fields as they are in the text, in this encoding."""

    table: TableName
    columns: tuple[str, ...]
    fields: tuple[Field, ...]
    encoding: str
    is_in_partition: bool = False

    def field(self, column: str) -> Field | None:
        """Return the field of a column, None if the row has no such column."""
        found = self.columns.index(column) if column in self.columns else -1
        return self.fields[found] if 0 <= found < len(self.fields) else None


class EventKind(enum.StrEnum):
    """What happened to a row between two snapshots."""

    APPEARED = "appeared"
    CHANGED = "changed"
    REMOVED = "removed"
    FIRST = "first"
    """It is there in the oldest snapshot that is looked at."""
    DEFINED = "defined"
    """Only the definition of its table changed."""


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A column with other values in two versions of a row; None where it is not there. *was_called*
    is its earlier name, if that was another."""

    column: str
    before: Field | None
    after: Field | None
    was_called: str = ""


@dataclass(frozen=True, slots=True)
class RowEvent:
    """What a snapshot has that the one before it, *previous*, had not.

    *before* and *after* are the rows with the key that only one of the two has: one at most on each
    side, unless rows have no unique key; *count_before* and *count_after* are how many there are in
    all. *columns* are those that changed, if one row became another. *unknown* are snapshots
    between the two of which it is not known which rows they have, each with the reason. *notes* say
    how the definition of the table changed.
    """

    kind: EventKind
    snapshot_id: SnapshotId
    snapshot: Snapshot
    previous_id: SnapshotId | None
    previous: Snapshot | None
    before: tuple[RowVersion, ...]
    after: tuple[RowVersion, ...]
    count_before: int
    count_after: int
    columns: tuple[ColumnChange, ...] = ()
    unknown: tuple[tuple[SnapshotId, str], ...] = ()
    notes: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class RowHistory:
    """The history of the rows with *key* in *table*, as it is called in the newest snapshot that
    has it: `events` yields it, the newest first. The counts are right at its end."""

    table: TableName
    key: RowKey
    is_unique: bool
    snapshots: int = 0
    oldest: SnapshotId | None = None
    read_bytes: int = 0
    stopped_at: SnapshotId | None = None
    """The snapshot after which so much was read that the search was ended; older ones remain."""
    ends: str = ""
    """Why the table was not followed further back, "" if it was."""
    unknown: list[tuple[SnapshotId, str]] = field(default_factory=list)
    """Snapshots of which it is not known which rows they have, each with the reason."""
    present: tuple[RowVersion, ...] = ()
    """The rows in the newest snapshot of which it is known."""

    @property
    def known(self) -> int:
        """Of how many snapshots it is known which rows they have."""
        return self.snapshots - len(self.unknown)

    @property
    def gaps(self) -> str:
        """What is not known, "" if nothing."""
        if not self.unknown:
            return ""
        one, reason = self.unknown[0]
        verb = "has" if self.snapshots == 1 else "have"
        return (
            f"it is not known which rows {len(self.unknown)} of"
            f" {plural(self.snapshots, 'snapshot')} {verb}; {one.hex()[:12]}: {reason}"
        )


def snapshots_until(
    repo: Repository,
    newest: SnapshotId,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[SnapshotId]:
    """Return *newest* and all earlier snapshots of its label from the same server, newest first,
    made in this span of time. Raises UnknownRevision."""
    snapshot = repo.snapshot(newest)
    chains = Chains(repo)
    found = chains.snapshots(chains.of_snapshot(snapshot))
    if newest not in found:
        # It is forgotten, but still there.
        moment = to_micros(snapshot.time)
        earlier = [one for one, head in repo.heads(found) if to_micros(head.time) <= moment]
        found = [newest, *earlier]
    found = found[found.index(newest) :]
    if since is None and until is None:
        return found
    return [
        one
        for one, head in repo.heads(found)
        if (since is None or head.time >= since) and (until is None or head.time <= until)
    ]


def row_history(
    repo: Repository,
    snapshots: Sequence[SnapshotId],
    name: TableName,
    key: str,
    *,
    key_named: str | None = None,
    read_bytes_max: int | None = None,
    progress: Progress = SILENT,
) -> tuple[RowHistory, Iterator[RowEvent]]:
    """Return the history of the rows of a table with a *key*, as the user wrote it, and its events:
    *snapshots* are newest first. With *read_bytes_max* the search ends once so much was read of the
    older ones.

    Raises UnknownRevision if none of them has the table, UsageError for what is no key of it; the
    events raise StoreError.
    """
    trail = Trail(repo, snapshots, name)
    table = trail.newest_table()
    if table is None:
        raise _no_table(repo, snapshots, name)
    wanted = parse_row_key(key, key_columns(table, key_named))
    _check_key(table, wanted)
    is_unique = set(wanted.columns) == {*table.key}
    history = RowHistory(name, wanted, is_unique)
    presence = Presence(repo, wanted, progress)
    return history, _events(history, trail, presence, read_bytes_max)


def _check_key(table: PastTable, key: RowKey) -> None:
    """Raise UsageError for a key that no row can have."""
    for one in key.columns:
        if one not in table.column_names:
            raise UsageError(
                f"column {one} of {shown(table.name)} is generated: no dump has its values",
                hint="Name other columns that say which row is meant: --key COLUMN,COLUMN",
            )
    columns = table.column_names
    types = [table.types.get(one, "") for one in columns]
    key_tests(key, key.columns, columns, types, table.encoding)


def _no_table(
    repo: Repository, snapshots: Sequence[SnapshotId], name: TableName
) -> UnknownRevision:
    known: list[str] = []
    if snapshots:
        trail = Trail(repo, snapshots[:1], name)
        known = sorted(map(shown, trail.names()))
    return UnknownRevision(
        f"no snapshot has a table {shown(name)}",
        detail="Names are as in SQL, without a schema they mean public.",
        hint=did_you_mean(shown(name), known, "See the tables of the newest: snap show latest"),
    )


def _events(
    history: RowHistory, trail: Trail, presence: Presence, read_bytes_max: int | None
) -> Iterator[RowEvent]:
    newer: tuple[View, Rows] | None = None
    unknown: list[tuple[SnapshotId, str]] = []
    views = Views(trail.views(history.key.columns))
    for view in views:
        history.snapshots += 1
        if view.is_end:
            history.ends = view.notes[-1]
            break
        reason = view.unknown
        rows: Rows = ()
        if not reason:
            try:
                if not presence.is_surely_absent(view, newer, views):
                    rows = presence.rows(view, newer)
            except (CorruptionError, ObjectNotFound) as error:
                reason = f"it is damaged: {error.message}"
        history.read_bytes = presence.read_bytes
        if reason:
            unknown.append((view.snapshot_id, reason))
            history.unknown.append(unknown[-1])
            views.keep_notes(view)
            continue
        if newer is None:
            history.present = tuple(_version(view, hit) for hit in rows)
            if read_bytes_max is not None:
                presence.read_at_most = presence.read_bytes + read_bytes_max
        elif (event := _event(newer, (view, rows), unknown)) is not None:
            yield event
        unknown = []
        newer = view, rows
        history.oldest = view.snapshot_id
        if presence.read_at_most is not None and presence.read_bytes > presence.read_at_most:
            history.stopped_at = view.snapshot_id
            break
    if newer is not None and newer[1]:
        yield _first(*newer, unknown)


def _first(view: View, rows: Rows, unknown: list[tuple[SnapshotId, str]]) -> RowEvent:
    versions = tuple(_version(view, hit) for hit in rows)
    return RowEvent(
        EventKind.FIRST,
        view.snapshot_id,
        view.snapshot,
        None,
        None,
        (),
        versions,
        0,
        len(rows),
        unknown=tuple(unknown),
    )


def _event(
    newer: tuple[View, Rows], older: tuple[View, Rows], unknown: list[tuple[SnapshotId, str]]
) -> RowEvent | None:
    """Return what changed between two snapshots, None if nothing did."""
    (later, after_rows), (earlier, before_rows) = newer, older
    before, after = _unmatched(
        [_version(earlier, hit) for hit in before_rows],
        [_version(later, hit) for hit in after_rows],
        dict(earlier.renamed),
    )
    notes = earlier.notes if before_rows or after_rows else ()
    columns: tuple[ColumnChange, ...] = ()
    if before and after:
        kind = EventKind.CHANGED
        if len(before) == len(after) == 1:
            columns = _column_changes(before[0], after[0], dict(earlier.renamed))
    elif after:
        kind = EventKind.CHANGED if before_rows else EventKind.APPEARED
    elif before:
        kind = EventKind.CHANGED if after_rows else EventKind.REMOVED
    elif notes:
        kind = EventKind.DEFINED
    else:
        return None
    return RowEvent(
        kind,
        later.snapshot_id,
        later.snapshot,
        earlier.snapshot_id,
        earlier.snapshot,
        before,
        after,
        len(before_rows),
        len(after_rows),
        columns,
        tuple(unknown),
        notes,
        earlier.renamed,
    )


def _version(view: View, hit: Hit) -> RowVersion:
    assert view.table is not None
    for part in view.table.parts:
        name = part.section.name
        if (name.schema, name.name, name.part) == hit.part:
            columns = part.columns or ()
            return RowVersion(
                part.table,
                columns,
                hit.fields,
                view.table.encoding,
                is_in_partition=part.table != view.table.name,
            )
    raise AssertionError("a row is in a part of its table")


def _unmatched(
    before: Sequence[RowVersion], after: Sequence[RowVersion], renamed: dict[str, str]
) -> tuple[tuple[RowVersion, ...], tuple[RowVersion, ...]]:
    """Return the rows that have no equal on the other side, each paired with one at most."""
    if len(before) == len(after) == 1:
        is_same = not _column_changes(before[0], after[0], renamed)
        return ((), ()) if is_same else (tuple(before), tuple(after))
    as_text = len({row.encoding for row in (*before, *after)}) > 1
    there = Counter(_values(row, {}, as_text=as_text) for row in before)
    left = []
    for row in after:
        values = _values(row, renamed, as_text=as_text)
        if there[values]:
            there[values] -= 1
        else:
            left.append(row)
    gone = []
    for row in before:
        values = _values(row, {}, as_text=as_text)
        if there[values]:
            there[values] -= 1
            gone.append(row)
    return tuple(gone), tuple(left)


def _values(
    row: RowVersion, renamed: dict[str, str], *, as_text: bool
) -> frozenset[tuple[str, Field | str]]:
    """Return what is equal of equal rows, with the columns as they were called before; *as_text*:
    whatever their encodings are."""
    names = (renamed.get(column, column) for column in row.columns)
    fields = (
        decode(field, row.encoding) if as_text and isinstance(field, bytes) else field
        for field in row.fields
    )
    return frozenset(zip(names, fields, strict=False))


def _column_changes(
    before: RowVersion, after: RowVersion, renamed: dict[str, str]
) -> tuple[ColumnChange, ...]:
    found = []
    seen = set()
    for column in after.columns:
        old = renamed.get(column, column)
        seen.add(old)
        was, now = before.field(old), after.field(column)
        if was is None or now is None or not _same(was, now, before.encoding, after.encoding):
            found.append(ColumnChange(column, was, now, old if old != column else ""))
    found += [
        ColumnChange(column, before.field(column), None)
        for column in before.columns
        if column not in seen
    ]
    return tuple(found)


def _same(was: Field, now: Field, encoding_then: str, encoding_now: str) -> bool:
    if encoding_then != encoding_now and isinstance(was, bytes) and isinstance(now, bytes):
        return decode(was, encoding_then) == decode(now, encoding_now)
    return same_field(was, now)
