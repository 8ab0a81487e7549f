"""`snap status`: what the live database is, compared with the snapshots."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from pgsnap.cli.text import render
from pgsnap.cli.text.program import named
from pgsnap.cli.views.snapshot import stem_facts, tag_words, when
from pgsnap.cli.wiring.connect import label_of, open_repository, server_of
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.words import some

if TYPE_CHECKING:
    from pgsnap.workflows.notes.bases import Base
    from pgsnap.workflows.watch.status import Difference, StatusReport

EXAMPLES = """
snap status
snap status --json | jq -r .base.snapshot
"""

_HOW = {
    "commit": "it was committed",
    "restore": "it was restored",
    "changed-only": "it was put back (--changed-only)",
}


def run(ctx: typer.Context) -> None:
    """Show which snapshot the live database equals or stems from, and what runs next.

    How much differs is an estimate; `snap diff` compares. Nothing is written.
    """
    from pgsnap.workflows.watch.status import status

    invocation = Invocation.of(ctx)
    settings = invocation.settings
    server = server_of(settings)
    with open_repository(invocation) as repo:
        label = label_of(invocation, repo)
        may_detect = settings.source == "direct" and settings.checkpoint
        report = status(repo, server, label, may_detect=may_detect)
    runs = _next_runs(invocation)
    invocation.console.emit(_fields(report, runs), _lines(report, runs, invocation.now))


def _next_runs(invocation: Invocation) -> list[tuple[str, datetime]]:
    """Return the scheduled jobs that are active, each with its next time, the next one first."""
    from pgsnap.errors import UsageError
    from pgsnap.schedulers.active import active_jobs
    from pgsnap.schedulers.cron import parse_cron
    from pgsnap.schedulers.state import State

    config = invocation.settings.config_path
    if config is None:
        return []
    jobs = State(config, invocation.trust).installed()
    active = {by: active_jobs(config, by) for by in {job.by for job in jobs}}
    found = []
    for job in jobs:
        try:
            times = parse_cron(job.when, job.job)
        except UsageError:
            continue
        moment = times.next_after(invocation.now.astimezone(), skips_gap=job.by == "systemd")
        if moment is not None and job.job in active[job.by]:
            found.append((job.job, moment))
    return sorted(found, key=lambda one: one[1])


def _fields(report: StatusReport, runs: list[tuple[str, datetime]]) -> dict[str, Any]:
    base, difference = report.base, report.difference
    return {
        "label": report.label,
        "database": report.database,
        "host": report.host,
        "base": base
        and {
            "snapshot": base.snapshot_id,
            "tags": base.tags,
            "message": base.snapshot.message,
            "how": base.how,
            "time": base.time,
            "put_back": base.since,
            "stems_from": base.snapshot.stems_from,
        },
        "tables_restored_since": [".".join(table) for one in report.tables for table in one.tables],
        "difference": difference
        and {
            "detected": difference.is_detected,
            "tables": difference.tables,
            "changed_bytes": difference.changed_bytes,
            "rows": difference.rows,
            "size_bytes": difference.size_bytes,
            "reason": difference.reason or None,
            "definitions_changed": difference.definitions_changed,
        },
        "kept": [
            {
                "name": one.name,
                "since": one.since,
                "bytes": one.size_bytes,
                "half_dropped": one.is_half_dropped,
            }
            for one in report.kept
        ],
        "next_runs": [{"job": job, "time": moment} for job, moment in runs],
    }


def _lines(report: StatusReport, runs: list[tuple[str, datetime]], now: datetime) -> list[str]:
    host = render.plain(report.host)
    if report.database is None:
        facts = [("Database", f"there is none on {host}: {named('snap restore REV')} makes it")]
    else:
        facts = [("Database", f"{render.plain(report.database)} on {host}")]
        facts += _base_facts(report.base, now)
    for one in report.tables:
        names = some([render.plain(".".join(table)) for table in one.tables])
        if one.keys:
            names = f"{render.plural(len(one.keys), 'row')} of {names}"
        facts.append(("Tables", f"{names} by a later {one.action}, {render.ago(one.time, now)}"))
    if report.difference is not None:
        facts.append(("Since then", _difference_words(report.difference)))
        if report.difference.definitions_changed:
            words = f"changed, or roles that they name: {named('snap diff')}"
            facts.append(("Definitions", words))
    for kept in report.kept:
        size = render.size(kept.size_bytes) if kept.size_bytes is not None else "size unknown"
        words = f"{render.plain(kept.name)}, replaced {render.ago(kept.since, now)}, {size}"
        facts.append(("Kept", words))
    if report.kept:
        way = "put back: snap undo --whole  drop: snap undo --discard"
        facts[-1] = (facts[-1][0], f"{facts[-1][1]}\n{named(way)}")
    next_words = [f"{job} {render.ago(moment, now)}" for job, moment in runs]
    facts.append(("Next run", ", ".join(next_words) or "none is scheduled"))
    return render.pairs(facts)


def _base_facts(base: Base | None, now: datetime) -> list[tuple[str, str]]:
    if base is None:
        way = named('snap commit -m "first snapshot"')
        return [("Snapshot", f"none of this database: {way}")]
    words = " ".join(filter(None, (render.short_id(base.snapshot_id), tag_words(base.tags))))
    words += f"\n{render.first_line(base.snapshot.message)}"
    facts = [("Snapshot", words), ("As of", f"{when(base.time, now)}, when {_HOW[base.how]}")]
    facts += stem_facts(base.snapshot)
    if base.since is not None:
        facts.append(("Put back", f"{when(base.since, now)}, by {named('snap undo')}"))
    return facts


def _difference_words(difference: Difference) -> str:
    if difference.is_detected:
        if not difference.tables:
            return "no row was written, as far as the server shows"
        count = render.plural(len(difference.tables), "table")
        names = some([render.plain(table) for table in difference.tables])
        size = difference.changed_bytes
        about = f", at most {render.size(size)}" if size is not None else ""
        return f"written to {count} ({names}){about}"
    parts = []
    if difference.rows is not None:
        parts.append(f"about {difference.rows:+,} rows")
    if difference.size_bytes is not None:
        sign = "-" if difference.size_bytes < 0 else "+"
        parts.append(f"{sign}{render.size(abs(difference.size_bytes))} on disk")
    estimate = ", ".join(parts) or "unknown"
    return f"{estimate}; exactly: {named('snap diff')}"
