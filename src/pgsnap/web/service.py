"""What the page is made over: a repository, and what is known beside it. The command line makes
it; this room reads no settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pgsnap.repository.repository import Repository


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """A job of the schedule. *next* is None where it is not known; *by* is what starts it, "" if it
    is in snap.toml but not installed."""

    name: str
    when: str
    by: str
    next: datetime | None
    started: datetime | None = None
    seconds: float | None = None
    exit_code: int | None = None
    error: str = ""
    last_success: datetime | None = None
    is_running: bool = False


@dataclass(frozen=True, slots=True)
class RemoteFacts:
    """A remote of snap.toml, and what is known here without asking it."""

    name: str
    url: str
    pushed: datetime | None = None
    push_error: str = ""
    fetched: datetime | None = None
    newest: dict[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Service:
    """The *repository* by its name, and functions that look: each is called anew for a request, on
    a thread of its own. *open* gives the repository, for reading."""

    repository: str
    open: Callable[[], AbstractContextManager[Repository]]
    schedule: Callable[[], Sequence[ScheduledJob]]
    remotes: Callable[[], Sequence[RemoteFacts]]
    audit: Callable[[], Sequence[dict[str, Any]]]
