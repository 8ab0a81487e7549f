"""How a garbage collection is shown, and encrypting again, which rewrites packs as one does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.text.program import named
from pgsnap.errors import CorruptionError, ObjectLocked, StoreFull

if TYPE_CHECKING:
    from pgsnap.maintenance.resealing import Resealed
    from pgsnap.workflows.retention.gc import ExpiredSnapshot, GcReport
    from pgsnap.workflows.retention.policy import Decision, Policy

_AGAIN = "snap key reencrypt"


def gc_lines(report: GcReport, *, colour: bool) -> list[str]:
    """Return the snapshots with the reasons, without a dry run only those dropped; then the freed
    space."""
    shown = [one for one in report.decisions if report.dry_run or not one.keep]
    rows = [_row(one, colour) for one in shown]
    rows += [_expired_row(one, report, colour) for one in report.expired if _is_other(one, shown)]
    lines = render.columns(rows)
    if len({one.snapshot.database for one in report.decisions}) == 1:
        # With a single database its column is redundant.
        lines = render.columns([[*row[:2], *row[3:]] for row in rows])
    if lines:
        lines.append("")
    return [*lines, _summary(report)]


def _row(one: Decision, colour: bool) -> list[str]:
    return [
        "keep" if one.keep else render.style("drop", "yellow", colour),
        render.short_id(one.snapshot_id),
        render.plain(one.snapshot.database),
        render.clock(one.snapshot.time),
        render.plain(", ".join(one.reasons)),
    ]


def _expired_row(one: ExpiredSnapshot, report: GcReport, colour: bool) -> list[str]:
    return [
        render.style("free", "red", colour),
        render.short_id(one.snapshot_id),
        render.plain(one.snapshot.database),
        render.clock(one.snapshot.time),
        f"forgotten {one.since.astimezone():%Y-%m-%d %H:%M}, the grace period is over",
    ]


def _is_other(one: ExpiredSnapshot, shown: Sequence[Decision]) -> bool:
    return all(one.snapshot_id != decision.snapshot_id for decision in shown)


def _summary(report: GcReport) -> str:
    kept = sum(decision.keep for decision in report.decisions)
    dropped = len(report.decisions) - kept
    freed = render.size(report.freed_bytes)
    words = [f"{kept} kept", f"{dropped} dropped"]
    if report.waiting:
        words.append(f"{report.waiting} can be brought back")
    if report.dry_run:
        words.append(f"about {freed} would be freed of {render.size(report.bytes_before)}")
    else:
        words.append(f"{freed} freed, {render.size(report.bytes_after)} left")
    if report.packs_marked and report.marked_until is not None:
        until = render.clock(report.marked_until)
        marked = render.plural(report.packs_marked, "pack")
        words.append(f"{marked} marked, to be deleted by a gc after {until}")
    words.append(render.seconds(report.seconds))
    return "  ".join(words)


def hint(report: GcReport) -> str:
    """Return a hint on what can still be brought back; "" if there is nothing."""
    if report.dry_run or not report.waiting or report.waiting_until is None:
        return ""
    until = render.clock(report.waiting_until)
    return (
        f"{render.plural(report.waiting, 'forgotten snapshot')} can be brought back with "
        f"snap unforget, the first of them until {until}; to free them at once: snap gc --grace 0s"
    )


def warnings(report: GcReport) -> Iterator[str]:
    """Yield sentences on packs that were left alone, and on what a retention protects."""
    if report.unreadable:
        names = ", ".join(render.plain(name) for name in report.unreadable[:3])
        more = len(report.unreadable) - 3
        packs = render.plural(len(report.unreadable), "damaged pack")
        rest = f" and {more} more" if more > 0 else ""
        yield f"{packs} left alone: {names}{rest}; see snap verify"
    if isinstance(report.refused, ObjectLocked):
        yield (
            "the store protects some of what was to be deleted until its retention ends, and a"
            f" later gc deletes it: {render.plain(report.refused.detail)}"
        )


def gc_fields(report: GcReport, policy: Policy, grace: timedelta) -> dict[str, Any]:
    """Return the --json fields of a garbage collection."""
    return {
        "dry_run": report.dry_run,
        "policy": policy.words(),
        "grace_seconds": grace.total_seconds(),
        "kept": [_decision(one) for one in report.decisions if one.keep],
        "dropped": [_decision(one) for one in report.decisions if not one.keep],
        **render.fields_of(
            report, decisions="", unreadable="unreadable_packs", full="", refused=""
        ),
        "expired": [{**_of_snapshot(one), "since": one.since} for one in report.expired],
        "freed_bytes": report.freed_bytes,
        "complete": report.full is None and report.refused is None,
    }


def _decision(one: Decision) -> dict[str, Any]:
    return {
        **_of_snapshot(one),
        "tags": one.tags,
        "reasons": one.reasons,
    }


def _of_snapshot(one: Decision | ExpiredSnapshot) -> dict[str, Any]:
    return {"id": one.snapshot_id, "database": one.snapshot.database, "time": one.snapshot.time}


def resealed_fields(done: Resealed) -> dict[str, Any]:
    return {
        "objects": done.objects,
        "packs": done.packs,
        "damaged": done.damaged,
        "packs_marked": done.marked,
        "marked_until": done.marked_until,
        "complete": done.is_complete,
    }


def resealed_lines(done: Resealed) -> list[str]:
    packs = render.plural(done.packs, "pack")
    objects = render.plural(done.objects, "manifest, tag or note", "manifests, tags and notes")
    lines = [f"encrypted again with the newest key: {objects}, {packs}"]
    lines += [f"not encrypted again: {render.plain(name)} does not open" for name in done.damaged]
    if done.marked_until is not None:
        until = render.json_time(done.marked_until)
        lines.append(
            f"{render.plural(done.marked, 'pack')} of older keys can be deleted after {until}, by"
            f" the next {named(f'snap gc, or {_AGAIN}')}"
        )
    return lines


def refuse_incomplete(done: Resealed) -> None:
    """Raise StoreFull or CorruptionError if something could not be encrypted again."""
    if done.full is not None:
        raise StoreFull(
            "the disk is full, so not all could be encrypted again",
            detail=f"{done.full.message[:1].upper()}{done.full.message[1:]}. What was done stays,"
            " and all snapshots can be read.",
            hint=f"Make some room, then continue: {_AGAIN}",
        )
    if done.damaged:
        raise CorruptionError(
            f"{render.plural(len(done.damaged), 'object')} could not be encrypted again",
            detail="They are damaged, and stay as they are.",
            hint=f"See what mends them: snap verify. Then continue: {_AGAIN}",
        )
