"""Time-outs grow with the bytes, and no more than so many bytes are in flight."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from pgsnap.limits import MIB
from pgsnap.stores.pacing import Pace, Traffic


def test_a_pack_may_take_as_long_as_a_slow_line_takes_for_it() -> None:
    pace = Pace()
    for size in (0, 1000, MIB, 16 * MIB, 256 * MIB):
        times = pace.times(size, is_read=False)
        assert times.total_seconds >= pace.base_seconds + size / pace.slowest_bytes_per_second
        assert times.stall_seconds is None
        assert pace.times(size, is_read=True).stall_seconds == pace.base_seconds
    # Each time-out has connections of its own, so there are few.
    assert len({pace.times(size, is_read=False) for size in range(0, 16 * MIB, 100_000)}) < 5


def test_pauses_grow_up_to_a_limit() -> None:
    pace = Pace(first_pause_seconds=1.0, longest_pause_seconds=8.0)
    for attempt, longest in enumerate([1, 2, 4, 8, 8, 8]):
        assert longest / 2 <= pace.pause_seconds(attempt) <= longest


def test_no_more_bytes_are_in_flight_than_allowed() -> None:
    traffic = Traffic(Pace(in_flight_bytes=100))
    flying = 0
    most = 0
    lock = threading.Lock()

    def fly(size: int) -> None:
        nonlocal flying, most
        with traffic.of(size):
            with lock:
                flying += size
                most = max(most, flying)
            time.sleep(0.002)
            with lock:
                flying -= size

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(fly, [30, 40, 50, 60] * 20))
    assert 50 < most <= 100


def test_one_request_passes_whatever_its_size() -> None:
    traffic = Traffic(Pace(in_flight_bytes=100))
    with traffic.of(1000), traffic.of(0):
        pass


def test_bandwidth_is_limited_over_all_threads() -> None:
    traffic = Traffic(Pace(bytes_per_second=10_000))

    def fly(size: int) -> None:
        with traffic.of(size):
            pass

    begin = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fly, [1000] * 6))
    # The last one begins when the five before it have passed.
    assert time.monotonic() - begin >= 0.49
