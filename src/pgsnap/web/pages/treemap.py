"""A treemap: rectangles whose areas are amounts, as near to squares as they can be (Bruls,
Huizing and van Wijk, "Squarified treemaps")."""

from __future__ import annotations

from collections.abc import Sequence

from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """Where a rectangle lies."""

    x: float
    y: float
    width: float
    height: float


def squarified(amounts: Sequence[float], room: Box) -> list[Box]:
    """Return a rectangle of *room* for each of *amounts*, which are positive and descend."""
    total = sum(amounts)
    if not amounts or total <= 0:
        return []
    scale = room.width * room.height / total
    areas = [amount * scale for amount in amounts]
    boxes: list[Box] = []
    first = 0
    while first < len(areas):
        last = first + 1
        side = min(room.width, room.height)
        while last < len(areas) and _worst(areas[first : last + 1], side) <= _worst(
            areas[first:last], side
        ):
            last += 1
        row, room = _row(areas[first:last], room)
        boxes += row
        first = last
    return boxes


def _worst(areas: Sequence[float], side: float) -> float:
    """Return how far from a square the worst rectangle of a row along *side* is."""
    total = sum(areas)
    if total <= 0 or side <= 0:
        return 0.0
    return max(side**2 * areas[0] / total**2, total**2 / (side**2 * areas[-1]))


def _row(areas: Sequence[float], room: Box) -> tuple[list[Box], Box]:
    """Return the rectangles of a row along the shorter side of *room*, and what room is left."""
    total = sum(areas)
    boxes = []
    if room.width >= room.height:
        width = total / room.height if room.height else 0.0
        y = room.y
        for area in areas:
            height = area / width if width else 0.0
            boxes.append(Box(room.x, y, width, height))
            y += height
        return boxes, Box(room.x + width, room.y, max(room.width - width, 0.0), room.height)
    height = total / room.width
    x = room.x
    for area in areas:
        width = area / height if height else 0.0
        boxes.append(Box(x, room.y, width, height))
        x += width
    return boxes, Box(room.x, room.y + height, room.width, max(room.height - height, 0.0))
