"""The tables [schedule] and [drill] of snap.toml, and the options of `snap schedule` that override
the former."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgsnap.cli.config.keys import (
    Option,
    choice,
    flag,
    key,
    keys_of,
    path,
    read_keys,
    text,
    texts,
)
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.schedulers.jobs import OnOverlap

# As in schedulers.jobs, whose import would slow down every start.
JOBS = ("commit", "push", "gc", "remote-gc", "verify", "remote-verify", "drill", "check")


def key_of(job: str) -> str:
    """Return the key of [schedule] with the time of *job*."""
    return job.replace("-", "_")


def _time(value: Any, where: str, folder: Path) -> str:
    # Imported here, so that a file without a schedule does not pay for it.
    from pgsnap.schedulers.cron import parse_cron

    return parse_cron(text(value, where, folder), where).text


def _job(name: str, shown: str = "") -> str | None:
    """Declare the time of the job *name*."""
    verb = name.removeprefix("remote-")
    runs = f"`snap {verb}`" if verb == name else f"`snap {verb} --remote NAME`, for each remote"
    words = f"When to run {runs}, in cron's syntax."
    option = Option(f"--{name}", "CRON", words)
    return key(
        None,
        _time,
        shown,
        meaning="when that verb runs; those of a remote once for each",
        option=option,
    )


def _words(shown: str = "") -> tuple[str, ...] | None:
    """Declare extra arguments for a verb."""
    return key(
        None,
        texts,
        shown,
        meaning='words of its command line, as in `["--sample", "10%"]`. Without any `verify` '
        "runs with `--data`, `remote_verify` with `--sample 10%`, and a commit's message "
        "is `scheduled`",
    )


@dataclass(frozen=True, slots=True)
class ScheduleTable:
    """The values of [schedule]; None if not set. Times are valid, in cron's syntax."""

    commit: str | None = _job("commit", '"0 2 * * *"')
    push: str | None = _job("push", '"30 2 * * *"')
    gc: str | None = _job("gc")
    remote_gc: str | None = _job("remote-gc")
    verify: str | None = _job("verify", '"0 4 1 * *"')
    remote_verify: str | None = _job("remote-verify")
    drill: str | None = _job("drill")
    check: str | None = _job("check")
    commit_options: tuple[str, ...] | None = _words()
    push_options: tuple[str, ...] | None = _words()
    gc_options: tuple[str, ...] | None = _words()
    remote_gc_options: tuple[str, ...] | None = _words()
    verify_options: tuple[str, ...] | None = _words('["--sample", "10%"]')
    remote_verify_options: tuple[str, ...] | None = _words()
    drill_options: tuple[str, ...] | None = _words()
    check_options: tuple[str, ...] | None = _words()
    all_databases: bool = key(
        False,
        flag,
        "false",
        meaning="commit every database of the server, each under its own name; one that fails "
        "does not stop the others; half-dropped ones are left out with a warning",
        option=Option("--all-databases", "", "Commit every database of the server, one by one."),
    )
    on_overlap: OnOverlap = key(
        "skip",
        choice("wait", "skip"),
        '"skip"',
        meaning='what a run does while the one before it goes on: `"skip"` (the default) or '
        '`"wait"`',
        option=Option(
            "--on-overlap",
            "wait|skip",
            "What a run does while the one before it goes on. [default: skip]",
        ),
    )
    scheduler: str | None = key(
        None,
        choice("systemd", "cron"),
        meaning='`"systemd"` or `"cron"`; by default systemd\'s timers where systemd runs',
        option=Option(
            "--with",
            "systemd|cron",
            "What starts the runs. [default: systemd where it runs, else cron]",
        ),
    )

    def times(self) -> dict[str, str]:
        """Return the times of the jobs that have one."""
        times = ((job, getattr(self, key_of(job))) for job in JOBS)
        return {job: when for job, when in times if when is not None}

    def options(self, job: str) -> tuple[str, ...] | None:
        found: tuple[str, ...] | None = getattr(self, f"{key_of(job)}_options")
        return found


SCHEDULE_KEYS = keys_of(ScheduleTable)


def read_schedule(value: Any, where: str, folder: Path) -> ScheduleTable:
    """Parse the table *value*; *where* names it in errors. Raises UsageError."""
    return ScheduleTable(**read_keys(value, where, folder, SCHEDULE_KEYS, "schedule"))


REPORT_NAME = "rollback-test-report.json"


@dataclass(frozen=True, slots=True)
class DrillTable:
    """The keys of the table."""

    report: Path | None = key(
        None, path, f'"{REPORT_NAME}"', meaning="the JSON report of `snap drill`"
    )


DRILL_KEYS = keys_of(DrillTable)


def read_drill(value: Any, where: str, folder: Path) -> DrillTable:
    return DrillTable(**read_keys(value, where, folder, DRILL_KEYS, "drill"))


def drill_key() -> DrillTable | None:
    """Declare the table as a field."""
    return key(
        None,
        read_drill,
        "",
        "Where `snap drill` writes its report, by default in the folder where it is run:",
        "what a drill writes",
        flags="`--report` (drill)",
        default="`rollback-test-report.json` in the working folder",
        keys=DRILL_KEYS,
    )
