"""The leaves of a changed text, from those of the former one and the changes.

Where nothing changed no row is hashed: there the former text was divided in the same places.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from pgsnap.chunking.leaves import Leaf, LeafCutter
from pgsnap.limits import MIB

_READ_BYTES = 1 * MIB

_Item = TypeVar("_Item")


class Edit(NamedTuple):
    """A change: where it begins in the former text, how many bytes it replaces, and with how many.

    If it puts whole rows in the place of whole rows, *ends* may say which of these end a leaf: the
    bytes of the new text up to the end of each. Then none of them is hashed again.
    """

    start: int
    removed: int
    added: int
    ends: Sequence[int] | None = None


def update_leaves(
    old: Iterable[Leaf], edits: Iterable[Edit], read_new: Callable[[int, int], bytes]
) -> Iterator[Leaf]:
    """Yield the leaves of a changed text; *old* are those of the former one.

    *edits* are in ascending order and do not overlap; both are consumed as needed. *read_new*
    returns the bytes of the new text between two offsets. It is called in ascending order, for the
    leaves that an edit changes and for those that are joined with the one before.
    """
    return _Update(old, edits, read_new).leaves()


class _Ahead(Generic[_Item]):
    """An iterator of which the *first* item can be seen; None at its end."""

    def __init__(self, items: Iterable[_Item]) -> None:
        self._items = iter(items)
        self.first = next(self._items, None)

    def take(self) -> _Item | None:
        taken, self.first = self.first, next(self._items, None)
        return taken


class _Update:
    """The leaves of a changed text: `update_leaves`."""

    def __init__(
        self, old: Iterable[Leaf], edits: Iterable[Edit], read_new: Callable[[int, int], bytes]
    ) -> None:
        self._former, self._waiting = _Ahead(old), _Ahead(edits)
        self._read_new = read_new
        self._cutter = LeafCutter()
        # How far what comes next is moved in the new text.
        self._shift = 0
        # Whether the row that comes next, or is unfinished, began at the same place in both texts:
        # then it is chosen if it was, unless an edit changes it.
        self._is_aligned = True
        # The part of the new text that was not read yet, and where leaves end in it: no row of it
        # needs to be hashed. Read as a whole, since there are edits every few kB.
        self._known_from = self._known_to = 0
        self._known_ends: list[int] = []

    def leaves(self) -> Iterator[Leaf]:
        start, cutter = 0, self._cutter
        while (leaf := self._former.take()) is not None:
            end = start + leaf.plain_bytes
            if cutter.is_between and self._is_aligned and not self._is_edited(end):
                yield leaf
            else:
                end = yield from self._changed(start, end)
            start = end
        if not start:
            # The former text was empty: what there is now was inserted.
            added = 0
            while (edit := self._waiting.take()) is not None:
                added += edit.added
            yield from self._scanned(0, added)
        yield from cutter.finish()

    def _is_edited(self, end: int) -> bool:
        # An insertion between two leaves belongs to the second one; after the last, to that.
        edit = self._waiting.first
        return edit is not None and (edit.start < end or self._former.first is None)

    def _changed(self, start: int, end: int) -> Generator[Leaf, None, int]:
        """Yield the leaves of a part of the text that was a leaf, from *start* to *end*, or several
        if edits reach into those that follow; return its end."""
        at = start
        while self._is_edited(end):
            edit = self._waiting.take()
            assert edit is not None
            yield from self._kept(at, edit.start)
            yield from self._new(edit)
            at = edit.start + edit.removed
            while at > end and (following := self._former.take()) is not None:
                end += following.plain_bytes
        last_row_is_kept = yield from self._kept(at, end)
        yield from self._read_known()
        if last_row_is_kept:
            yield from self._cutter.skip(b"", (0,))
        elif at == end:
            # A leaf began there in the former text.
            self._is_aligned = self._cutter.is_between_rows
        return end

    def _kept(self, start: int, stop: int) -> Generator[Leaf, None, bool]:
        """Add a part of the former text in which no leaf ended; return whether the row that it ends
        with, or in, is as it was, and known to be chosen if it was."""
        start, stop = start + self._shift, stop + self._shift
        if self._former.first is None:
            # The last leaf ended with the text, whether its last row was chosen or not.
            yield from self._scanned(start, stop)
            return False
        is_kept = False
        while start < stop:
            if self._is_aligned:
                yield from self._add_known(start, stop)
                return True
            yield from self._read_known()
            block = self._read_new(start, min(start + _READ_BYTES, stop))
            begin = block.find(b"\n") + 1 or len(block)
            yield from self._cutter.feed(block[:begin])
            self._is_aligned = self._cutter.is_between_rows
            is_kept = begin < len(block)
            yield from self._cutter.skip(block[begin:])
            start += len(block)
        return is_kept

    def _new(self, edit: Edit) -> Iterator[Leaf]:
        start = edit.start + self._shift
        self._shift += edit.added - edit.removed
        if edit.ends is None or not self._is_aligned:
            self._is_aligned = False
            yield from self._scanned(start, start + edit.added)
            return
        yield from self._add_known(start, start + edit.added, [start + end for end in edit.ends])

    def _add_known(self, start: int, stop: int, ends: Sequence[int] = ()) -> Iterator[Leaf]:
        """Take a part of the new text in which leaves end only at *ends*."""
        if not self._known_from < self._known_to == start:
            yield from self._read_known()
            self._known_from = start
        self._known_to = stop
        self._known_ends += ends
        if stop - self._known_from >= _READ_BYTES:
            yield from self._read_known()

    def _read_known(self) -> Iterator[Leaf]:
        place, last, ends = self._known_from, self._known_to, self._known_ends
        self._known_from, self._known_ends = last, []
        while place < last:
            stop = min(place + _READ_BYTES, last)
            block = self._read_new(place, stop)
            yield from self._cutter.skip(
                block, [end - place for end in ends if place < end <= stop]
            )
            place = stop

    def _scanned(self, start: int, stop: int) -> Iterator[Leaf]:
        yield from self._read_known()
        for place in range(start, stop, _READ_BYTES):
            yield from self._cutter.feed(self._read_new(place, min(place + _READ_BYTES, stop)))
