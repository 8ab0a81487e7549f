from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pgsnap.cli.text import render

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (98_300_000, "98.3 MB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_500_000_000_000, "1.5 TB"),
        (5 * 10**18, "5.0 EB"),
    ],
)
def test_sizes_are_decimal_with_one_digit_behind_the_point(count: int, words: str) -> None:
    assert render.size(count) == words


@pytest.mark.parametrize(
    ("taken", "words"),
    [(0.844, "0.84 s"), (12.34, "12.3 s"), (59.99, "1 min 00 s"), (125, "2 min 05 s"),
     (3720, "1 h 02 min")],
)  # fmt: skip
def test_times_taken_grow_coarser(taken: float, words: str) -> None:
    assert render.seconds(taken) == words


@pytest.mark.parametrize(
    ("distance", "words"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(seconds=42), "42 seconds ago"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=3, minutes=50), "3 hours ago"),
        (timedelta(days=9), "9 days ago"),
        (timedelta(days=20), "2 weeks ago"),
        (timedelta(days=100), "3 months ago"),
        (timedelta(days=800), "2 years ago"),
        (timedelta(hours=-2), "in 2 hours"),
    ],
)
def test_relative_times_use_the_unit_that_fits(distance: timedelta, words: str) -> None:
    assert render.ago(NOW - distance, NOW) == words


def test_columns_align_wide_and_combining_characters_by_cells() -> None:
    lines = render.columns([("表", "x"), ("ab", "y"), ("e\u0301", "z")])
    assert lines == ["表  x", "ab  y", "e\u0301   z"]


def test_colours_do_not_shift_the_columns() -> None:
    drop = render.style("drop", "yellow", True)
    assert render.columns([(drop, "a"), ("keep", "b")]) == [f"{drop}  a", "keep  b"]


def test_columns_on_the_right_end_flush() -> None:
    assert render.columns([("1", "a"), ("100", "b")], right=frozenset({0})) == ["  1  a", "100  b"]


def test_escape_sequences_in_a_name_never_reach_the_terminal() -> None:
    assert render.plain("ok\x1b[2Jname\x9b\u202e") == "ok\\x1b[2Jname\\x9b\\u202e"
    assert render.plain("one\ntwo", keep_lines=True) == "one\ntwo"
    assert render.plain("one\ntwo") == "one\\ntwo"


def test_names_with_bytes_that_are_no_utf8_can_be_shown() -> None:
    assert render.plain(b"caf\xe9".decode("utf-8", "surrogateescape")) == "caf\\udce9"


def test_json_times_are_utc_with_z() -> None:
    there = datetime.fromisoformat("2026-01-02T14:30:05+02:00")
    assert render.json_time(there) == "2026-01-02T12:30:05Z"


def test_a_hanging_value_keeps_its_column() -> None:
    assert render.pairs([("A", "1\n2"), ("Long", "3")]) == ["A:     1", "       2", "Long:  3"]


def test_colours_only_when_on() -> None:
    assert render.style("x", "red", False) == "x"
    assert render.style("x", "red", True) == "\x1b[31mx\x1b[0m"
