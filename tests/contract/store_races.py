"""What every Store must do when many threads and processes change the same object at once."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pgsnap.errors import ObjectExists, StoreChanged
from pgsnap.stores.base import Store

PROCESSES = 8
THREADS = 16
ROUNDS = 10


class RacesOfThreads:
    """A part of `StoreContract`."""

    def test_of_threads_that_create_the_same_object_exactly_one_wins(self, store: Store) -> None:
        for number in range(ROUNDS):
            won = in_threads(lambda index, number=number: create(store, f"race/{number}", index))
            assert won.count(True) == 1
            assert store.get(f"race/{number}") == content(won.index(True))

    def test_of_threads_that_swap_the_same_object_exactly_one_wins(self, store: Store) -> None:
        seen = b"0"
        store.put("swapped", seen)
        for number in range(ROUNDS):
            # No two bodies are equal: stores compare versions, and some name them by their bytes.
            bodies = [content(number * THREADS + index) for index in range(THREADS)]
            won = in_threads(
                lambda index, seen=seen, bodies=bodies: swap(store, bodies[index], seen)
            )
            assert won.count(True) == 1
            seen = store.get("swapped")
            assert seen == bodies[won.index(True)]


class RacesOfProcesses:
    """A part of `StoreContract`."""

    # Threads of a library do not survive a fork.
    START = "fork"

    def test_of_processes_that_create_the_same_object_exactly_one_wins(
        self, store: Store, again: Callable[[], Store]
    ) -> None:
        outcomes = in_processes(_create_all, again, self.START)
        for number in range(ROUNDS):
            winners = [index for index, won in enumerate(outcomes) if number in won]
            assert len(winners) == 1
            assert store.get(f"race/{number}") == content(winners[0])

    def test_of_processes_that_replace_the_same_object_exactly_one_wins_each_time(
        self, store: Store, again: Callable[[], Store]
    ) -> None:
        store.put("counter", b"0")
        outcomes = in_processes(_count_up, again, self.START)
        # Each success added one to what it had seen: none was lost, none was made twice.
        assert int(store.get("counter")) == sum(outcomes)
        assert sum(outcomes) == PROCESSES * ROUNDS

    def test_of_processes_that_make_the_same_absent_object_by_replace_exactly_one_wins(
        self, store: Store, again: Callable[[], Store]
    ) -> None:
        outcomes = in_processes(_replace_absent, again, self.START)
        for number in range(ROUNDS):
            winners = [index for index, won in enumerate(outcomes) if number in won]
            assert len(winners) == 1
            assert store.get(f"race/{number}") == content(winners[0])

    def test_create_and_replace_of_an_absent_object_have_one_winner(
        self, store: Store, again: Callable[[], Store]
    ) -> None:
        outcomes = in_processes(_create_or_replace, again, self.START)
        for number in range(ROUNDS):
            winners = [index for index, won in enumerate(outcomes) if number in won]
            assert len(winners) == 1
            assert store.get(f"race/{number}") == content(winners[0])

    def test_a_reader_sees_the_old_object_or_the_new_one(
        self, store: Store, again: Callable[[], Store]
    ) -> None:
        store.put("shared", content(0))
        outcomes = in_processes(_put_and_read, again, self.START)
        assert all(outcomes)


def content(index: int) -> bytes:
    return hashlib.sha256(b"%d" % index).digest() * 2000


def in_threads(task: Callable[[int], bool]) -> list[bool]:
    """Run *task* in THREADS threads that begin at the same moment; return what each gave."""
    barrier = threading.Barrier(THREADS)

    def run(index: int) -> bool:
        barrier.wait(30)
        return task(index)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def create(store: Store, name: str, index: int) -> bool:
    try:
        store.create(name, content(index))
    except ObjectExists:
        return False
    return True


def swap(store: Store, body: bytes, expected: bytes) -> bool:
    try:
        store.replace("swapped", body, expected)
    except StoreChanged:
        return False
    return True


def in_processes(task: Callable[..., Any], again: Callable[[], Store], start: str) -> list[Any]:
    """Run *task* in PROCESSES processes that begin at the same moment; return what each gave."""
    context: Any = multiprocessing.get_context(start)
    barrier = context.Barrier(PROCESSES)
    queue = context.SimpleQueue()
    children = [
        context.Process(target=_child, args=(task, again, index, barrier, queue))
        for index in range(PROCESSES)
    ]
    for child in children:
        child.start()
    outcomes = dict(queue.get() for _ in children)
    for child in children:
        child.join()
    return [outcomes[index] for index in range(PROCESSES)]


def _child(
    task: Callable[..., Any], again: Callable[[], Store], index: int, barrier: Any, queue: Any
) -> None:
    outcome = None
    try:
        outcome = task(again(), index, barrier)
    finally:
        queue.put((index, outcome))


def _create_all(store: Store, index: int, barrier: Any) -> list[int]:
    won = []
    for number in range(ROUNDS):
        barrier.wait(30)
        try:
            store.create(f"race/{number}", content(index))
        except ObjectExists:
            continue
        won.append(number)
    return won


def _replace_absent(store: Store, index: int, barrier: Any) -> list[int]:
    won = []
    for number in range(ROUNDS):
        barrier.wait(30)
        try:
            store.replace(f"race/{number}", content(index), None)
        except StoreChanged:
            continue
        won.append(number)
    return won


def _create_or_replace(store: Store, index: int, barrier: Any) -> list[int]:
    won = []
    for number in range(ROUNDS):
        barrier.wait(30)
        try:
            if index % 2:
                store.create(f"race/{number}", content(index))
            else:
                store.replace(f"race/{number}", content(index), None)
        except (StoreChanged, ObjectExists):
            continue
        won.append(number)
    return won


def _count_up(store: Store, index: int, barrier: Any) -> int:
    barrier.wait(30)
    done = 0
    while done < ROUNDS:
        seen = store.get("counter")
        try:
            store.replace("counter", b"%d" % (int(seen) + 1), seen)
        except StoreChanged:
            continue
        done += 1
    return done


def _put_and_read(store: Store, index: int, barrier: Any) -> bool:
    whole = {content(number) for number in range(PROCESSES)}
    barrier.wait(30)
    for _ in range(ROUNDS):
        store.put("shared", content(index))
        if store.get("shared") not in whole:
            return False
    return True
