"""A check as one line, in Nagios' format, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.text.program import named
from pgsnap.errors import CheckRed

if TYPE_CHECKING:
    from pgsnap.workflows.watch.check import CheckReport, RemoteSeen

# Indexed by `Verdict`, whose import would slow down every start.
LEVELS = ("ok", "ok", "warning", "red")
STYLES = ("green", "green", "yellow", "red")
_NAGIOS = ("OK", "OK", "WARNING", "CRITICAL")
# NRPE, which transports the line, truncates it after 1,024 bytes.
_TEXT_BYTES = 560
_FIGURES_BYTES = 360


def exit_code(report: CheckReport, *, nagios: bool) -> int:
    """Return 0 or 4; with *nagios* 0, 1 or 2."""
    if nagios:
        return max(0, report.verdict - 1)
    return CheckRed.exit_code if LEVELS[report.verdict] == "red" else 0


def line(report: CheckReport, *, nagios: bool = False, colour: bool = False) -> str:
    """Return the line, the worst first: red findings, then warnings, or that all is well. Nagios
    gets it without colour."""
    worst = sorted(report.findings, key=lambda finding: -finding.verdict)
    level = LEVELS[report.verdict]
    shown = worst if level == "ok" else [f for f in worst if LEVELS[f.verdict] != "ok"]
    # A vertical bar starts Nagios' performance data.
    texts = [render.plain(finding.reason).replace("|", "/") for finding in shown]
    if not nagios:
        mark = render.style(f"{level}:", STYLES[report.verdict], colour)
        return f"{mark} {named('; '.join(texts))}"
    figures = _figures(report)
    text = _bounded([*map(named, texts)], "; ", _TEXT_BYTES, named("see snap check"))
    return f"SNAP {_NAGIOS[report.verdict]} - {text}" + (f" | {figures}" if figures else "")


def _bounded(parts: list[str], separator: str, size: int, more: str) -> str:
    """Return as many of *parts* as fit in *size* bytes, at least a piece of the first, and how many
    are left out."""
    shown: list[str] = []
    for part in parts:
        if len(separator.join([*shown, part]).encode("utf-8", "replace")) > size:
            break
        shown.append(part)
    left_out = len(parts) - len(shown)
    if left_out and not shown:
        shown, left_out = [parts[0].encode("utf-8", "replace")[:size].decode("utf-8", "ignore")], 0
        return f"{shown[0]}..., {more}"
    return separator.join(shown) + (f"{separator}{left_out} more, {more}" if left_out else "")


def _figures(report: CheckReport) -> str:
    ages = [
        (max(0, round((report.now - state.time).total_seconds())), state.name)
        for state in report.labels
        if state.time is not None
    ]
    words = []
    for age, label in ages:
        name = render.plain(label).replace("'", "").replace("=", "")
        words.append(f"'age {name}'={age}s")
    if len(" ".join(words).encode("utf-8", "replace")) > _FIGURES_BYTES:
        # Too many single values are of no use, and would be truncated.
        words = [f"'age oldest'={max(ages)[0]}s", f"databases={len(ages)}"]
    if report.free_bytes is not None:
        words.append(f"free={report.free_bytes}B")
    return " ".join(words)


def check_fields(report: CheckReport, code: int) -> dict[str, Any]:
    """Return the --json fields."""
    waits = report.lock_waits
    return {
        "status": LEVELS[report.verdict],
        "exit_code": code,
        "line": line(report),
        "time": report.now,
        "findings": [
            {
                "level": LEVELS[f.verdict],
                "what": f.check,
                "database": f.database,
                "text": named(f.reason),
            }
            for f in report.findings
        ],
        "databases": [
            {
                **render.fields_of(
                    state, time="snapshot_time", server="system_identifier", name="", servers=""
                ),
                "system_identifier": state.server or None,
                "drill_reason": state.drill_reason or None,
                "age_seconds": round((report.now - state.time).total_seconds())
                if state.time
                else None,
            }
            for state in report.labels
        ],
        "kept": [
            {
                "database": kept.label,
                "name": kept.name,
                "since": kept.since,
                "bytes": kept.size_bytes,
                "half_dropped": kept.name in report.half_dropped,
            }
            for kept in report.kept
        ],
        "runs": [render.fields_of(run, pid="") for run in report.runs],
        "lock_waits": waits.sessions if waits is not None else None,
        "longest_lock_wait_seconds": round(waits.longest_seconds, 1) if waits is not None else None,
        "free_bytes": report.free_bytes,
        "remotes": [_remote_fields(remote) for remote in report.remotes],
    }


def _remote_fields(remote: RemoteSeen) -> dict[str, Any]:
    state, last = remote.state, remote.last
    known = state is not None and not state.error
    return {
        "name": remote.name,
        "url": remote.url,
        "push": remote.is_pushed_to,
        "error": state.error or None if state is not None else None,
        "asked": state is not None,
        "encrypted": state.is_encrypted if state is not None else None,
        "snapshots": state.snapshots if state is not None else None,
        "newest": [
            {"database": label, "snapshot_time": time} for label, time in state.newest.items()
        ]
        if state is not None and known
        else None,
        "last_push": last.time if last is not None else None,
        "last_push_error": last.error or None if last is not None else None,
        "last_push_success": last.last_success if last is not None else None,
    }


def news(report: CheckReport) -> list[str]:
    """Return information that is not an alert: kept databases, and sessions waiting for locks."""
    lines = []
    for kept in report.kept:
        size = f", {render.size(kept.size_bytes)}" if kept.size_bytes is not None else ""
        since = render.ago(kept.since, report.now)
        lines.append(f"kept: {kept.name} (was {kept.live}{size}), replaced {since}")
    waits = report.lock_waits
    if waits is not None and waits.sessions:
        longest = render.seconds(waits.longest_seconds)
        sessions = render.plural(waits.sessions, "session")
        lines.append(f"{sessions} of the database wait for locks, the longest for {longest}")
    return lines
