"""What the suite leaves to `make test-long`: breadth, never a behaviour.

SNAP_LONG=1 runs all of it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import product
from typing import Any, TypeVar

T = TypeVar("T")

IS_LONG = os.environ.get("SNAP_LONG") == "1"


def crossed(*dimensions: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the combinations of *dimensions*: all of them in a long run, else as few as it takes
    that each value occurs."""
    if IS_LONG:
        return list(product(*dimensions))
    longest = max(len(each) for each in dimensions)
    return [tuple(each[number % len(each)] for each in dimensions) for number in range(longest)]


def some(values: Sequence[T], every: int) -> list[T]:
    """Return all of *values* in a long run, else the first of each *every* and the last."""
    return list(values) if IS_LONG else [*values[:-1:every], *values[-1:]]


def times(few: int, many: int) -> int:
    """Return how often something is repeated: *many* times in a long run."""
    return many if IS_LONG else few
