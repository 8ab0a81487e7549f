"""The table [retention] of snap.toml, and the options of `snap gc` that override it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from pgsnap.cli.config.keys import Option, key, keys_of, list_of, read_keys
from pgsnap.cli.text.duration import parse_timedelta
from pgsnap.errors import UsageError
from pgsnap.values import dataclass


def _count(value: Any, where: str, folder: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"{where} must be a number of snapshots, 0 or more")
    return value


def _duration(value: Any, where: str, folder: Path) -> timedelta:
    if not isinstance(value, str):
        raise UsageError(f'{where} must be a duration in quotes, such as "30d"')
    return parse_timedelta(value, where)


def _period(name: str, units: str) -> int | None:
    """Declare the rule *name*: the newest snapshot of each of the newest N periods is kept."""
    return key(
        None,
        _count,
        "0",
        meaning="the newest snapshot of each of the newest N hours, days, ISO weeks, months, "
        "years that have one",
        option=Option(f"--keep-{name}", "N", f"Keep the newest of each of N {units}."),
    )


@dataclass(frozen=True, slots=True)
class RetentionTable:
    """The values of [retention]; None if not set. The rules are those of `Policy`."""

    last: int | None = key(
        None,
        _count,
        "7",
        meaning="the newest N snapshots",
        option=Option("--keep-last", "N", "Keep the newest N."),
    )
    hourly: int | None = _period("hourly", "hours")
    daily: int | None = _period("daily", "days")
    weekly: int | None = _period("weekly", "ISO weeks")
    monthly: int | None = _period("monthly", "months")
    yearly: int | None = _period("yearly", "years")
    within: timedelta | None = key(
        None,
        _duration,
        '"0d"',
        meaning='what is older than the newest snapshot by no more than this, as in `"30d"`; '
        "so nothing goes while commits fail",
        option=Option("--keep-within", "TIME", "Keep what is not older than the newest by more."),
    )
    tags: tuple[str, ...] | None = key(
        None,
        list_of("patterns", '["pre-*"]'),
        "[]",
        meaning='what has a tag that matches one of these patterns, as in `["pre-*"]`',
        option=Option(
            "--keep-tag", "GLOB", "Keep what has such a tag; other tags protect no more."
        ),
    )
    grace: timedelta | None = key(
        None,
        _duration,
        '"7d"',
        comment="How long `snap unforget` can bring back what was dropped.",
        meaning="not a rule: how long `snap unforget` can bring back what was dropped "
        '(default `"7d"`)',
        option=Option("--grace", "TIME", "How long dropped snapshots can be brought back."),
    )
    retire_after: timedelta | None = key(
        None,
        _duration,
        '"90d"',
        comment="How long a server counts that has no new snapshots, beside another one of "
        "the same label.",
        meaning="not a rule: how long a server counts that has no new snapshots, while "
        'another one of the same label has (default `"90d"`)',
    )

    def rules(self) -> dict[str, Any]:
        """Return the rules that are set, by their names in `Policy`."""
        values = {name: getattr(self, name) for name in RULES}
        return {name: value for name, value in values.items() if value not in (None, ())}


RETENTION_KEYS = keys_of(RetentionTable)
KEEP_ALL = RetentionTable(within=timedelta(days=36_500))
"""Drops nothing that anybody alive has made."""
RULES = tuple(name for name in RETENTION_KEYS if name not in ("grace", "retire_after"))


def read_retention(value: Any, where: str, folder: Path) -> RetentionTable:
    """Parse the table *value*; *where* names it in errors. Raises UsageError."""
    return RetentionTable(**read_keys(value, where, folder, RETENTION_KEYS, "retention"))
