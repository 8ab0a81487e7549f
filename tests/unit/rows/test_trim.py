"""Equal rows of two texts are taken out where they stand."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pgsnap.rows.trim import without_equal


def texts(count: int) -> list[bytes]:
    chance = random.Random(count)
    return [
        b"%d\t%s\n" % (n, chance.randbytes(chance.randrange(60)).hex().encode())
        for n in range(count)
    ]


@pytest.mark.parametrize("in_step", [True, False])
def test_only_what_differs_is_left_of_texts_that_are_alike(in_step: bool) -> None:
    a = texts(20_000)
    b = [*a[:5000], b"x\ty\n", *a[5000:9000], *a[9003:12_000], b"12000\tz\n", *a[12_001:]]
    first = a if in_step else a[700:]
    left_a, left_b, rest_a, rest_b = without_equal(b"".join(first), b"".join(b[:19_000]))
    assert (rest_a, rest_b) == (b"".join(a[19_002:]), b"")
    assert b"".join(left_a) == b"".join([*a[9000:9003], a[12_000]])
    assert b"".join(left_b) == b"".join([*([] if in_step else a[:700]), b"x\ty\n", b"12000\tz\n"])


def test_no_row_is_lost_where_nothing_is_in_step() -> None:
    a, b = texts(3000), texts(3000)
    random.Random(1).shuffle(b)
    left_a, left_b, rest_a, rest_b = without_equal(b"".join(a), b"".join(b))
    lines = [
        Counter((b"".join(left) + rest).splitlines())
        for left, rest in ((left_a, rest_a), (left_b, rest_b))
    ]
    assert lines[0] == lines[1]
    assert lines[0] <= Counter(b"".join(a).splitlines())
