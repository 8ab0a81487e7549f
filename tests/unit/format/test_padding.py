"""Padding: sizes come in few steps, and cost little."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pgsnap.format.padding import padme


@given(st.integers(0, 2**40))
def test_padding_never_shortens_and_costs_at_most_12_percent(size: int) -> None:
    assert size <= padme(size) <= size * 1.12


@given(st.integers(0, 2**40))
def test_a_padded_size_stays(size: int) -> None:
    assert padme(padme(size)) == padme(size)


def test_sizes_by_the_paper() -> None:
    """With E = floor(log2 L) and S = floor(log2 E) + 1 the last E - S bits are 0."""
    assert [padme(size) for size in (0, 1, 2, 8, 9, 256, 257, 1000)] == [
        0,
        1,
        2,
        8,
        10,
        256,
        272,
        1024,
    ]
    assert padme(16 * 1024 * 1024 - 5) == 16 * 1024 * 1024


def test_few_sizes_remain() -> None:
    assert len({padme(size) for size in range(100_000, 1_000_000)}) < 120
