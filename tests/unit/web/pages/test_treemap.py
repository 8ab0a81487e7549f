from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgsnap.web.pages.treemap import Box, squarified

ROOM = Box(0, 0, 960, 320)


@given(st.lists(st.integers(1_000, 500_000), max_size=60))
def test_areas_are_the_amounts_and_boxes_share_no_room(amounts: list[int]) -> None:
    amounts.sort(reverse=True)
    boxes = squarified(amounts, ROOM)
    assert len(boxes) == len(amounts)
    for amount, box in zip(amounts, boxes, strict=True):
        share = amount / sum(amounts)
        assert box.width * box.height == pytest.approx(share * 960 * 320, rel=1e-6)
        assert box.x >= -1e-3
        assert box.y >= -1e-3
        assert box.x + box.width <= 960 + 1e-3
        assert box.y + box.height <= 320 + 1e-3
    for place, one in enumerate(boxes):
        for other in boxes[:place]:
            width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
            height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
            assert min(width, height) < 1e-3


def test_equal_amounts_become_nearly_squares() -> None:
    ratios = [box.width / box.height for box in squarified([1] * 12, ROOM)]
    assert max(ratios) < 2
    assert min(ratios) > 0.5
    assert squarified([], ROOM) == []
