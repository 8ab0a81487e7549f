"""The result of a drill: lines for people, and the JSON report with its stable fields."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pgsnap import __version__
from pgsnap.cli.text import render
from pgsnap.cli.text.redact import redact

if TYPE_CHECKING:
    from pgsnap.workflows.drill.report import Check, DrillReport, RowFinding, TableFinding

_COLOURS = {"passed": "green", "failed": "red", "skipped": "yellow"}


def drill_fields(report: DrillReport) -> dict[str, Any]:
    """Return the report as it is written to its file and shown with --json."""
    from pgsnap.workflows.drill.report import REPORT_SCHEMA

    recovery = report.recovery
    rate = None
    if recovery is not None:
        rate = round(recovery.plain_bytes / max(recovery.seconds, 0.001))
    return {
        "schema_version": REPORT_SCHEMA,
        "snap": __version__,
        "passed": report.passed,
        "dry_run": report.dry_run,
        "started": report.started.replace(microsecond=0),
        "finished": (report.started + timedelta(seconds=report.seconds)).replace(microsecond=0),
        "seconds": report.seconds,
        "database": report.snapshot.database,
        "snapshot": report.snapshot_id,
        "snapshot_time": report.snapshot.time,
        "place": report.place,
        "host": report.host or None,
        "server_version": report.server_version or None,
        "recovery_seconds": recovery.seconds if recovery is not None else None,
        "recovery_bytes": recovery.plain_bytes if recovery is not None else None,
        "recovery_rows": recovery.rows if recovery is not None else None,
        "recovery_bytes_per_second": rate,
        "checks": [_check_fields(check) for check in report.checks],
        "tables": [_table_fields(table) for table in report.tables],
        "left_out": report.left_out or None,
    }


def _check_fields(check: Check) -> dict[str, Any]:
    return {
        "name": check.check,
        "title": check.title,
        "status": check.status,
        "reason": redact(check.reason),
        "details": [redact(line) for line in check.details],
        "hint": redact(check.help),
        "seconds": check.seconds,
    }


def _table_fields(table: TableFinding) -> dict[str, Any]:
    return render.fields_of(table) | {"rows": [_row_fields(row) for row in table.rows]}


def _row_fields(row: RowFinding) -> dict[str, Any]:
    key = [{"column": name, "value": value} for name, value in row.key.items()]
    return render.fields_of(row) | {"key": key}


def drill_lines(report: DrillReport, *, verbose: bool, colour: bool) -> list[str]:
    """Return a line for each check, with details below a failed one; with *verbose* below each,
    and with its time."""
    lines = []
    for check in report.checks:
        lines += _check_lines(check, verbose=verbose, colour=colour)
    lines += [f"note: {render.plain(redact(notice))}" for notice in report.notices]
    if report.left_out:
        words = render.plain(redact(report.left_out))
        lines.append(f"only a part is tried: the snapshot was made without {words}")
    recovery = report.recovery
    if recovery is not None:
        lines.append(
            f"time to recover: {render.seconds(recovery.seconds)}"
            f" ({render.size(recovery.plain_bytes)},"
            f" {render.rate(recovery.plain_bytes, recovery.seconds)})"
        )
        if verbose:
            spent = (f"{name} {render.seconds(time)}" for name, time in recovery.phases.items())
            lines.append(f"  {', '.join(spent)}")
    counts = [
        f"{sum(check.status == status for check in report.checks)} {status}"
        for status in ("passed", "failed", "skipped")
    ]
    verdict = "drill passed" if report.passed else "drill FAILED"
    if report.dry_run:
        verdict = "dry run" if report.passed else "dry run FAILED"
    lines.append(
        f"{verdict}  {render.short_id(report.snapshot_id)}"
        f"  {render.plain(report.snapshot.database)}  {', '.join(counts)}"
        f"  {render.seconds(report.seconds)}"
    )
    return lines


def _check_lines(check: Check, *, verbose: bool, colour: bool) -> list[str]:
    mark = render.style(f"{check.status:<7}", _COLOURS[check.status], colour)
    words = render.plain(redact(check.reason))
    took = f" [{render.seconds(check.seconds)}]" if verbose else ""
    lines = [f"{mark}  {check.title}: {words}{took}"]
    if verbose or check.status == "failed":
        for detail in check.details:
            shown = render.plain(redact(detail), keep_lines=True).splitlines()
            lines += [f"           {line}" for line in shown]
        if check.help and check.status == "failed":
            lines.append(f"           HINT:  {render.plain(redact(check.help))}")
    return lines
