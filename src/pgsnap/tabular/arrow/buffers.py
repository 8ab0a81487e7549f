"""The bytes of Arrow's strings as NumPy sees them, and strings from such bytes."""

from __future__ import annotations

from binascii import unhexlify
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pgsnap.dump.definitions.copy_text import without_escapes
from pgsnap.tabular.escapes import (
    BACKSLASH,
    Bytes,
    escape_starts,
    has_numbers,
    long_value,
    meanings,
)

Offsets = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]

_UUID_CHARACTERS = 36
# What is known of each byte of a longer value is held for a part of it at a time.
_LONG_BYTES = 4 * 1024 * 1024


def single(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def parts_of(strings: pa.Array) -> tuple[Bytes, Offsets]:
    """Return the bytes of all *strings*, and where each begins and ends in them."""
    _, offsets_buffer, data_buffer = strings.buffers()
    if offsets_buffer is None or not len(strings):
        return np.zeros(0, np.uint8), np.zeros(len(strings) + 1, np.int32)
    offsets = np.frombuffer(offsets_buffer, np.int32)[strings.offset :][: len(strings) + 1]
    data = (
        np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    )
    return data[offsets[0] : offsets[-1]], offsets - offsets[0]


def validity_of(array: pa.Array) -> pa.Buffer | None:
    """Return the bits that say which values are not NULL, from the first one on."""
    return pc.is_valid(array).buffers()[1] if array.null_count else None


def strings_of(data: Bytes, offsets: Offsets, like: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return strings or bytes with NULLs where *like* has them."""
    buffers = [
        validity_of(like),
        pa.py_buffer(np.ascontiguousarray(offsets, np.int32)),
        pa.py_buffer(np.ascontiguousarray(data)),
    ]
    return pa.Array.from_buffers(kind, len(like), buffers)


def meant_strings(strings: pa.Array) -> pa.Array:
    """Return *strings* of COPY's text format as they are meant."""
    data, offsets = parts_of(strings)
    if len(strings) == 1 and len(data) > _LONG_BYTES:
        found = long_value(data)
        return strings if found is data else _one_string(found)
    if not (data == BACKSLASH).any():
        return strings
    starts = escape_starts(data)
    if has_numbers(data, starts):
        values = strings.cast(pa.binary()).to_pylist()
        meant = pa.array([v if v is None else without_escapes(v) for v in values], pa.binary())
        return meant.cast(pa.string())
    text = data.copy()
    text[starts + 1] = meanings()[data[starts + 1]]
    keep = np.ones(len(data), np.bool_)
    keep[starts] = False
    fewer = np.searchsorted(starts, offsets, "left")
    return strings_of(text[keep], offsets - fewer, strings, pa.string())


def _one_string(data: Bytes) -> pa.Array:
    offsets = pa.py_buffer(np.array([0, len(data)], np.int32))
    return pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(data)])


def uuids(strings: pa.Array) -> pa.Array:
    """Return UUIDs from their text. Raises ValueError."""
    # There may be text behind a NULL.
    data, offsets = parts_of(strings.drop_null())
    if (np.diff(offsets) != _UUID_CHARACTERS).any():
        raise ValueError("not a UUID")
    text = np.delete(data.reshape(-1, _UUID_CHARACTERS), (8, 13, 18, 23), axis=1)
    values = np.zeros((len(strings), 16), np.uint8)
    values[_is_there(strings)] = np.frombuffer(unhexlify(text.tobytes()), np.uint8).reshape(-1, 16)
    storage = pa.Array.from_buffers(
        pa.binary(16), len(strings), [validity_of(strings), pa.py_buffer(values)]
    )
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def byte_strings(strings: pa.Array, prefix: bytes) -> pa.Array:
    """Return the bytes of bytea's hex format: digits behind *prefix*. Raises ValueError for another
    format. A value may have hundreds of megabytes, so little is held beside it."""
    data, offsets = parts_of(strings.drop_null())
    starts, lengths = offsets[:-1], np.diff(offsets)
    is_hex = bool((lengths >= len(prefix)).all())
    for at, byte in enumerate(prefix):
        is_hex = is_hex and bool((data[starts + at] == byte).all())
    if not is_hex:
        raise ValueError("not in hex format")
    digits = data[len(prefix) :]
    if len(starts) != 1:
        keep = np.ones(len(data), np.bool_)
        for at in range(len(prefix)):
            keep[starts + at] = False
        digits = data[keep]
    sizes = np.zeros(len(strings), np.int64)
    sizes[_is_there(strings)] = (lengths - len(prefix)) // 2
    ends = np.concatenate(([0], np.cumsum(sizes)))
    values = np.frombuffer(unhexlify(digits.data), np.uint8)
    return strings_of(values, ends, strings, pa.binary())


def _is_there(strings: pa.Array) -> Flags:
    there: Flags = np.asarray(strings.is_valid())
    return there
