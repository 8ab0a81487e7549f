"""The difference of two multisets of rows, streamed in blocks, in bounded memory.

Rows of both sides are compared window by window: while the sides are in step, nearly all rows find
their equals in the same window. The others go to two piles, which are compared at the end; only for
these rows the key is computed, and the text kept if wanted.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import numpy as np

from pgsnap import interrupts
from pgsnap.chunking.row_hash import Hashes
from pgsnap.limits import MIB
from pgsnap.rows.digest import Digests, LongRow, RowDigest
from pgsnap.rows.sets import FIRST, KEY, PLACE, Key, Records, Rows, joined_key, records, unmatched
from pgsnap.rows.spill import Pile, Texts
from pgsnap.rows.trim import without_equal
from pgsnap.values import dataclass

BEFORE, AFTER = 0, 1

# Both sides together. Larger windows find more equals, smaller ones fit into the cache.
_WINDOW_BYTES = 4 * MIB
_WINDOWS_IN_FLIGHT = 3
# A longer row is digested as it arrives.
_ROW_HELD_BYTES = 4 * MIB
_PILE_BYTES = 16 * MIB
"""Memory for each of at most four piles."""
ROW_KEPT_BYTES = 16 * MIB
"""The text of a longer row is not kept."""
NOT_KEPT = (1 << 64) - 1
_PARTS_MAX = 1024

_Compared: TypeAlias = "list[tuple[Records, bytes]]"


@dataclass(frozen=True, slots=True)
class RowText:
    """A row. *text* is None if it was not kept, being longer than ROW_KEPT_BYTES."""

    text: bytes | None
    size: int


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row that is on one side only, or both versions of a row with the same key."""

    before: RowText | None
    after: RowText | None


@dataclass(slots=True)
class Counts:
    """How many rows are on one side only; *changed* counts those whose key is on both sides (they
    are not in *removed* or *added*)."""

    removed: int = 0
    added: int = 0
    changed: int = 0


