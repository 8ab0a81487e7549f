"""Time-outs grow with the bytes, and no more than so many bytes are in flight, or pass."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pgsnap import interrupts
from pgsnap.limits import MIB
from pgsnap.stores.pacing import Line, Pace, Traffic


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


class Clock:
    """Goes on when it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_each_has_its_turn_when_what_came_before_has_passed() -> None:
    clock = Clock()
    line = Line(1_000_000, clock)
    pack = 16_000_000
    assert [line.turn(pack) for _ in range(4)] == [0, 16, 32, 48]
    # 40 seconds later the third is on its way.
    clock.now += 40
    assert line.turn(pack) == 24
    # What nobody used is not saved up.
    clock.now += 1000
    assert [line.turn(pack) for _ in range(2)] == [0, 16]


def test_a_few_bytes_overtake_packs_and_are_counted_all_the_same() -> None:
    clock = Clock()
    line = Line(1_000_000, clock)
    assert [line.turn(16_000_000), line.turn(50_000), line.turn(0)] == [0, 1, 1]
    assert line.turn(16_000_000) == pytest.approx(16.05)
    # Among themselves they wait, and so their rate is kept.
    clock.now += 1000
    assert [line.turn(50_000) for _ in range(4)] == pytest.approx([0, 0.05, 0.1, 0.15])


def test_a_signal_ends_the_wait_for_a_turn() -> None:
    traffic = Traffic(Pace(bytes_per_second=10_000))
    traffic.passed(1_000_000)
    with interrupts.handled():
        threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGTERM]).start()
        with pytest.raises(interrupts.Stopped), traffic.of(100_000):
            pass
    # It is not in flight any more.
    with traffic.held(Pace().in_flight_bytes):
        pass
