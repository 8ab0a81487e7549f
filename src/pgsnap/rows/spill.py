"""Spilling rows that do not fit into memory: their records in a pile, their texts in a file."""

from __future__ import annotations

import tempfile
from typing import BinaryIO

import numpy as np

from pgsnap.chunking.row_hash import Offsets
from pgsnap.rows.sets import COLUMNS, Records

_ROW_BYTES = COLUMNS * 8


class Pile:
    """Records partitioned by the hash in one of their columns, in memory up to *memory_bytes*, the
    rest in an unnamed temporary file. It is read in *parts* parts of about equal size."""

    def __init__(self, column: int, parts: int, memory_bytes: int) -> None:
        self._column = column
        self._parts = parts
        self._memory_bytes = memory_bytes
        self._held: list[Records] = []
        self._held_rows = 0
        self._file: BinaryIO | None = None
        # For each time that records were written to the file: where each part of them begins there.
        self._bounds: list[Offsets] = []
        self._filed_rows = 0

    @property
    def is_spilled(self) -> bool:
        return self._file is not None

    @property
    def rows(self) -> int:
        return self._held_rows + self._filed_rows

    def add(self, found: Records) -> None:
        if not len(found):
            return
        self._held.append(found)
        self._held_rows += len(found)
        if self._held_rows * _ROW_BYTES > self._memory_bytes:
            self._spill()

    def part(self, number: int, of: int) -> Records:
        """Return part *number*; *of* is 1 for all at once (if nothing is in the file), else
        *parts*."""
        held = np.concatenate([np.empty((0, COLUMNS), np.uint64), *self._held])
        if of == 1:
            return held
        found = [held[self._part_of(held) == number]]
        for bounds in self._bounds:
            assert self._file is not None
            first, last = int(bounds[number]), int(bounds[number + 1])
            self._file.seek(first * _ROW_BYTES)
            data = self._file.read((last - first) * _ROW_BYTES)
            found.append(np.frombuffer(data, np.uint64).reshape(-1, COLUMNS))
        return np.concatenate(found)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _part_of(self, found: Records) -> Offsets:
        part = (found[:, self._column] >> np.uint64(32)) * np.uint64(self._parts)
        return (part >> np.uint64(32)).astype(np.int64)

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="snap-diff-")  # noqa: SIM115 - see close
        held = np.concatenate(self._held)
        parts = self._part_of(held)
        order = np.argsort(parts, kind="stable")
        bounds = np.searchsorted(parts[order], np.arange(self._parts + 1))
        self._file.seek(0, 2)
        self._file.write(held[order].data)
        self._bounds.append(bounds + self._filed_rows)
        self._filed_rows += len(held)
        self._held, self._held_rows = [], 0


class Texts:
    """The texts of rows, in an unnamed temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="snap-diff-")  # noqa: SIM115 - see close
        self._size = 0

    def add(self, text: bytes) -> int:
        """Store *text* and return its position."""
        place = self._size
        self._file.seek(place)
        self._file.write(text)
        self._size += len(text)
        return place

    def get(self, place: int, size: int) -> bytes:
        self._file.seek(place)
        return self._file.read(size)

    def close(self) -> None:
        self._file.close()
