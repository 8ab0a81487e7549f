"""A snapshot as JSON fields, as lines of `log`, and as part of other pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.text.program import named
from pgsnap.sessions.half_dropped import CANNOT, drop_command

if TYPE_CHECKING:
    from pgsnap.model import SnapshotHead, SnapshotId
    from pgsnap.workflows.history.log import KeptEntry
    from pgsnap.workflows.notes.verdicts import Drilled
    from pgsnap.workflows.retention.forget import ForgottenSnapshot
    from pgsnap.workflows.sync.fetch import RemoteSnapshot

# A day before the end of the calendar, so that it can be shown in every time zone.
_NEVER = datetime(9999, 12, 30, tzinfo=UTC)


def snapshot_fields(
    snapshot_id: SnapshotId, snapshot: SnapshotHead, tags: Sequence[str]
) -> dict[str, Any]:
    """Return the --json fields of a snapshot, the same in every command."""
    return {
        "id": snapshot_id,
        "database": snapshot.database,
        "tags": tags,
        "time": snapshot.time,
        "message": snapshot.message,
        "parent": snapshot.parent,
        "stems_from": snapshot.stems_from,
        "root": snapshot.root,
        "leaf_root": snapshot.leaf_root,
        "tables": snapshot.table_count,
        "rows": snapshot.rows,
        "bytes": snapshot.plain_bytes,
        "new_bytes": snapshot.stored_bytes,
        "duration_ms": snapshot.duration_ms,
    }


def summary_line(snapshot_id: SnapshotId, snapshot: SnapshotHead) -> str:
    """Return the last line of a commit: id, database, tables, bytes, new bytes, time."""
    return "  ".join(
        (
            render.short_id(snapshot_id),
            render.plain(snapshot.database),
            render.plural(snapshot.table_count, "table"),
            render.size(snapshot.plain_bytes),
            f"{render.size(snapshot.stored_bytes)} new",
            render.seconds(snapshot.duration_ms / 1000),
        )
    )


def ahead_words(snapshot_id: SnapshotId, time: datetime, now: datetime) -> str:
    """Return what to do about a snapshot dated in the future, "" for any other."""
    if time <= now:
        return ""
    from pgsnap.repository.snapshots.label_chains import CLOCK_SLACK

    if time <= now + CLOCK_SLACK:
        return ""
    return (
        "it is dated in the future: a clock was wrong. `latest` passes over it; where it is not"
        f" needed: {named('snap forget')} {render.short_id(snapshot_id)}"
    )


def when(moment: datetime, now: datetime) -> str:
    """Return a time, absolute and relative: ``2026-01-02 14:30:05 +0100 (3 hours ago)``."""
    return f"{render.clock(moment)} ({render.ago(moment, now)})"


def snapshot_words(snapshot_id: SnapshotId, snapshot: SnapshotHead, now: datetime) -> str:
    """Return the snapshot of a plan: id, database and time, and below them its message."""
    head = f"{render.short_id(snapshot_id)} of {render.plain(snapshot.database)}"
    return f"{head}, {when(snapshot.time, now)}\n{render.first_line(snapshot.message)}"


def server_words(host: str, version: str) -> str:
    """Return the server of a plan; *version* is shown without a distribution's suffix."""
    return f"{render.plain(host)}, PostgreSQL {render.plain(version.partition(' (')[0])}"


def drill_fields(drilled: Drilled | None) -> dict[str, Any]:
    """Return the --json fields of the last drill of a snapshot."""
    if drilled is None:
        return dict.fromkeys(("drilled", "drill_passed", "drill_reason"))
    return {
        "drilled": drilled.time,
        "drill_passed": drilled.passed,
        "drill_reason": drilled.reason or None,
    }


def drill_mark(drilled: Drilled, now: datetime) -> str:
    """Return ``drilled 2 days ago``."""
    how = "drilled" if drilled.passed else "drill FAILED"
    without = f" (without {render.plain(drilled.left_out)})" if drilled.left_out else ""
    return f"{how} {render.ago(drilled.time, now)}{without}"


def drill_words(drilled: Drilled, now: datetime) -> str:
    """Return ``drilled 2 days ago``, or that it failed and why."""
    words = drill_mark(drilled, now)
    return f"{words}: {render.plain(drilled.reason)}" if drilled.reason else words


def tag_words(tags: Sequence[str]) -> str:
    """Return ``(pre-migration, v2)``, or "" without tags."""
    return f"({', '.join(render.plain(tag) for tag in tags)})" if tags else ""


