from __future__ import annotations

import numpy as np
import pytest

from pgsnap.masking.numbers import Permutation

KEY = b"k" * 32
SMALL = 1 << 31


@pytest.mark.parametrize(("width", "count"), [(16, 1 << 15), (32, 20_000), (64, 20_000)])
def test_different_numbers_stay_different_and_keep_their_sign(width: int, count: int) -> None:
    permutation = Permutation(KEY, width)
    numbers = np.arange(count)
    above, below = permutation.of(numbers), permutation.of(-numbers - 1)
    limit = min(SMALL, 1 << (width - 1))
    assert len(set(above)) == len(set(below)) == count
    assert min(above) >= 0
    assert max(above) < limit
    assert max(below) < 0
    assert min(below) >= -limit
    assert sum(one == other for one, other in enumerate(above)) < 10


def test_the_ends_of_each_type_have_a_place() -> None:
    for width in (16, 32, 64):
        least, most = -(1 << (width - 1)), (1 << (width - 1)) - 1
        found = Permutation(KEY, width).of(np.array([least, -1, 0, most]))
        assert all(least <= one <= most for one in found)
        assert [one < 0 for one in found] == [True, True, False, False]


def test_integer_and_bigint_fit_each_other_and_large_numbers_stay_apart_from_small_ones() -> None:
    numbers = np.array([0, 5, SMALL - 1, -5])
    assert Permutation(KEY, 32).of(numbers) == Permutation(KEY, 64).of(numbers)
    large = np.arange(SMALL, SMALL + 20_000)
    found = Permutation(KEY, 64).of(large)
    assert len(set(found)) == 20_000
    assert min(found) >= SMALL
    assert Permutation(b"l" * 32, 64).of(large) != found
