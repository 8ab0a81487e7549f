"""What was decoded before is not decoded again: of a repository with tens of thousands of snapshots
most parts of one are, byte for byte, those of the one before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_Value = TypeVar("_Value")


def remembered(
    decode: Callable[[bytes, str], _Value], *, bytes_max: int, most: int
) -> Callable[[bytes, str], _Value]:
    """Return *decode*, of stored bytes and the name of their object for errors, with up to *most*
    results kept by their bytes alone.

    Larger values than *bytes_max* are not kept: they would be a stranger's. What raises is decoded
    each time, so that an error names its object.
    """
    kept: dict[bytes, _Value] = {}

    def call(data: bytes, what: str) -> _Value:
        found = kept.get(data)
        if found is None:
            found = decode(data, what)
            if len(data) <= bytes_max:
                if len(kept) >= most:
                    kept.clear()
                kept[data] = found
        return found

    return call
