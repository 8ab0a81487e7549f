"""What can be scheduled, and how a run of it is started."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Literal, TypeAlias

from blake3 import blake3

from pgsnap.errors import SnapError, UsageError
from pgsnap.schedulers.cron import CronTime
from pgsnap.values import dataclass

JOBS = ("commit", "push", "gc", "remote-gc", "verify", "remote-verify", "drill", "check")

OnOverlap: TypeAlias = Literal["wait", "skip"]


class SchedulerFailed(SnapError):
    """The system's scheduler did not do what was requested."""

    kind = "scheduler"


@dataclass(frozen=True, slots=True)
class Job:
    """A verb that runs at certain times.

    *argv* starts one run; it contains no secret.
    """

    name: str
    when: CronTime
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """The jobs of one configuration file."""

    config: Path
    jobs: tuple[Job, ...]

    def __post_init__(self) -> None:
        # A line end would start a new line in a crontab or a unit.
        if not str(self.config).isprintable():
            raise UsageError(f"a schedule cannot name the file {str(self.config)!r}")
        for word in (word for job in self.jobs for word in job.argv):
            if not word.isprintable():
                raise UsageError(f"a schedule cannot name {word!r}")


def unit_stem(config: Path) -> str:
    """Return the prefix of the unit names of *config*.

    Not "snap-": on Ubuntu units of that name belong to snapd."""
    words = re.sub(r"[^a-z0-9]+", "-", config.parent.name.lower()).strip("-")[:24] or "database"
    return f"pgsnap-{words}-{blake3(str(config).encode()).hexdigest(length=4)}"


def shell_line(argv: tuple[str, ...]) -> str:
    """Return *argv* quoted for a shell."""
    return shlex.join(argv)
