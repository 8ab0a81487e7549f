from __future__ import annotations

from pgsnap.cli.console.progress import figures


def test_figures_tell_size_rate_and_time_left() -> None:
    assert figures(100_000_000, 400_000_000, 10.0) == "100.0 MB of 400.0 MB  10.0 MB/s  30.0 s left"


def test_figures_promise_no_time_in_the_first_second_nor_near_the_end() -> None:
    assert figures(1_000_000, 2_000_000, 0.5) == "1.0 MB of 2.0 MB"
    assert figures(9_900_000, 10_000_000, 10.0).endswith("seconds left")


def test_an_estimate_that_was_passed_is_no_longer_shown() -> None:
    assert figures(3_000_000, 2_000_000, 2.0) == "3.0 MB  1.5 MB/s"
    assert figures(3_000_000, None, 2.0) == "3.0 MB  1.5 MB/s"
