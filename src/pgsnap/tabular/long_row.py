"""A row that is longer than a block of text, for SQLite: its values without a further copy."""

from __future__ import annotations

import codecs
from binascii import unhexlify
from collections.abc import Callable, Sequence

import numpy as np

from pgsnap.tabular.escapes import long_value

_SHORT_BYTES = 64 * 1024
_PIECE_BYTES = 1024 * 1024
_HEX = rb"\\x"


def long_row(
    block: bytes,
    kinds: Sequence[str],
    convert: Callable[[int, str], object],
) -> list[object] | None:
    """Return the values of a block that is one row of COPY text in UTF-8: long texts as their
    bytes, in a memoryview, other long values as bytes. *kinds* say of each column whether it is
    "text", "bytes", or something else; short values of the columns are what *convert* makes of
    their numbers and texts. None if the block is anything else than that."""
    if block.find(b"\n") != len(block) - 1 or block.count(b"\t") + 1 != len(kinds):
        return None
    whole, values, start = memoryview(block), list[object](), 0
    for at, kind in enumerate(kinds):
        end = block.find(b"\t", start)
        end = end if end >= 0 else len(block) - 1
        field = whole[start:end]
        start = end + 1
        try:
            if len(field) <= _SHORT_BYTES:
                values.append(convert(at, str(field, "utf-8")))
            elif kind == "bytes" and field[: len(_HEX)] == _HEX:
                values.append(unhexlify(field[len(_HEX) :]))
            elif kind == "text":
                _check_utf8(field)
                values.append(long_value(np.frombuffer(field, np.uint8)).data)
            else:
                return None
        except ValueError:
            return None
    return values


def _check_utf8(text: memoryview) -> None:
    """Raise ValueError for what is no UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for at in range(0, len(text), _PIECE_BYTES):
        piece = text[at : at + _PIECE_BYTES]
        decoder.decode(bytes(piece), final=at + len(piece) == len(text))
