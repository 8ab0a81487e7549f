from __future__ import annotations

import threading

from pgsnap.cli.console import steps
from pgsnap.cli.console.progress import figures
from pgsnap.cluster.heartbeat import Heartbeat


def test_figures_tell_size_rate_and_time_left() -> None:
    assert figures(100_000_000, 400_000_000, 10.0) == "100.0 MB of 400.0 MB  10.0 MB/s  30 s left"
    assert figures(1_000_000, 400_000_000, 1.0).endswith("6 min 39 s left")


def test_figures_promise_no_time_in_the_first_second_and_a_number_near_the_end() -> None:
    assert figures(1_000_000, 2_000_000, 0.5) == "1.0 MB of 2.0 MB"
    assert figures(6_000_000, 10_000_000, 10.0).endswith("  7 s left")
    assert figures(9_900_000, 10_000_000, 10.0).endswith("  1 s left")


def test_an_estimate_that_was_passed_is_no_longer_shown() -> None:
    assert figures(3_000_000, 2_000_000, 2.0) == "3.0 MB  1.5 MB/s"
    assert figures(3_000_000, None, 2.0) == "3.0 MB  1.5 MB/s"


def test_a_phase_is_named_with_its_place_among_the_steps() -> None:
    place = steps.Place(steps.RESTORE)
    course = ["safety snapshot", "look at the source", "commit shop", "publish", "create", "load"]
    assert [place.words(phase) for phase in course] == [
        "1 of 4, safety snapshot",
        "1 of 4, look at the source",
        "1 of 4, commit shop",
        "1 of 4, publishing",
        "2 of 4, creating the database",
        "2 of 4, loading",
    ]
    assert place.words("swap") == "4 of 4, swapping"
    assert steps.Place(steps.without_safety(steps.RESTORE)).words("load") == "1 of 3, loading"
    # Phases may come again in a later step, and those that are of none stay in theirs.
    place = steps.Place(steps.DRILL)
    course = ["reach PostgreSQL", "dump definitions", "verify objects", "load", "diff"]
    assert [place.words(phase)[:6] for phase in course] == [
        *("1 of 4", "1 of 4", "2 of 4", "3 of 4", "4 of 4")
    ]
    assert steps.Place(steps.GC).words("rewrite") == "3 of 3, rewrite"
    assert steps.Place(steps.TRANSFER).words("send") == "2 of 2, sending"
    assert steps.Place(()).words("mark what is needed") == "mark what is needed"


def test_what_is_silent_gives_a_sign_of_life_and_what_is_paused_does_not() -> None:
    said: list[str] = []
    two = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 2:
            two.set()

    with Heartbeat(say, 0.02) as life:
        assert two.wait(60)
        with life.paused():
            pass
    assert all(line.startswith("  … ") and line.endswith(" s") for line in said)
