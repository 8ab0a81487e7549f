"""The table [schedule] of snap.toml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgsnap.cli.config.keys import Reader, choice, flag, read_keys, text, texts

if TYPE_CHECKING:
    from pgsnap.schedulers.jobs import OnOverlap

# As schedulers.jobs has them, which every start would pay for.
JOBS = ("commit", "gc", "verify", "drill", "check")


@dataclass(frozen=True, slots=True)
class ScheduleTable:
    """What [schedule] says; None where it says nothing. Times are in cron's syntax, and valid.

    The *…_options* are words of the verb's own command line.
    """

    commit: str | None = None
    gc: str | None = None
    verify: str | None = None
    drill: str | None = None
    check: str | None = None
    commit_options: tuple[str, ...] | None = None
    gc_options: tuple[str, ...] | None = None
    verify_options: tuple[str, ...] | None = None
    drill_options: tuple[str, ...] | None = None
    check_options: tuple[str, ...] | None = None
    all_databases: bool = False
    on_overlap: OnOverlap = "skip"
    scheduler: str | None = None

    def times(self) -> dict[str, str]:
        """Return when each job runs that has a time."""
        return {job: when for job in JOBS if (when := getattr(self, job)) is not None}

    def options(self, job: str) -> tuple[str, ...] | None:
        found: tuple[str, ...] | None = getattr(self, f"{job}_options")
        return found


def read_schedule(value: Any, where: str, folder: Path) -> ScheduleTable:
    """Return the table *value*; *where* names it in errors. Raises UsageError."""
    return ScheduleTable(**read_keys(value, where, _READERS, "schedule"))


def _time(value: Any, where: str) -> str:
    # Only here: a file without a schedule does not pay for it.
    from pgsnap.schedulers.cron import parse_cron

    return parse_cron(text(value, where), where).text


_READERS: dict[str, Reader] = {
    **dict.fromkeys(JOBS, _time),
    **{f"{job}_options": texts for job in JOBS},
    "all_databases": flag,
    "on_overlap": choice("wait", "skip"),
    "scheduler": choice("systemd", "cron"),
}

SCHEDULE_KEYS: tuple[str, ...] = tuple(_READERS)
