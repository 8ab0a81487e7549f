"""What the page is made over: a repository, and what is known beside it. The command line makes
it; this room reads no settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime

from pgsnap.repository.audit_log import AuditEntries
from pgsnap.repository.repository import Repository
from pgsnap.schedulers.state import Installed, RunRecord
from pgsnap.values import dataclass
from pgsnap.workflows.sync.fetch import Fetched
from pgsnap.workflows.watch.check import RemoteSeen


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """A job that was installed, and its last run; *idle* is why it is not started, "" if it is;
    *next* when it is."""

    installed: Installed
    last: RunRecord | None
    is_running: bool
    idle: str
    next: datetime | None


@dataclass(frozen=True, slots=True)
class Remote:
    """A remote as it is known here; nobody asks its store for this."""

    seen: RemoteSeen
    fetched: Fetched | None


@dataclass(frozen=True, slots=True)
class Service:
    """The *repository* by its name, and functions that look, each called for a request on a thread
    of its own: *open* gives the repository, for reading."""

    repository: str
    open: Callable[[], AbstractContextManager[Repository]]
    schedule: Callable[[], Sequence[ScheduledJob]]
    remotes: Callable[[], Sequence[Remote]]
    audit: Callable[[], AuditEntries]
