"""The options for retention and grace period, combined with snap.toml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pgsnap import limits
from pgsnap.cli.commands.options import option_of
from pgsnap.cli.config.retention import RETENTION_KEYS, RetentionTable
from pgsnap.cli.config.settings import Settings
from pgsnap.cli.text.duration import parse_timedelta
from pgsnap.errors import UsageError

if TYPE_CHECKING:
    from pgsnap.workflows.retention.policy import Policy


def _rule(name: str, **more: Any) -> Any:
    return option_of(RETENTION_KEYS[name], **more)


KeepLast: TypeAlias = Annotated[int | None, _rule("last", min=0)]
KeepHourly: TypeAlias = Annotated[int | None, _rule("hourly", min=0)]
KeepDaily: TypeAlias = Annotated[int | None, _rule("daily", min=0)]
KeepWeekly: TypeAlias = Annotated[int | None, _rule("weekly", min=0)]
KeepMonthly: TypeAlias = Annotated[int | None, _rule("monthly", min=0)]
KeepYearly: TypeAlias = Annotated[int | None, _rule("yearly", min=0)]
KeepWithin: TypeAlias = Annotated[str | None, _rule("within")]
KeepTag: TypeAlias = Annotated[list[str] | None, _rule("tags")]
Grace: TypeAlias = Annotated[str | None, _rule("grace")]


def chosen_policy(
    settings: Settings,
    *,
    within: str | None = None,
    tags: Sequence[str] | None = None,
    **counts: int | None,
) -> Policy:
    """Return the policy of the flags; if none is given that of snap.toml; else the default.

    Raises UsageError if it keeps nothing.
    """
    from pgsnap.workflows.retention.policy import DEFAULT_POLICY, Policy

    if tags and not all(tags):
        raise UsageError("--keep-tag is empty")
    given: dict[str, Any] = {**counts, "tags": tuple(tags or ())}
    if within is not None:
        given["within"] = parse_timedelta(within, "--keep-within")
    retire_after = chosen_retire_after(settings)
    for table in (RetentionTable(**given), settings.retention):
        if table is not None and (rules := table.rules()):
            policy = Policy(**rules, retire_after=retire_after)
            policy.check()
            return policy
    return replace(DEFAULT_POLICY, retire_after=retire_after)


def chosen_retire_after(settings: Settings) -> timedelta:
    """Return how long a chain without new snapshots counts beside an active one."""
    from pgsnap.workflows.retention.policy import RETIRE_AFTER

    table = settings.retention
    return RETIRE_AFTER if table is None or table.retire_after is None else table.retire_after


def chosen_grace(settings: Settings, grace: str | None = None) -> timedelta:
    """Return how long a forgotten snapshot can be brought back: from the flag, else snap.toml,
    else the default. Raises UsageError."""
    if grace is not None:
        return parse_timedelta(grace, "--grace")
    if settings.retention is not None and settings.retention.grace is not None:
        return settings.retention.grace
    return timedelta(seconds=limits.FORGOTTEN_GRACE_SECONDS)
