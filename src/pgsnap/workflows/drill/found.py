"""What the parts of a drill come to, put together by `+`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pgsnap.errors import ConnectionFailed, Interrupted, SnapError, ToolMissing, ToolVersion
from pgsnap.model import Finding, Verdict
from pgsnap.workflows.drill.report import (
    Check,
    Recovery,
    TableFinding,
    failed,
    skipped,
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a part of a drill came to. It is *is_conclusive* where all that failed says something of
    the snapshot: a lost connection does not."""

    checks: tuple[Check, ...] = ()
    notices: tuple[str, ...] = ()
    tables: tuple[TableFinding, ...] = ()
    recovery: Recovery | None = None
    is_conclusive: bool = True

    def __add__(self, other: Found) -> Found:
        return Found(
            self.checks + other.checks,
            self.notices + other.notices,
            self.tables + other.tables,
            self.recovery or other.recovery,
            self.is_conclusive and other.is_conclusive,
        )

    @property
    def last(self) -> Verdict:
        """How the last check ended."""
        return self.checks[-1].verdict


def checked(name: str, make: Callable[[], Finding | tuple[Finding, Found]]) -> Found:
    """Make the check *name*, of which more than its outcome may come. An error of ours is a failure
    of it, and of nothing else."""
    started = time.monotonic()
    more = Found()
    try:
        made = make()
    except Interrupted:
        raise
    except SnapError as error:
        more = Found(
            is_conclusive=not isinstance(error, (ConnectionFailed, ToolMissing, ToolVersion))
        )
        outcome = failed(error.message, error.detail, hint=error.hint)
    else:
        outcome, more = made if isinstance(made, tuple) else (made, more)
    return Found((Check.of(name, outcome, time.monotonic() - started),)) + more


def all_skipped(reason: str, *names: str) -> Found:
    """Return that the checks *names* were not made."""
    return Found(tuple(Check.of(name, skipped(reason)) for name in names))
