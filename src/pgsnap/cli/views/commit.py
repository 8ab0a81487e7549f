"""What `snap commit` prints: the snapshot, and whatever the user should know about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgsnap.cli.console.console import Console
from pgsnap.cli.text import render
from pgsnap.cli.views.snapshot import snapshot_fields, summary_line
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import ChangesMissed

if TYPE_CHECKING:
    from pgsnap.workflows.commit.commit import CommitReport
    from pgsnap.workflows.notes.verdicts import Drilled


def warn_of_commit(
    invocation: Invocation, report: CommitReport, database: str, last: Drilled | None
) -> None:
    """Warn of whatever is unusual about a commit; *last* is the last drill of *database*."""
    console = invocation.console
    _warn_of_contents(console, report)
    _tell_of_chain(console, report)
    _warn_of_drill(invocation, database, last)
    for refused in report.tags_refused:
        console.warn(
            f'warning: tag "{refused}" was set by another process meanwhile; move it with '
            f"`snap tag --force {refused} {render.short_id(report.snapshot_id)}`"
        )
    _tell_of_reading(console, report)


def _tell_of_reading(console: Console, report: CommitReport) -> None:
    """Report why more was read than had changed, as far as known."""
    why, reading = render.plain(report.read_in_full_because), report.snapshot.reading
    if "unnoticed" in why:
        console.warn(
            f"warning: everything was read: {why}. When that is understood:"
            " snap commit --full --acknowledge -m TEXT"
        )
    elif why and console.verbose:
        console.tell(f"everything was read: {why}")
    if reading is None or not console.verbose:
        return
    if reading.blocks:
        way = f", found by {reading.way}" if reading.way is not None else ""
        console.tell(f"read {reading.blocks_read} of {reading.blocks} blocks{way}")
    for each in reading.full_reads:
        table = render.plain(f"{each.schema}.{each.table}")
        console.tell(f"read in full: {table}: {render.plain(each.reason)}")
    if (more := reading.full_read_count - len(reading.full_reads)) > 0:
        console.tell(f"read in full: {render.plural(more, 'more table')}")


def check_nothing_missed(report: CommitReport) -> None:
    """Raise ChangesMissed if an earlier commit did not see a change; the new snapshot is sound."""
    if not report.missed:
        return
    sections = ", ".join(map(str, report.missed[:3]))
    short = render.short_id(report.snapshot_id)
    raise ChangesMissed(
        f"changes of {sections} went unnoticed by an earlier commit",
        detail=f"Snapshot {short} was made by reading everything, so it is sound. Those before it,"
        " up to the last that read everything, may show such sections as they were earlier. Until"
        " this is acknowledged every commit reads everything.",
        hint="Find out why (the server's log; snap commit -m TEXT --verbose) and report it as a bug"
        " of snap; then: snap commit --full --acknowledge -m TEXT",
    )


def _warn_of_contents(console: Console, report: CommitReport) -> None:
    """Warn of data that the dump lacks."""
    from pgsnap.sources.extensions import left_behind
    from pgsnap.sources.parts import WITHOUT_RIGHTS, left_out

    origin = report.snapshot.origin
    if origin.part:
        console.warn(
            f"warning: the dump is of a part: it was made without {render.plain(left_out(origin))}"
        )
    if origin.lacks_rights:
        console.warn(f"warning: {WITHOUT_RIGHTS}")
    for words in left_behind(origin):
        console.warn(f"warning: {words}")


def _warn_of_drill(invocation: Invocation, database: str, last: Drilled | None) -> None:
    if last is not None and not last.passed:
        why = f": {render.plain(last.reason)}" if last.reason else ""
        invocation.console.warn(
            f"warning: the last drill of {render.plain(database)} failed"
            f" {render.ago(last.time, invocation.now)}{why}. What cannot be restored is no"
            " backup; when that is mended: snap drill"
        )


def _tell_of_chain(console: Console, report: CommitReport) -> None:
    """Report anything unusual about the snapshot's place among those of its label."""
    label = render.plain(report.snapshot.database)
    if report.recorded and report.other is not None:
        other, here = report.other.origin, report.snapshot.origin.system_identifier
        place = render.plain(other.host or "an unknown address")
        there = f"{label}@{other.system_identifier}"
        console.warn(
            f"warning: this is another server (system identifier {here}) than that of the newest"
            f" snapshot of {label} before ({other.system_identifier}, {place}). Each has a chain of"
            " its own: latest, parents, retention and check go by the server that is connected to."
            f" If the other one is gone for good: snap database adopt {there}. If both are in use,"
            " give them labels of their own: --database NAME"
        )
    if report.is_of_unknown_server:
        console.warn(
            f"warning: this server does not say which one it is, and {label} has snapshots of"
            " several: this one stands with those of the newest. Let the role call"
            " pg_control_system(), or give it a label of its own: --database NAME"
        )
    if report.ahead is not None:
        short = render.short_id(report.ahead)
        console.warn(
            f"warning: snapshot {short} is dated in the future: a clock was wrong. This one is"
            " dated by the clock as it is; `latest` means the newest that is not of the future. If"
            f" that snapshot is not needed: snap forget {short}"
        )


def commit_fields(report: CommitReport) -> dict[str, Any]:
    """Return the fields for --json."""
    return {
        **snapshot_fields(report.snapshot_id, report.snapshot, report.tags),
        "new_bytes": report.stored_bytes,
        "recorded": report.recorded,
        "unchanged": report.unchanged,
        "globals_changed": report.globals_changed,
        "tags_refused": report.tags_refused,
        "system_identifier": report.snapshot.origin.system_identifier,
        "another_server": report.other.origin.system_identifier if report.other else None,
    }


def commit_lines(report: CommitReport) -> list[str]:
    """Return the lines for the terminal."""
    lines = []
    if report.unchanged:
        words = "nothing changed"
        if report.globals_changed:
            words = "nothing changed in the database; only roles or tablespaces did"
        lines.append(words if report.recorded else f"{words}, no new snapshot made")
    lines.append(summary_line(report.snapshot_id, report.snapshot))
    return lines
