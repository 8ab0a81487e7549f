"""How much is asked of a store at a time: bytes in flight, bandwidth, time-outs and pauses."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator

from pgsnap.limits import KIB, MIB
from pgsnap.stores import waiting
from pgsnap.values import dataclass

# Manifests, tags, leases; and how long they wait at most for what is under way.
_FEW_BYTES = 64 * KIB
_FEW_BYTES_WAIT = 1.0


@dataclass(frozen=True, slots=True)
class Times:
    """How long a request may take in all, and to connect; *stall_seconds*: how long an answer may
    come to a standstill (None: an upload, of which nothing comes until its end)."""

    total_seconds: float
    connect_seconds: float
    stall_seconds: float | None


@dataclass(frozen=True, slots=True)
class Pace:
    """How a store is used.

    A request may take *base_seconds* and then as long as its bytes take on a line of
    *slowest_bytes_per_second*. After a fault that may pass it is made again, up to *attempts* times
    and for *patience_seconds*, with growing random pauses.
    """

    attempts: int = 10
    patience_seconds: float = 300.0
    first_pause_seconds: float = 0.2
    longest_pause_seconds: float = 15.0
    base_seconds: float = 60.0
    connect_seconds: float = 10.0
    slowest_bytes_per_second: float = 100_000.0
    in_flight_bytes: int = 64 * MIB
    # None: as fast as it goes.
    bytes_per_second: float | None = None

    def times(self, size: int, *, is_read: bool) -> Times:
        """Return how long a request of *size* bytes may take: doubled in steps, since each time-out
        needs connections of its own."""
        fits = self.base_seconds * self.slowest_bytes_per_second
        while fits < size:
            fits *= 2
        total = self.base_seconds + fits / self.slowest_bytes_per_second
        return Times(total, self.connect_seconds, self.base_seconds if is_read else None)

    def pause_seconds(self, attempt: int) -> float:
        """Return how long to wait after the fault of an attempt (the first: 0)."""
        longest = min(self.longest_pause_seconds, self.first_pause_seconds * (1 << attempt))
        return longest * (0.5 + random.random() / 2)


HASTY = Pace(attempts=2, patience_seconds=8.0, base_seconds=6.0, connect_seconds=4.0)
"""For incidental questions, whose answers can be done without."""


class Line:
    """A line of limited bandwidth, both ways together: whose turn it is. Thread-safe."""

    def __init__(
        self, bytes_per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bytes_per_second = bytes_per_second
        self._clock = clock
        self._lock = threading.Lock()
        # When all that was let through has passed.
        self._free_at = clock()

    def turn(self, size: int) -> float:
        """Count *size* more bytes; return in how many seconds they may begin to pass. A few bytes
        need not wait for packs: a lease would run out meanwhile. What follows waits for them."""
        with self._lock:
            now = self._clock()
            begin = max(now, self._free_at)
            self._free_at = begin + size / self._bytes_per_second
        return begin - now if size > _FEW_BYTES else min(begin - now, _FEW_BYTES_WAIT)


class Traffic:
    """Bounds what is in flight, and paces it, over all threads that use a store."""

    def __init__(self, pace: Pace) -> None:
        self._in_flight_max = pace.in_flight_bytes
        self._line = None if pace.bytes_per_second is None else Line(pace.bytes_per_second)
        self._changed = threading.Condition()
        self._in_flight = 0

    @contextlib.contextmanager
    def of(self, size: int) -> Iterator[None]:
        """Wait until *size* more bytes may be in flight, and for their turn on the line; count them
        within the block. A single request is let through whatever its size, and so is one without
        bytes."""
        with self.held(size):
            if self._line is not None and size:
                waiting.pause(self._line.turn(size))
            yield

    @contextlib.contextmanager
    def held(self, size: int) -> Iterator[None]:
        """The same without the line: for bytes that are there already, or nearly."""
        with self._changed:
            while size and self._in_flight and self._in_flight + size > self._in_flight_max:
                waiting.check()
                self._changed.wait(1.0)
            self._in_flight += size
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= size
                self._changed.notify_all()

    def passed(self, size: int) -> None:
        """Count *size* bytes that passed without a turn: what comes next waits for them."""
        if self._line is not None and size > 0:
            self._line.turn(size)
