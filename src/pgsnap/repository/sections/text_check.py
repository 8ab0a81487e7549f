"""Whether bytes that pass by are those of a section."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from blake3 import blake3

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.model import Section
from pgsnap.repository.sections.leaf_lists import leaf_digester, leaves_of

if TYPE_CHECKING:
    from pgsnap.chunking.leaves import Leaf, LeafDigester
    from pgsnap.repository.chunks.chunks import ChunkReader


class TextCheck:
    """Compares bytes with the digest of a section, or with the leaf digest if it has no other; if
    *both*, with both where they differ."""

    def __init__(self, section: Section, *, both: bool = False) -> None:
        self._section = section
        self._hasher = blake3() if section.digest is not None else None
        self._leaves: LeafDigester | None = None
        if self._hasher is None or (both and section.leaf_digest not in (None, section.digest)):
            self._leaves = leaf_digester()

    def update(self, data: bytes) -> None:
        """Add the next bytes."""
        if self._hasher is not None:
            self._hasher.update(data)
        if self._leaves is not None:
            self._leaves.update(data)

    def is_right(self) -> bool:
        """Return whether all bytes were those of the section. To be called once, at the end."""
        is_right = self._hasher is None or self._hasher.digest() == self._section.digest
        if self._leaves is not None:
            is_right &= self._leaves.finish()[0] == self._section.leaf_digest
        return is_right


class LeafListCheck:
    """Compares bytes with the leaf digest of a section by its stored list of leaves, without
    looking for where leaves end: that takes ten times as long as hashing them.

    The list is known to have the section's leaf digest. So bytes that hash to it, leaf by leaf, are
    those that the digest was made of.
    """

    def __init__(self, leaves: Iterator[Leaf]) -> None:
        self._leaves = leaves
        self._left = 0
        self._expected = b""
        self._hasher = blake3()
        self._is_right = True
        self._begin()

    def update(self, data: bytes) -> None:
        """Add the next bytes."""
        view = memoryview(data)
        while view and self._is_right:
            taken = view[: self._left]
            self._hasher.update(taken)
            self._left -= len(taken)
            view = view[len(taken) :]
            if not self._left:
                self._is_right = self._hasher.digest() == self._expected
                if not self._begin():
                    self._is_right &= not view
                    view = view[:0]

    def is_right(self) -> bool:
        """Return whether all bytes were those of the section. To be called once, at the end."""
        return self._is_right and not self._left

    def _begin(self) -> bool:
        """Begin the next leaf; return whether there is one."""
        leaf = next(self._leaves, None)
        self._left, self._expected = leaf if leaf is not None else (0, b"")
        self._hasher = blake3()
        return self._left > 0


def quick_check(reader: ChunkReader, section: Section) -> TextCheck | LeafListCheck:
    """Return what compares bytes with a digest of *section* in the least time."""
    if section.digest is None and section.leaves is not None and _is_sound(reader, section):
        return LeafListCheck(leaves_of(reader, section))
    return TextCheck(section)


def _is_sound(reader: ChunkReader, section: Section) -> bool:
    """Return whether the list of leaves can be read and has the section's leaf digest. Losing one
    is no loss."""
    try:
        deque(leaves_of(reader, section), maxlen=0)
    except (CorruptionError, ObjectNotFound):
        return False
    return True
