"""The result of a single check."""

from __future__ import annotations

import enum

from pgsnap.values import dataclass


class Verdict(enum.IntEnum):
    """The outcome of a check; higher is worse."""

    PASSED = 0
    SKIPPED = 1
    WARNED = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a single check. *check* names its kind.

    *reason* is a phrase without a full stop that explains the verdict, *details* say more; *help*
    is the command or grant that helps, "" if there is nothing to do. *database* is the label that
    it concerns, None if it concerns all.
    """

    check: str
    verdict: Verdict
    reason: str
    help: str = ""
    details: tuple[str, ...] = ()
    database: str | None = None
