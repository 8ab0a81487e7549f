"""Whether bytes that pass by are those of a section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blake3 import blake3

from pgsnap.model import Section
from pgsnap.repository.sections.leaf_lists import leaf_digester

if TYPE_CHECKING:
    from pgsnap.chunking.leaves import LeafDigester


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
