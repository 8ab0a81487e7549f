"""The search for the first bad snapshot, against every history with one change."""

from __future__ import annotations

import random

import pytest

from pgsnap.errors import UsageError
from pgsnap.workflows.throw_away.bisection import Bisection, Mark
from support.running.seeds import SEED


def searched(count: int, first_bad: int, cannot: set[int]) -> tuple[Bisection, int]:
    """Return a search that went on until nothing is left to ask, and how many were asked."""
    snapshots = [number.to_bytes(32, "big") for number in range(count)]
    marked = {snapshots[0]: Mark.GOOD, snapshots[-1]: Mark.BAD}
    asked = 0
    while (following := Bisection.of(snapshots, marked).next()) is not None:
        assert following not in marked
        number = int.from_bytes(following, "big")
        mark = Mark.BAD if number >= first_bad else Mark.GOOD
        marked[following] = Mark.SKIPPED if number in cannot else mark
        asked += 1
    return Bisection.of(snapshots, marked), asked


def test_every_change_is_found_with_the_least_questions() -> None:
    for count in range(2, 40):
        most = Bisection.of([bytes([n]) for n in range(count)], {b"\0": Mark.GOOD}).questions_left
        for first_bad in range(1, count):
            found, asked = searched(count, first_bad, set())
            assert found.first_bad == first_bad.to_bytes(32, "big")
            assert found.last_good == (first_bad - 1).to_bytes(32, "big")
            most = max(most, asked)
        assert most == (count - 2).bit_length()


def test_of_skipped_ones_those_are_left_that_may_be_the_first() -> None:
    chance = random.Random(SEED)
    for _ in range(300):
        count = chance.randint(2, 30)
        first_bad = chance.randint(1, count - 1)
        cannot = set(chance.sample(range(1, count), chance.randint(0, count - 1))) - {count - 1}
        found, _ = searched(count, first_bad, cannot)
        suspects = [int.from_bytes(one, "big") for one in found.suspects]
        assert first_bad in suspects
        assert set(suspects[:-1]) <= cannot
        assert found.last_good is not None
        assert int.from_bytes(found.last_good, "big") == suspects[0] - 1


def test_answers_that_changed_more_than_once_are_named_and_the_reverse_is_refused() -> None:
    snapshots = [bytes([n]) for n in range(6)]
    marks = {b"\0": Mark.GOOD, b"\2": Mark.BAD, b"\3": Mark.GOOD, b"\5": Mark.BAD}
    twice = Bisection.of(snapshots, marks)
    assert (twice.contradictions, twice.suspects) == ((b"\3",), (b"\1", b"\2"))
    reverse = Bisection.of(snapshots, {b"\5": Mark.GOOD, b"\0": Mark.BAD})
    assert not reverse.is_ready
    with pytest.raises(UsageError, match="no good snapshot is older"):
        reverse.check()
