"""The table [retention] of snap.toml."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pgsnap.cli.config.keys import Reader, read_keys
from pgsnap.cli.text.duration import parse_timedelta
from pgsnap.errors import UsageError


@dataclass(frozen=True, slots=True)
class RetentionTable:
    """What [retention] says; None where it says nothing."""

    last: int | None = None
    hourly: int | None = None
    daily: int | None = None
    weekly: int | None = None
    monthly: int | None = None
    yearly: int | None = None
    within: timedelta | None = None
    tags: tuple[str, ...] | None = None
    grace: timedelta | None = None
    retire_after: timedelta | None = None


def read_retention(value: Any, where: str, folder: Path) -> RetentionTable:
    """Return the table *value*; *where* names it in errors. Raises UsageError."""
    return RetentionTable(**read_keys(value, where, _READERS, "retention"))


def _count(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"{where} must be a number of snapshots, 0 or more")
    return value


def _duration(value: Any, where: str) -> timedelta:
    if not isinstance(value, str):
        raise UsageError(f'{where} must be a duration in quotes, such as "30d"')
    return parse_timedelta(value, where)


def _globs(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise UsageError(f'{where} must be a list of patterns, such as ["pre-*"]')
    return tuple(value)


_READERS: dict[str, Reader] = {
    "last": _count,
    "hourly": _count,
    "daily": _count,
    "weekly": _count,
    "monthly": _count,
    "yearly": _count,
    "within": _duration,
    "tags": _globs,
    "grace": _duration,
    "retire_after": _duration,
}

RETENTION_KEYS: tuple[str, ...] = tuple(_READERS)