class RowDifference:
    """Takes the rows of two sides, BEFORE and AFTER, and finds the differences.

    *keys* are those of each side, None if rows have no key that both sides share. With *keep_texts*
    the changed rows themselves are kept. *rows_expected* (both sides) only determines the number of
    parts. Not thread-safe; use it as a context manager.
    """

    def __init__(
        self, keys: tuple[Key, Key] | None, *, keep_texts: bool = False, rows_expected: int = 0
    ) -> None:
        self._digest = _shared_digest()
        self._keys = keys
        self._texts = Texts() if keep_texts else None
        self._parts = min(_PARTS_MAX, 2 + rows_expected * 80 // _PILE_BYTES)
        self._piles = self._two_piles(FIRST)
        self._key_piles = self._two_piles(KEY)
        self._sides = tuple(
            _Side(self._digest, keys[side] if keys else None, keep_texts) for side in (0, 1)
        )
        self._pool: ThreadPoolExecutor | None = None
        self._under_way: deque[Future[_Compared]] = deque()

    def _two_piles(self, column: int) -> tuple[Pile, Pile]:
        return (
            Pile(column, self._parts, _PILE_BYTES),
            Pile(column, self._parts, _PILE_BYTES),
        )

    def __enter__(self) -> RowDifference:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        for pile in (*self._piles, *self._key_piles):
            pile.close()
        if self._texts is not None:
            self._texts.close()

    # -- input -------------------------------------------------------------------------------------

    def feed(self, side: int, block: bytes) -> None:
        """Add the next bytes of the rows of one side."""
        own = self._sides[side]
        own.feed(block)
        for long in own.take_long():
            self._keep_long(side, long)
        if sum(each.whole_bytes for each in self._sides) >= _WINDOW_BYTES:
            self._compare_window()

    def is_in_row(self, side: int) -> bool:
        """Return whether the last row of a side still lacks its line end."""
        return self._sides[side].is_in_row

    @property
    def rows_alone(self) -> int:
        """How many rows, of both sides together, have found no equal so far."""
        return sum(pile.rows for pile in self._piles)

    def _compare_window(self) -> None:
        left = self._trimmed(last=False)
        if not any(map(len, left)):
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(os.cpu_count() or 2, thread_name_prefix="snap-diff")
        while len(self._under_way) >= _WINDOWS_IN_FLIGHT:
            self._collect(interrupts.result(self._under_way.popleft()))
        self._under_way.append(self._pool.submit(self._compare, *left))

    def _trimmed(self, *, last: bool) -> tuple[list[bytes], list[bytes]]:
        """Return the pending rows, without those that both sides have in step. What one side has
        beyond the end of the other stays pending, unless this is the *last* window."""
        texts = [b"".join(each.take()) for each in self._sides]
        *left, rest_before, rest_after = without_equal(*texts)
        found: tuple[list[bytes], list[bytes]] = (left[0], left[1])
        for each, rows, rest in zip(self._sides, found, (rest_before, rest_after), strict=True):
            if last or len(rest) > _WINDOW_BYTES // 2:
                rows.append(rest)
            elif rest:
                each.put_back(rest)
        return found

    def _compare(self, before: list[bytes], after: list[bytes]) -> _Compared:
        """Return the rows of a window that have no equal in it, and their texts if wanted."""
        rows = Rows(before), Rows(after)
        digests = [each.digests(self._digest) for each in rows]
        unequal = unmatched(*digests)
        found: _Compared = []
        for side in (BEFORE, AFTER):
            alone = rows[side].chosen(unequal[side])
            keys = None
            if self._keys is not None and len(alone):
                keys = alone.keys(self._digest, self._keys[side])
            sizes = alone.stops - alone.starts
            made = records(digests[side][unequal[side]], keys, alone.starts, sizes)
            found.append((made, alone.text() if self._texts is not None else b""))
        return found

    def _collect(self, compared: _Compared) -> None:
        for pile, (found, text) in zip(self._piles, compared, strict=True):
            if self._texts is not None and len(found):
                found[:, PLACE] += np.uint64(self._texts.add(text))
            pile.add(found)

    def _keep_long(self, side: int, long: _Long) -> None:
        kept = long.text is not None and self._texts is not None
        place = self._texts.add(long.text) if kept and self._texts and long.text else NOT_KEPT
        made = records(long.digest, long.key, np.array([0]), np.array([long.size]))
        made[0, PLACE] = place
        self._piles[side].add(made)

    # -- results -----------------------------------------------------------------------------------

    def finish(self) -> Counts:
        """Return how many rows differ. Nothing more may be fed after that."""
        counts = Counts()
        for removed, added, before, _ in self._differing():
            counts.removed += len(removed)
            counts.added += len(added)
            counts.changed += len(before)
        return counts

    def changes(self, limit: int | None = None) -> Iterator[RowChange]:
        """Yield the changed rows, in the order of their tables as far as memory permits."""
        assert self._texts is not None, "texts were not kept"
        best: Records | None = None
        for removed, added, before, after in self._differing():
            # A change is a line with both places and sizes; size 2**64 - 1: not on this side.
            lines = np.full((len(removed) + len(added) + len(before), 4), NOT_KEPT, np.uint64)
            first, second = len(removed), len(removed) + len(added)
            lines[:first, :2] = removed[:, PLACE:]
            lines[first:second, 2:] = added[:, PLACE:]
            lines[second:, :2], lines[second:, 2:] = before[:, PLACE:], after[:, PLACE:]
            lines = lines[np.argsort(np.minimum(lines[:, 0], lines[:, 2]), kind="stable")]
            if limit is None:
                yield from self._read(lines)
                continue
            best = lines if best is None else np.concatenate((best, lines))
            best = best[np.argsort(np.minimum(best[:, 0], best[:, 2]), kind="stable")[:limit]]
        if best is not None:
            yield from self._read(best)

    def _read(self, lines: Records) -> Iterator[RowChange]:
        for place_before, size_before, place_after, size_after in lines.tolist():
            yield RowChange(
                self._text(place_before, size_before), self._text(place_after, size_after)
            )

    def _text(self, place: int, size: int) -> RowText | None:
        if size == NOT_KEPT:
            return None
        assert self._texts is not None
        return RowText(None if place == NOT_KEPT else self._texts.get(place, size), size)

    def _differing(self) -> Iterator[tuple[Records, Records, Records, Records]]:
        """Yield, part by part, the rows removed, added, and both versions of those changed."""
        self._end_input()
        if self._keys is None:
            for removed, added in self._alone():
                yield removed, added, removed[:0], added[:0]
            return
        self._key_piles = self._two_piles(KEY)
        for sides in self._alone():
            for pile, found in zip(self._key_piles, sides, strict=True):
                pile.add(found)
        for before, after in _parts_of(self._key_piles, self._parts):
            _, in_before, in_after = np.intersect1d(
                before[:, KEY], after[:, KEY], return_indices=True
            )
            yield (
                np.delete(before, in_before, axis=0),
                np.delete(after, in_after, axis=0),
                before[in_before],
                after[in_after],
            )
        for pile in self._key_piles:
            pile.close()

    def _alone(self) -> Iterator[tuple[Records, Records]]:
        for before, after in _parts_of(self._piles, self._parts):
            in_before, in_after = unmatched(before, after)
            yield before[in_before], after[in_after]

    def _end_input(self) -> None:
        for side, each in enumerate(self._sides):
            each.end()
            for long in each.take_long():
                self._keep_long(side, long)
        if any(each.whole_bytes for each in self._sides):
            self._collect_all()
            self._collect(self._compare(*self._trimmed(last=True)))
        self._collect_all()

    def _collect_all(self) -> None:
        while self._under_way:
            self._collect(interrupts.result(self._under_way.popleft()))


def _parts_of(piles: tuple[Pile, Pile], parts: int) -> Iterator[tuple[Records, Records]]:
    """Yield the contents of two piles, part by part; all at once if they are in memory."""
    of = parts if any(pile.is_spilled for pile in piles) else 1
    for number in range(of):
        yield piles[0].part(number, of), piles[1].part(number, of)


@dataclass(frozen=True, slots=True)
class _Long:
    """A row longer than _ROW_HELD_BYTES. *text* is None if it is not kept."""

    digest: Digests
    key: Hashes | None
    size: int
    text: bytes | None


class _Side:
    """The bytes of one side: complete rows pending for their window, and the incomplete last
    row."""

    def __init__(self, digest: RowDigest, key: Key | None, keep_texts: bool) -> None:
        self._digest = digest
        self._key = key
        self._keep_texts = keep_texts
        self._whole: list[bytes] = []
        self.whole_bytes = 0
        self._begun: list[bytes] = []
        self._begun_bytes = 0
        self._passing: _PassingRow | None = None
        self._long: list[_Long] = []

    @property
    def is_in_row(self) -> bool:
        return self._begun_bytes > 0 or self._passing is not None

    def feed(self, block: bytes) -> None:
        if self._passing is not None:
            rest, end, block = block.partition(b"\n")
            self._passing.feed(rest)
            if not end:
                return
            self._end_passing()
        end_of_rows = block.rfind(b"\n") + 1
        if end_of_rows:
            self._whole += (*self._begun, block[:end_of_rows])
            self.whole_bytes += self._begun_bytes + end_of_rows
            self._begun, self._begun_bytes = [], 0
            block = block[end_of_rows:]
        if block:
            self._begun.append(block)
            self._begun_bytes += len(block)
        if self._begun_bytes > _ROW_HELD_BYTES:
            self._passing = _PassingRow(self._digest, self._key, self._keep_texts)
            for part in self._begun:
                self._passing.feed(part)
            self._begun, self._begun_bytes = [], 0

    def end(self) -> None:
        """End the input: a last row without a line end is complete nevertheless."""
        if self._passing is not None:
            self._end_passing()
        if self._begun_bytes:
            self.feed(b"\n")

    def take(self) -> list[bytes]:
        """Return the pending complete rows."""
        whole, self._whole, self.whole_bytes = self._whole, [], 0
        return whole

    def put_back(self, rows: bytes) -> None:
        """Make complete rows pending again, before all others."""
        self._whole = [rows]
        self.whole_bytes = len(rows)

    def take_long(self) -> list[_Long]:
        long, self._long = self._long, []
        return long

    def _end_passing(self) -> None:
        assert self._passing is not None
        self._long.append(self._passing.finish())
        self._passing = None


class _PassingRow:
    """A row too long to be held: its digest, key, and its text up to what is kept."""

    def __init__(self, digest: RowDigest, key: Key | None, keep_text: bool) -> None:
        self._digest = digest
        self._row = LongRow(digest)
        self._key = key
        self._fields = dict.fromkeys(key.fields, b"") if key else {}
        self._field = 0
        self._text: list[bytes] | None = [] if keep_text else None

    def feed(self, block: bytes) -> None:
        self._row.feed(block)
        if self._text is not None:
            self._text.append(block)
            if self._row.size > ROW_KEPT_BYTES:
                self._text = None
        if self._key is not None:
            for number, part in enumerate(block.split(b"\t")):
                self._field += number > 0
                if self._field in self._fields:
                    self._fields[self._field] += part

    def finish(self) -> _Long:
        keys: Hashes | None = None
        if self._key is not None and self._field == self._key.columns - 1:
            keys = np.zeros(1, np.uint64)
            for field in self._key.fields:
                keys = joined_key(keys, self._digest.digest_one(self._fields[field]))
        text = None if self._text is None else b"".join(self._text)
        return _Long(self._row.finish(), keys, self._row.size, text)


@functools.cache
def _shared_digest() -> RowDigest:
    """Return the shared digest: created only once, as a diff may be of thousands of tables."""
    return RowDigest()
