"""Results of the parts of a drill, combined with `+`."""

from __future__ import annotations

import time
from collections.abc import Callable

from pgsnap.errors import ConnectionFailed, Interrupted, SnapError, ToolMissing, ToolVersion
from pgsnap.model import Finding, Verdict
from pgsnap.values import dataclass
from pgsnap.workflows.drill.report import (
    Check,
    Recovery,
    TableFinding,
    failed,
    skipped,
)


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a part of a drill. It *is_conclusive* if every failure says something about the
    snapshot: a lost connection does not."""

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
        """Return the outcome of the last check."""
        return self.checks[-1].verdict


def checked(name: str, make: Callable[[], Finding | tuple[Finding, Found]]) -> Found:
    """Run the check *name*, which may return more than its outcome. A SnapError fails this check
    only."""
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
    """Return that the checks *names* were skipped."""
    return Found(tuple(Check.of(name, skipped(reason)) for name in names))
