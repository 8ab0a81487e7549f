"""What has to be changed in one text to get another: rows that both have are found by their hashes.

All is done with arrays, and the few loops are over runs of rows that stayed together.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pgsnap.chunking.row_hash import PAIR_BYTES, Hashes, Offsets, RowHash, UnalignedWords

Bytes: TypeAlias = NDArray[np.uint8]
Edits: TypeAlias = NDArray[np.int64]
"""A row for each: where it begins in the old text, and how many bytes it removes and adds there."""
Regions: TypeAlias = Sequence[tuple[int, int, int, int]]
"""Ascending, from where to where each is in the old and in the new text."""

RUNS_MAX = 2_000
"""Texts that share more runs of rows than this have too little in common."""

_LINE_END = 10
_COMPARED_BYTES, _COMPARED_BYTES_MAX = 8 * 1024, 64 * 1024
_HALVED_BYTES_MIN = 256
# Differences closer to each other than this are one edit: its numbers take as many bytes.
_GAP_BYTES = 8
# How many edits are looked for one by one: beyond that hashing all rows takes less time. Whether
# there will be more is estimated after the first ones.
_STEPS_MAX = 128
_FIRST_STEPS = 16
# Hashing rows shorter than this takes longer than searching the texts for matches does.
_ROW_BYTES_MIN = 40
_SAMPLE_BYTES = 4 * 1024
# Where texts differ, they go on alike where this much of the new one, from the begin of one of the
# next rows, is near in the old one.
_ALIKE_BYTES = 48
_ROWS_TRIED = 8
_NEAR_BYTES = 8 * 1024
_FIRST = np.zeros(1, np.int64)
# What the row hash may read around a row.
_MARGIN = PAIR_BYTES
_REGION = np.uint64(0x9E3779B97F4A7C15)


class RowEdits:
    """Finds edits. May be shared by threads.

    Texts may be cut into regions: then rows are only looked for in the region of the same number.
    """

    def __init__(self) -> None:
        self._row_hash = RowHash(0)

    def between(self, old: bytes, new: bytes) -> Edits | None:
        """Return the edits that make *new* of *old*; None if they have too little in common."""
        found, old_at, new_at = _step_by_step(old, new)
        if old_at == len(old) and new_at == len(new):
            return found
        if new.count(b"\n", new_at, new_at + _SAMPLE_BYTES) > _SAMPLE_BYTES // _ROW_BYTES_MIN:
            return None
        a, b = np.frombuffer(old, np.uint8)[old_at:], np.frombuffer(new, np.uint8)[new_at:]
        rest = self.within(a, b, np.array([len(a)]), np.array([len(b)]))
        if rest is None:
            return None
        rest[:, 0] += old_at
        return np.concatenate((found, rest))

    def step_by_step(self, old: bytes, new: bytes, regions: Regions) -> Edits | None:
        """Return the same as `between`, or None where that takes hashing rows. They are known to
        differ only in some *regions*."""
        found, old_at, new_at = _step_by_step(old, new, regions)
        return found if old_at == len(old) and new_at == len(new) else None

    def within(
        self, old: Bytes, new: Bytes, old_stops: Offsets, new_stops: Offsets
    ) -> Edits | None:
        """Return the edits that make *new* of *old*, region by region: the regions end at
        *old_stops* and *new_stops*. None if they have too little in common."""
        rows, row_hashes = self._rows((old, new), (old_stops, new_stops))
        (old_rows, new_rows), (old_hashes, new_hashes) = rows, row_hashes
        counterparts = _counterparts(old_hashes, new_hashes)
        firsts, lasts = _runs(counterparts, np.searchsorted(new_rows, new_stops))
        # Rows without a line end are not among those found, so each row begins where one ended.
        runs = np.empty((len(firsts), 3), np.int64)
        runs[:, 0] = old_rows[counterparts[firsts]]
        runs[:, 1] = new_rows[firsts]
        runs[:, 2] = new_rows[lasts + 1] - new_rows[firsts]
        # Equal hashes do not prove anything.
        runs = runs[old_rows[counterparts[lasts] + 1] - runs[:, 0] == runs[:, 2]]
        runs = runs[_region(runs[:, 0], runs[:, 2], old_stops) >= 0]
        runs = runs[
            _region(runs[:, 0], runs[:, 2], old_stops) == _region(runs[:, 1], runs[:, 2], new_stops)
        ]
        if len(runs) > RUNS_MAX:
            return None
        # Where regions end, nothing stays in between: so no edit reaches from one into the next.
        ends = np.stack((old_stops, new_stops, np.zeros_like(old_stops)), axis=1)
        runs = np.concatenate((ends, _ascending(runs)))
        return _edits(old, new, runs[np.lexsort((runs[:, 0], runs[:, 1]))])

    def _rows(
        self, texts: Sequence[Bytes], stops: Sequence[Offsets]
    ) -> tuple[list[Offsets], list[Hashes]]:
        """Return for each of two *texts* where its rows begin (and where the last one ends), and
        their hashes, which differ from region to region."""
        buffer = np.zeros(sum(map(len, texts)) + 2 * _MARGIN, np.uint8)
        np.concatenate(texts, out=buffer[_MARGIN:-_MARGIN])
        words = UnalignedWords(buffer)
        rows, hashes, at = [], [], _MARGIN
        for text, ends_of_regions in zip(texts, stops, strict=True):
            ends = np.flatnonzero(text == _LINE_END) + 1
            starts = np.concatenate((_FIRST, ends))
            of_rows = self._row_hash.sampled(words, starts[:-1] + at, ends - 1 + at)
            if len(ends_of_regions) > 1:
                region = np.searchsorted(ends_of_regions, starts[:-1], side="right")
                of_rows ^= region.astype(np.uint64) * _REGION
            rows.append(starts)
            hashes.append(of_rows)
            at += len(text)
        return rows, hashes


def _counterparts(old: Hashes, new: Hashes) -> Offsets:
    """Return for each row of *new* the number of a row of *old* with the same hash, or -1."""
    numbers = np.arange(len(new))
    if not len(old) or not len(new):
        return np.full(len(new), -1)
    bits = max(int(2 * len(old)).bit_length(), 4)
    shift = np.uint64(64 - bits)
    table = np.full(1 << bits, -1, np.int64)
    places = (old >> shift).astype(np.int64)
    table[places] = np.arange(len(old))
    # A row that comes more than once says nothing about where its neighbours are.
    other = table[places]
    twice = (other != np.arange(len(old))) & (old[other] == old)
    table[places[twice]] = -1
    found = table[(new >> shift).astype(np.int64)]
    found[old[found] != new] = -1
    # The rest are found beside the next row before them that was, then behind them.
    for ahead in (False, True):
        if ahead:
            known = np.where(found >= 0, numbers, len(new))
            nearest = np.minimum.accumulate(known[::-1])[::-1]
            shifts = np.append(found - numbers, len(old) - len(new))[nearest]
        else:
            nearest = np.maximum.accumulate(np.where(found >= 0, numbers, -1))
            shifts = np.append(found - numbers, 0)[nearest]
        wanted = numbers + shifts
        fits = (found < 0) & (wanted >= 0) & (wanted < len(old))
        fits[fits] = old[wanted[fits]] == new[fits]
        found[fits] = wanted[fits]
    return found


def _region(starts: Offsets, sizes: Offsets, stops: Offsets) -> Offsets:
    """Return in which of the regions that end at *stops* each range lies, -1 if in none."""
    regions = np.searchsorted(stops, starts, side="right")
    return np.where(starts + sizes <= stops[np.minimum(regions, len(stops) - 1)], regions, -1)


def _runs(counterparts: Offsets, begins: Offsets) -> tuple[Offsets, Offsets]:
    """Return the first and the last row of each run whose rows follow each other in the old text,
    too; the rows *begins* begin one in any case."""
    goes_on = np.zeros(len(counterparts) + 1, np.bool_)
    goes_on[1:-1] = (np.diff(counterparts) == 1) & (counterparts[:-1] >= 0)
    goes_on[begins[begins < len(counterparts)]] = False
    is_found = counterparts >= 0
    return (
        np.flatnonzero(is_found & ~goes_on[:-1]),
        np.flatnonzero(is_found & ~goes_on[1:]),
    )


def _ascending(runs: Edits) -> Edits:
    """Return those of *runs* (old offset, new offset, bytes) that have the same order in both
    texts, ordered by new offset as they are: the longest before others."""
    ends = runs[:-1, 0] + runs[:-1, 2]
    if not len(runs) or np.all(ends <= runs[1:, 0]):
        return runs
    kept_old: list[int] = []
    kept: list[tuple[int, int, int]] = []
    for number in np.argsort(-runs[:, 2], kind="stable").tolist():
        old, new, size = runs[number].tolist()
        place = bisect(kept_old, old)
        before, after = kept[place - 1 : place], kept[place : place + 1]
        if any(a + n > old or b + n > new for a, b, n in before) or any(
            old + size > a or new + size > b for a, b, _ in after
        ):
            continue
        kept_old.insert(place, old)
        kept.insert(place, (old, new, size))
    return np.array(kept, np.int64).reshape(-1, 3)


def _edits(old: Bytes, new: Bytes, runs: Edits) -> Edits:
    """Return what lies between *runs*, and what differs inside: not all bytes of a long row are
    hashed."""
    found: list[tuple[int, int, int]] = []
    old_text, new_text = old.tobytes(), new.data
    old_at = new_at = 0
    for old_start, new_start, size in runs.tolist():
        if old_start > old_at or new_start > new_at:
            found.append((old_at, old_start - old_at, new_start - new_at))
        old_at, new_at = old_start + size, new_start + size
        # For short runs NumPy takes ten times as long.
        if not old_text.startswith(new_text[new_start:new_at], old_start):
            a, b = old[old_start:old_at], new[new_start:new_at]
            places = np.flatnonzero(a != b)
            breaks = np.flatnonzero(np.diff(places) > _GAP_BYTES)
            firsts = places[np.concatenate(([0], breaks + 1))]
            sizes = places[np.concatenate((breaks, [-1]))] + 1 - firsts
            found += zip((firsts + old_start).tolist(), sizes.tolist(), sizes.tolist(), strict=True)
    return np.array(found, np.int64).reshape(-1, 3)


def _step_by_step(old: bytes, new: bytes, regions: Regions | None = None) -> tuple[Edits, int, int]:
    """Return the first edits, and how far in both texts the search for them came: to the end,
    unless there are many or one is large. *regions* is where they may differ, None if anywhere."""
    common_head = _CommonHead(old, new, regions)
    found: list[tuple[int, int, int]] = []
    old_at = new_at = 0
    while len(found) < _STEPS_MAX:
        if len(found) == _FIRST_STEPS and new_at < len(new) * _FIRST_STEPS // _STEPS_MAX:
            break
        same = common_head.of(old_at, new_at)
        if old_at + same == len(old) and new_at + same == len(new):
            return np.array(found, np.int64).reshape(-1, 3), len(old), len(new)
        # To where the row began that differs.
        row = new.rfind(b"\n", new_at, new_at + same) + 1
        old_at, new_at = (old_at + row - new_at, row) if row else (old_at, new_at)
        place = _again_alike(old, new, old_at, new_at)
        if place is None:
            break
        found.append((old_at, place[0] - old_at, place[1] - new_at))
        old_at, new_at = place
    return np.array(found, np.int64).reshape(-1, 3), old_at, new_at


def _again_alike(old: bytes, new: bytes, old_at: int, new_at: int) -> tuple[int, int] | None:
    """Return where both go on alike after a difference: at the begin of a row that is near in
    both."""
    found, row, least = None, new_at, _NEAR_BYTES
    for _ in range(_ROWS_TRIED):
        wanted = new[row : row + _ALIKE_BYTES]
        # A row that was moved may be found, too, but further away than those that were not.
        near = old_at + least - (row - new_at)
        if len(wanted) < _ALIKE_BYTES or near <= old_at:
            break
        place = old.find(wanted, old_at, near + _ALIKE_BYTES)
        # At the begin of a row, or a column that has the same text would do.
        if place == old_at or (place > 0 and old[place - 1] == _LINE_END):
            found, least = (place, row), place - old_at + row - new_at
        row = new.find(b"\n", row) + 1
        if not row:
            break
    return found


class _CommonHead:
    """Compares two texts from place to place. Where they are known to be alike it does not look."""

    def __init__(self, old: bytes, new: bytes, regions: Regions | None) -> None:
        self._old, self._new = old, memoryview(new)
        if regions is None:
            regions = [(0, len(old), 0, len(new))]
        # One more, so that what follows the last one has an end.
        self._regions = [*regions, (len(old), len(old), len(new), len(new))]
        # The first region that does not end before the place of the last call.
        self._next = 0

    def of(self, old_at: int, new_at: int) -> int:
        """Return how many bytes are the same from there on; places ascend from call to call."""
        size = min(len(self._old) - old_at, len(self._new) - new_at)
        self._next = number = self._number_of(self._next, old_at, new_at)
        same, step = 0, _COMPARED_BYTES
        while same < size:
            number = self._number_of(number, old_at + same, new_at + same)
            start, _, new_start, _ = self._regions[number]
            if old_at + same < start and new_at - old_at == new_start - start:
                same, step = start - old_at, _COMPARED_BYTES
                continue
            stop = min(same + step, size)
            if not self._are_alike(old_at + same, new_at + same, stop - same):
                return same + self._alike_before(old_at + same, new_at + same, stop - same)
            same, step = stop, min(2 * step, _COMPARED_BYTES_MAX)
        return size

    # Without NumPy: other threads would take Python's lock in each of its calls, and to get it back
    # takes longer than the comparison.

    def _are_alike(self, old_at: int, new_at: int, size: int) -> bool:
        return self._old.startswith(self._new[new_at : new_at + size], old_at)

    def _alike_before(self, old_at: int, new_at: int, size: int) -> int:
        """Return how many bytes come before the first of *size* that differs."""
        same = 0
        while size > _HALVED_BYTES_MIN:
            half = size // 2
            if self._are_alike(old_at + same, new_at + same, half):
                same, size = same + half, size - half
            else:
                size = half
        old = self._old[old_at + same : old_at + same + size]
        new = self._new[new_at + same : new_at + same + size]
        differ = int.from_bytes(old, "little") ^ int.from_bytes(new, "little")
        return same + ((differ & -differ).bit_length() - 1) // 8

    def _number_of(self, number: int, old_at: int, new_at: int) -> int:
        """Return the first region, of those from *number* on, that ends after a place in either
        text."""
        last = len(self._regions) - 1
        while number < last:
            _, stop, _, new_stop = self._regions[number]
            if stop > old_at or new_stop > new_at:
                break
            number += 1
        return number
