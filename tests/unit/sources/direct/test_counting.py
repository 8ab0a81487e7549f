"""Counting the bytes and rows of blocks: with NumPy, and without it where there are few."""

from __future__ import annotations

import random

import pytest

from pgsnap.errors import DumpFailed
from pgsnap.sources.direct.counting import BlockCounter, FewBlocksCounter, block_counter


def lines(numbers: list[int]) -> bytes:
    return b"".join(b"%d\n" % number for number in numbers)


def test_few_blocks_are_counted_as_many_are() -> None:
    chance = random.Random(5)
    for _ in range(200):
        rows = [chance.choice((0, 0, 1, 2, 9)) for _ in range(chance.randrange(12))]
        text = b"".join(b"x" * chance.choice((0, 1, 30)) + b"\n" for _ in range(sum(rows)))
        few, many = FewBlocksCounter(lines(rows)), BlockCounter(lines(rows))
        at = 0
        while at < len(text):
            piece = text[at : at + chance.choice((1, 5, 40))]
            at += len(piece)
            few.add(piece)
            many.add(piece)
            assert few.settled() == many.settled()
        assert (few.row_counts, few.byte_counts) == (many.row_counts, many.byte_counts)
        few.finish("t")
        many.finish("t")
        # A row more than the server counted, one without its end, and one that did not come.
        for kind in (FewBlocksCounter, BlockCounter):
            for counted, more in ((rows, b"y\n"), (rows, b"y"), ([*rows, 1], b"")):
                counter = kind(lines(counted))
                counter.add(text + more)
                with pytest.raises(DumpFailed, match="the rows of t are not those of its blocks"):
                    counter.finish("t")
    assert isinstance(block_counter(lines([1] * 64)), FewBlocksCounter)
    assert isinstance(block_counter(lines([1] * 65)), BlockCounter)
