"""The steps of commands whose course is known before they begin, for "2 of 4, loading"."""

from __future__ import annotations

from typing import TypeAlias

Steps: TypeAlias = tuple[tuple[str, ...], ...]
"""Of each step the phases of workflows that belong to it, by the words that they begin with. Phases
of none belong to the step that is under way."""

_SAFETY = ("safety snapshot",)
_SWAP = ("swap", "finish")

COMMIT: Steps = (("look at the source",), ("commit ",), ("publish",))
TABLES: Steps = (_SAFETY, ("load",))
RESTORE: Steps = (
    _SAFETY,
    ("look again", "create", "prove a warm copy", "clone ", "load"),
    ("analyze", "count", "take down the state"),
    _SWAP,
)
UNDO: Steps = (_SAFETY, _SWAP)
VERIFY: Steps = (("verify objects",), ("verify packs",), ("verify snapshots",))
TRANSFER: Steps = (("compare",), ("send",))
GC: Steps = (("choose snapshots",), ("mark what is needed",), ("encode again", "rewrite"))
DRILL: Steps = (
    ("reach", "dump definitions"),
    ("verify",),
    ("look again", "create", "load", "analyze", "count", "finish", "swap"),
    ("diff",),
)

_DOING = {
    "load": "loading",
    "analyze": "analyzing",
    "swap": "swapping",
    "count": "counting rows",
    "create": "creating the database",
    "publish": "publishing",
    "compare": "comparing",
    "send": "sending",
    "finish": "finishing",
    "diff": "comparing",
}


def without_safety(steps: Steps) -> Steps:
    """Return *steps* for a run that records nothing first."""
    return tuple(step for step in steps if step != _SAFETY)


class Place:
    """Where among *steps* a command is."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._reached = 0

    def words(self, phase: str) -> str:
        """Return the words for *phase*, which begins now: ``2 of 4, loading``."""
        for number, step in enumerate(self._steps, 1):
            # A safety snapshot has phases of its own, which other steps have too.
            if number >= self._reached and phase.startswith(step):
                self._reached = number
                break
        doing = _DOING.get(phase, phase)
        return f"{self._reached} of {len(self._steps)}, {doing}" if self._reached else doing
