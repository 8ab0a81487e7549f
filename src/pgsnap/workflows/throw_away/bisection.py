"""The search for the first snapshot in which an answer changed: which one is to be looked at next,
and what is known. Pure: no repository, no server."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence

from pgsnap.errors import UsageError
from pgsnap.model import SnapshotId
from pgsnap.values import dataclass


class Mark(enum.Enum):
    """What is known of a snapshot."""

    GOOD = "good"
    BAD = "bad"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Bisection:
    """Snapshots, the oldest first, and those of them that are known: *good* answer as the oldest,
    *bad* ones do not, *skipped* ones cannot be asked."""

    snapshots: Sequence[SnapshotId]
    good: Collection[SnapshotId]
    bad: Collection[SnapshotId]
    skipped: Collection[SnapshotId] = ()

    @classmethod
    def of(cls, snapshots: Sequence[SnapshotId], marked: Mapping[SnapshotId, Mark]) -> Bisection:
        """Return the search through *snapshots* with what is known of them."""
        known = [
            frozenset(one for one in snapshots if marked.get(one) is mark)
            for mark in (Mark.GOOD, Mark.BAD, Mark.SKIPPED)
        ]
        return cls(snapshots, *known)

    def check(self) -> None:
        """Raise UsageError unless a good snapshot is older than a bad one."""
        if not self.good or not self.bad:
            return
        if self._bounds() is None:
            raise UsageError(
                "no good snapshot is older than a bad one",
                detail="What is searched is the first bad one behind a good one.",
                hint="If it went the other way round, swap the words: good is how the older"
                " ones are.",
            )

    @property
    def is_ready(self) -> bool:
        """Whether there is something between a good snapshot and a bad one to search in."""
        return self._bounds() is not None

    @property
    def suspects(self) -> tuple[SnapshotId, ...]:
        """Those of which each may be the first bad one, the oldest first. The last is bad."""
        bounds = self._bounds()
        return tuple(self.snapshots[bounds[0] + 1 : bounds[1] + 1]) if bounds else ()

    @property
    def last_good(self) -> SnapshotId | None:
        """The newest good one that is older than the suspects."""
        bounds = self._bounds()
        return self.snapshots[bounds[0]] if bounds else None

    def next(self) -> SnapshotId | None:
        """Return which one is to be asked next: the one nearest to the middle that is not skipped.
        None: nothing is left to ask."""
        suspects = self.suspects[:-1]
        middle = (len(suspects) - 1) / 2
        left = [
            (abs(number - middle), number)
            for number, one in enumerate(suspects)
            if one not in self.skipped
        ]
        return suspects[min(left)[1]] if left else None

    @property
    def questions_left(self) -> int:
        """How many of them are to be asked at most, if none is skipped."""
        return len([one for one in self.suspects[:-1] if one not in self.skipped]).bit_length()

    @property
    def first_bad(self) -> SnapshotId | None:
        """The answer, once it is known."""
        suspects = self.suspects
        return suspects[0] if len(suspects) == 1 else None

    @property
    def contradictions(self) -> tuple[SnapshotId, ...]:
        """Good snapshots that are newer than a bad one: the answer changed more than once."""
        places = [n for n, one in enumerate(self.snapshots) if one in self.bad]
        if not places:
            return ()
        return tuple(one for one in self.snapshots[min(places) :] if one in self.good)

    def _bounds(self) -> tuple[int, int] | None:
        """Return the places of the newest good one before the first bad one behind any good one,
        and of that bad one."""
        oldest_good = next((n for n, one in enumerate(self.snapshots) if one in self.good), None)
        if oldest_good is None:
            return None
        bad = next(
            (n for n, one in enumerate(self.snapshots) if n > oldest_good and one in self.bad), None
        )
        if bad is None:
            return None
        return max(n for n in range(bad) if self.snapshots[n] in self.good), bad
