"""A cache of decoded values: in a repository with tens of thousands of snapshots most parts of one
are, byte for byte, those of the one before."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_Value = TypeVar("_Value")


def remembered(
    decode: Callable[[bytes, str], _Value], *, bytes_max: int, most: int
) -> Callable[[bytes, str], _Value]:
    """Return *decode*, a function of stored bytes and their object's name for errors, with a cache
    of up to *most* results; the bytes alone are the key.

    Values larger than *bytes_max* are not cached: snap itself writes none that large. Errors are
    not cached, so that each one names its object.
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
