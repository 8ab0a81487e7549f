"""The history of a row, and what gave its columns their values: lines and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.views.rows.differing import apart, shown_value
from pgsnap.cli.views.snapshot import tag_words, when

if TYPE_CHECKING:
    from pgsnap.model import SnapshotHead, SnapshotId
    from pgsnap.rows.assembled import Field
    from pgsnap.workflows.past.blame import Blame
    from pgsnap.workflows.past.history import RowEvent, RowHistory, RowVersion
    from pgsnap.workflows.past.pages import Value

    Tags = Mapping[SnapshotId, Sequence[str]]

_SIGNS = {"appeared": "+", "changed": "~", "removed": "-", "first": "=", "defined": "*"}
_COLOURS = {
    "appeared": "green",
    "changed": "yellow",
    "removed": "red",
    "first": "bold",
    "defined": "bold",
}
_WORDS = {"first": "there already, in the oldest snapshot", "defined": "the table changed"}
_ROWS_SHOWN = 10


def history_fields(
    history: RowHistory, events: Sequence[RowEvent], tags: Tags, *, is_cut: bool
) -> dict[str, Any]:
    """Return the --json form of a history; *is_cut*: there are more events."""
    return {
        **_key_fields(history),
        "unique": history.is_unique,
        "present": len(history.present),
        "snapshots": history.snapshots,
        "oldest": history.oldest,
        "read_bytes": history.read_bytes,
        "ends": history.ends or None,
        "more": is_cut,
        "unknown": _unknown_fields(history.unknown),
        "events": [_event_fields(event, tags) for event in events],
    }


def _key_fields(history: RowHistory) -> dict[str, Any]:
    columns, texts = history.key.columns, history.key.texts
    return {
        "schema": history.table[0],
        "table": history.table[1],
        "key": [
            {"column": column, "value": text} for column, text in zip(columns, texts, strict=True)
        ],
    }


def _unknown_fields(unknown: Sequence[tuple[SnapshotId, str]]) -> list[dict[str, Any]]:
    return [{"id": snapshot, "reason": reason} for snapshot, reason in unknown]


def _event_fields(event: RowEvent, tags: Tags) -> dict[str, Any]:
    encodings = (
        event.before[0].encoding if event.before else "",
        event.after[0].encoding if event.after else "",
    )
    return {
        "kind": event.kind.value,
        "id": event.snapshot_id,
        "time": event.snapshot.time,
        "message": event.snapshot.message,
        "tags": tags.get(event.snapshot_id, ()),
        "previous": event.previous_id,
        "rows_before": event.count_before,
        "rows_after": event.count_after,
        "columns": [
            {
                "column": change.column,
                "was_called": change.was_called or None,
                "before": _value_fields(change.before, encodings[0]),
                "after": _value_fields(change.after, encodings[1]),
            }
            for change in event.columns
        ],
        "before": [_row_fields(row) for row in event.before],
        "after": [_row_fields(row) for row in event.after],
        "unknown": _unknown_fields(event.unknown),
        "notes": event.notes,
    }


def _value_fields(field: Field | None, encoding: str) -> dict[str, Any] | None:
    """Return a value as an object, so that NULL is not taken for a column that is not there."""
    if field is None:
        return None
    value = _value(field, encoding)
    return {"value": value.text, "bytes": value.size, "whole": value.is_whole}


def _row_fields(row: RowVersion) -> dict[str, Any]:
    return {
        "schema": row.table[0],
        "table": row.table[1],
        "values": [
            {"column": column, **(_value_fields(field, row.encoding) or {})}
            for column, field in zip(row.columns, row.fields, strict=False)
        ],
    }


def history_lines(
    history: RowHistory,
    events: Sequence[RowEvent],
    tags: Tags,
    *,
    now: datetime,
    colour: bool,
) -> list[str]:
    """Return the events, the newest first."""
    lines: list[str] = []
    for event in events:
        kind = event.kind.value
        sign = render.style(_SIGNS[kind], _COLOURS[kind], colour)
        title = _WORDS.get(kind, kind)
        if "first" in kind and history.ends:
            title = "there already"
        lines.append(f"{sign} {_snapshot(event.snapshot_id, event.snapshot, tags, now)}  {title}")
        message = render.first_line(event.snapshot.message)
        lines += [f"    {message}"] if message else []
        lines += [f"    {line}" for line in _details(event)]
        lines.append("")
    return lines[:-1]


def _snapshot(snapshot_id: SnapshotId, snapshot: SnapshotHead, tags: Tags, now: datetime) -> str:
    words = (
        render.short_id(snapshot_id),
        when(snapshot.time, now),
        tag_words(tags.get(snapshot_id, ())),
    )
    return "  ".join(filter(None, words))


def _details(event: RowEvent) -> list[str]:
    lines = [render.plain(note) for note in event.notes]
    if event.columns:
        before, after = event.before[0], event.after[0]
        for change in event.columns:
            name = render.plain(change.column)
            old = _text(change.before, before.encoding)
            new = _text(change.after, after.encoding)
            lines.append(f"{name}: {_both(old, new)}")
        if before.table != after.table and before.is_in_partition and after.is_in_partition:
            lines.append(f"moved from {_table(before)} to {_table(after)}")
    else:
        for mark, rows in (("-", event.before), ("+", event.after)):
            alone = not (event.before and event.after)
            lines += [f"{'' if alone else mark + ' '}{_row(row)}" for row in rows[:_ROWS_SHOWN]]
            if len(rows) > _ROWS_SHOWN:
                lines.append(f"{mark} {render.plural(len(rows) - _ROWS_SHOWN, 'more row')}")
    if max(event.count_before, event.count_after) > 1:
        lines.append(f"rows with this key: {event.count_before} -> {event.count_after}")
    for snapshot_id, reason in event.unknown:
        why = render.plain(reason)
        lines.append(f"it may have been earlier: of {render.short_id(snapshot_id)} {why}")
    return lines


def _both(old: Value | None, new: Value | None) -> str:
    if old is None:
        return f"(no column) -> {_shown(new)}"
    if new is None:
        return f"{_shown(old)} -> (no column)"
    if old.is_whole and new.is_whole:
        return apart(old.text, new.text)
    return f"{_shown(old)} -> {_shown(new)}"


def _shown(value: Value | None) -> str:
    assert value is not None
    if value.is_whole:
        return shown_value(value.text)
    return f"{shown_value((value.text or '')[:100])}... ({render.size(value.size)})"


def _row(row: RowVersion) -> str:
    return ", ".join(
        f"{render.plain(column)}={_shown(_value(field, row.encoding))}"
        for column, field in zip(row.columns, row.fields, strict=False)
    )


def _table(row: RowVersion) -> str:
    from pgsnap.model import quote_ident

    return render.plain(".".join(map(quote_ident, row.table)))


def summary(history: RowHistory, count: int, *, is_cut: bool) -> str:
    """Return the news below a history."""
    from pgsnap.model import quote_ident

    table = render.plain(".".join(map(quote_ident, history.table)))
    row = f"row {render.plain(history.key.shown)} of {table}"
    read = f"{render.size(history.read_bytes)} of rows read"
    if is_cut:
        return f"{row}: the newest {render.plural(count, 'event')}; {read}"
    snapshots = render.plural(history.known, "snapshot")
    if not history.known:
        return f"it is not known whether there was a {row}; {read}"
    if not count and not history.present:
        return f"none of {snapshots} has a {row}; {read}"
    return f"{row}: {render.plural(count, 'event')} in {snapshots}; {read}"


def blame_fields(history: RowHistory, blamed: Blame, tags: Tags) -> dict[str, Any]:
    """Return the --json form of what gave a row its values."""
    return {
        **_key_fields(history),
        "snapshots": history.snapshots,
        "read_bytes": history.read_bytes,
        "columns": [
            {
                "column": one.column,
                **(_value_fields(one.value, blamed.row.encoding) or {}),
                "id": one.snapshot_id,
                "time": one.snapshot.time,
                "message": one.snapshot.message,
                "tags": tags.get(one.snapshot_id, ()),
                "with_row": one.is_new_row,
                "or_earlier": one.is_oldest,
            }
            for one in blamed.columns
        ],
        "notes": [{"id": snapshot, "note": note} for snapshot, note in blamed.notes],
    }


def blame_news(blamed: Blame) -> list[str]:
    """Return what else is said below: how the definition of the table changed."""
    return [
        f"since {render.short_id(snapshot)}: {render.plain(note)}"
        for snapshot, note in blamed.notes
    ]


def blame_lines(blamed: Blame, tags: Tags) -> list[str]:
    """Return a line for each column: the snapshot, its time, the column, the value, the message."""
    return render.columns(
        [
            (
                ("<" if one.is_oldest else "") + render.short_id(one.snapshot_id),
                f"{one.snapshot.time.astimezone():%Y-%m-%d %H:%M}",
                render.plain(one.column),
                _shown(_value(one.value, blamed.row.encoding)),
                " ".join(
                    filter(
                        None,
                        (
                            tag_words(tags.get(one.snapshot_id, ())),
                            render.first_line(one.snapshot.message),
                        ),
                    )
                ),
            )
            for one in blamed.columns
        ]
    )


def _text(field: Field | None, encoding: str) -> Value | None:
    return None if field is None else _value(field, encoding)


def _value(field: Field, encoding: str) -> Value:
    # The patterns of dumps are late: they would slow down every start.
    from pgsnap.rows.assembled import ROW_HELD_BYTES
    from pgsnap.workflows.past.pages import value_of

    return value_of(field, encoding, ROW_HELD_BYTES)
