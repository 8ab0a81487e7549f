"""One thing that was looked at, and how it is."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.IntEnum):
    """How it is with what was looked at; more is worse."""

    PASSED = 0
    SKIPPED = 1
    WARNED = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. *check* names its kind.

    *reason* is a phrase without an end that says why the verdict is what it is, *details* say more;
    *help* is the command or grant that helps, "" where there is nothing to do. *database* is the
    label that it concerns, None where it concerns all.
    """

    check: str
    verdict: Verdict
    reason: str
    help: str = ""
    details: tuple[str, ...] = ()
    database: str | None = None
