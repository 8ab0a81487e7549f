"""The options that say what is kept and for how long it can be brought back, and what they mean
together with snap.toml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from pgsnap import limits
from pgsnap.cli.config.retention import RetentionTable
from pgsnap.cli.config.settings import Settings
from pgsnap.cli.text.duration import parse_timedelta
from pgsnap.errors import UsageError

if TYPE_CHECKING:
    from pgsnap.workflows.retention.policy import Policy


def _count(name: str, help: str) -> typer.models.OptionInfo:
    found: typer.models.OptionInfo = typer.Option(name, min=0, metavar="N", help=help)
    return found


KeepLast: TypeAlias = Annotated[int | None, _count("--keep-last", "Keep the newest N.")]
KeepHourly: TypeAlias = Annotated[
    int | None, _count("--keep-hourly", "Keep the newest of each of N hours.")
]
KeepDaily: TypeAlias = Annotated[
    int | None, _count("--keep-daily", "Keep the newest of each of N days.")
]
KeepWeekly: TypeAlias = Annotated[
    int | None, _count("--keep-weekly", "Keep the newest of each of N ISO weeks.")
]
KeepMonthly: TypeAlias = Annotated[
    int | None, _count("--keep-monthly", "Keep the newest of each of N months.")
]
KeepYearly: TypeAlias = Annotated[
    int | None, _count("--keep-yearly", "Keep the newest of each of N years.")
]
KeepWithin: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--keep-within", metavar="TIME", help="Keep what is not older than the newest by more."
    ),
]
KeepTag: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--keep-tag", metavar="GLOB", help="Keep what has such a tag; other tags protect no more."
    ),
]
Grace: TypeAlias = Annotated[
    str | None,
    typer.Option("--grace", metavar="TIME", help="How long dropped snapshots can be brought back."),
]


def chosen_policy(
    settings: Settings,
    *,
    last: int | None = None,
    hourly: int | None = None,
    daily: int | None = None,
    weekly: int | None = None,
    monthly: int | None = None,
    yearly: int | None = None,
    within: str | None = None,
    tags: Sequence[str] | None = None,
) -> Policy:
    """Return the policy of the flags; where none is given that of snap.toml; else the default.

    Raises UsageError where it keeps nothing.
    """
    from pgsnap.workflows.retention.policy import DEFAULT_POLICY, Policy

    if tags and not all(tags):
        raise UsageError("--keep-tag is empty")
    given = RetentionTable(
        last=last,
        hourly=hourly,
        daily=daily,
        weekly=weekly,
        monthly=monthly,
        yearly=yearly,
        within=parse_timedelta(within, "--keep-within") if within is not None else None,
        tags=tuple(tags) if tags else None,
    )
    for table in (given, settings.retention):
        if table is not None and _has_rules(table):
            policy = Policy(
                last=table.last or 0,
                hourly=table.hourly or 0,
                daily=table.daily or 0,
                weekly=table.weekly or 0,
                monthly=table.monthly or 0,
                yearly=table.yearly or 0,
                within=table.within,
                tags=table.tags or (),
                retire_after=chosen_retire_after(settings),
            )
            policy.check()
            return policy
    return replace(DEFAULT_POLICY, retire_after=chosen_retire_after(settings))


def chosen_retire_after(settings: Settings) -> timedelta:
    """Return how long a chain without new snapshots counts, beside one that has some."""
    from pgsnap.workflows.retention.policy import RETIRE_AFTER

    table = settings.retention
    return RETIRE_AFTER if table is None or table.retire_after is None else table.retire_after


def chosen_grace(settings: Settings, grace: str | None = None) -> timedelta:
    """Return how long a forgotten snapshot can be brought back: as the flag says, else snap.toml,
    else the default. Raises UsageError."""
    if grace is not None:
        return parse_timedelta(grace, "--grace")
    if settings.retention is not None and settings.retention.grace is not None:
        return settings.retention.grace
    return timedelta(seconds=limits.FORGOTTEN_GRACE_SECONDS)


def _has_rules(table: RetentionTable) -> bool:
    rules = (
        table.last,
        table.hourly,
        table.daily,
        table.weekly,
        table.monthly,
        table.yearly,
        table.within,
    )
    return bool(table.tags) or any(rule is not None for rule in rules)
