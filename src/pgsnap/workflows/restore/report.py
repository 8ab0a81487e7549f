"""The report of a restore, and the clock that measures it."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import fields

from pgsnap.model import SnapshotId
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class PhaseSeconds:
    """Wall time of each phase, in seconds. *create* creates the scratch database; *baseline* takes
    down its state for the next commit."""

    safety: float
    create: float
    load: float
    analyze: float
    swap: float
    baseline: float = 0.0


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restore did. *kept* is the replaced database's name now, None if there was none (if it
    was half-dropped, it can only be dropped); *unreachable_seconds* is an upper bound on how long
    new logins failed; *warm_copy* is the name of the copy that took the place of a load,
    *cloned_from* that of the database of which a clone did; the rows of the tables *in_any_order*
    are not in the order of the snapshot."""

    snapshot_id: SnapshotId
    database: str
    kept: str | None
    safety: SnapshotId | None
    rows: int
    plain_bytes: int
    seconds: PhaseSeconds
    unreachable_seconds: float
    created_roles: tuple[str, ...]
    discarded: tuple[str, ...]
    warnings: tuple[str, ...]
    kept_is_half_dropped: bool = False
    warm_copy: str | None = None
    cloned_from: str | None = None
    in_any_order: tuple[str, ...] = ()


class Clock:
    """The wall time of each phase so far."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextlib.contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Add the duration of the block to *phase*."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds[phase] += time.monotonic() - started

    def read(self) -> PhaseSeconds:
        """Return the seconds of all phases."""
        return PhaseSeconds(
            **{each.name: self._seconds[each.name] for each in fields(PhaseSeconds)}
        )