def log_block(
    snapshot_id: SnapshotId,
    snapshot: SnapshotHead,
    tags: Sequence[str],
    *,
    now: datetime,
    colour: bool,
    more: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """Return one entry of `snap log`; *more* facts come last."""
    title = render.style(f"snapshot {render.short_id(snapshot_id)}", "yellow", colour)
    if tags:
        title += " " + render.style(tag_words(tags), "green", colour)
    contents = (
        f"{render.size(snapshot.plain_bytes)} in {render.plural(snapshot.table_count, 'table')}, "
        f"{render.plural(snapshot.rows, 'row')}; {render.size(snapshot.stored_bytes)} new"
    )
    facts = [
        ("Database", render.plain(snapshot.database)),
        ("Date", when(snapshot.time, now)),
        ("Size", contents),
        *stem_facts(snapshot),
        *more,
    ]
    return [title, *render.pairs(facts), "", *render.indented(snapshot.message), ""]


def stem_facts(snapshot: SnapshotHead) -> list[tuple[str, str]]:
    """Return which snapshot had been put back before this one was recorded, if one had."""
    if snapshot.stems_from is None:
        return []
    return [("Stems from", f"{render.short_id(snapshot.stems_from)}, which had been put back")]


def log_rows(
    entries: Sequence[tuple[SnapshotId, SnapshotHead, Sequence[str]]],
    *,
    now: datetime,
    several_databases: bool,
    drills: Mapping[SnapshotId, Drilled] | None = None,
    colour: bool = False,
) -> list[str]:
    """Return the lines of `snap log --oneline`."""
    rows = []
    for snapshot_id, snapshot, tags in entries:
        last = (drills or {}).get(snapshot_id)
        mark = f"[{drill_mark(last, now)}]" if last is not None else ""
        named_so = render.style(tag_words(tags), "green", colour) if tags else ""
        words = " ".join(filter(None, (named_so, mark, render.first_line(snapshot.message))))
        row = [
            render.style(render.short_id(snapshot_id), "yellow", colour),
            render.plain(snapshot.database),
            render.ago(snapshot.time, now),
            render.size(snapshot.plain_bytes),
            f"+{render.size(snapshot.stored_bytes)}",
            words,
        ]
        rows.append(row if several_databases else row[:1] + row[2:])
    first = 3 if several_databases else 2
    return render.columns(rows, right=frozenset({first, first + 1}))


def kept_fields(kept: KeptEntry) -> dict[str, Any]:
    """Return the --json fields of a kept database."""
    return render.fields_of(kept, database="", size_bytes="bytes", is_half_dropped="half_dropped")


def kept_lines(kept: Sequence[KeptEntry], now: datetime) -> list[str]:
    """Return each kept database with name, age and size, and what to do with the last one."""
    lines = []
    for one in kept:
        words = [f"kept: {render.plain(one.name)}", f"replaced {render.ago(one.since, now)}"]
        if one.size_bytes is not None:
            words.append(render.size(one.size_bytes))
        if one.is_half_dropped:
            words.append(CANNOT)
        lines.append("  ".join(words))
        if one.is_half_dropped:
            lines.append(f"      drop: {render.plain(drop_command(one.name))}")
        # Both commands apply to the last one, whatever was restored in it since.
        elif one.live not in {other.live for other in kept[: kept.index(one)]}:
            lines.append(named("      put back: snap undo --whole  drop: snap undo --discard"))
    return lines


def remote_fields(one: RemoteSnapshot) -> dict[str, Any]:
    """Return the --json form of what a fetch found."""
    return {
        "id": one.snapshot_id.hex(),
        "database": one.database,
        "tags": list(one.tags),
        "time": one.time,
        "message": one.message,
        "here": one.is_here,
    }


def remote_rows(snapshots: Sequence[RemoteSnapshot]) -> list[str]:
    """Return a line for each."""
    return render.columns(
        [
            (
                render.short_id(one.snapshot_id),
                render.plain(one.database),
                render.clock(one.time),
                "" if one.is_here else "not here",
                render.plain(", ".join(one.tags)),
                render.first_line(one.message),
            )
            for one in snapshots
        ]
    )


def forgotten_fields(one: ForgottenSnapshot, grace: timedelta) -> dict[str, Any]:
    """Return the --json fields of a forgotten snapshot."""
    return {
        **snapshot_fields(one.snapshot_id, one.snapshot, one.tags),
        "since": one.since,
        "until": until(one.since, grace),
    }


def until_words(since: datetime, grace: timedelta) -> str:
    """Return how long a snapshot can be brought back: ``can be brought back
    until 2026-01-09 14:30:00 +0100``."""
    return f"can be brought back until {render.clock(until(since, grace))}"


def until(since: datetime, grace: timedelta) -> datetime:
    """Return the end of the grace period; the first gc after that drops the snapshot."""
    try:
        return min(since + grace, _NEVER)
    except OverflowError:
        return _NEVER
