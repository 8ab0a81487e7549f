"""The leaves of a stored section."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from pgsnap.errors import CorruptionError
from pgsnap.limits import KIB, LEAF_LIST_SHARE
from pgsnap.model import Section
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.chunks.recipes import walk

if TYPE_CHECKING:
    from pgsnap.chunking.leaves import Leaf, LeafDigester
    from pgsnap.chunking.rows import Chunk

# Texts up to this size are held until several can be looked at.
_SHORT_BYTES = 64 * KIB


def leaf_digester() -> LeafDigester:
    """Return what computes leaf digests. NumPy is slow to import, and not always needed."""
    from pgsnap.chunking.leaves import LeafDigester

    return LeafDigester()


class _Section(Protocol):
    """A section that is being received; its digest is known when it ends."""

    digest: bytes
    leaf_digest: bytes
    leaves: bytes


class SectionLeaves:
    """Sets the leaf digest, and the list of leaves, of sections that pass by one after another.

    Short sections are looked at together: a dump may have two hundred thousand of them.
    """

    def __init__(self) -> None:
        self._long: LeafDigester | None = None
        self._of_short: LeafDigester | None = None
        # The open section's chunks as long as it is short, then None.
        self._held: list[Chunk] | None = []
        self._held_bytes = 0
        self._short: list[tuple[_Section, bytes]] = []

    def add(self, chunks: Iterable[Chunk]) -> None:
        """Add the next chunks of the open section."""
        for chunk in chunks:
            if self._held is None:
                self._update(chunk)
                continue
            self._held.append(chunk)
            self._held_bytes += len(chunk.data)
            if self._held_bytes > _SHORT_BYTES:
                for held in self._held:
                    self._update(held)
                self._held = None

    def _update(self, chunk: Chunk) -> None:
        self._long = self._long or leaf_digester()
        if chunk.leaf_ends is None:
            self._long.update(chunk.data)
        else:
            self._long.skip(chunk.data, chunk.leaf_ends)

    def end(self, section: _Section) -> None:
        """End the open section, which is *section*: its leaves are set by now, or by `settle`."""
        if self._held is None:
            assert self._long is not None
            section.leaf_digest, section.leaves = self._long.finish()
        else:
            self._short.append((section, b"".join([chunk.data for chunk in self._held])))
        self._held, self._held_bytes = [], 0

    def settle(self) -> None:
        """Set what is still to be set for the sections that have ended."""
        if not self._short:
            return
        from pgsnap.chunking.leaves import several_leaves

        several = several_leaves([text for _, text in self._short])
        for number, (section, text) in enumerate(self._short):
            section.leaf_digest = section.digest
            if number in several:
                self._of_short = self._of_short or leaf_digester()
                self._of_short.update(text)
                section.leaf_digest, section.leaves = self._of_short.finish()
        self._short.clear()


def is_listed(leaves: bytes, plain_bytes: int) -> bool:
    """Return whether a list of leaves is stored: not of a single leaf, which the section's entry
    says everything about, nor one that is large beside the text (rows that are always chosen can be
    made on purpose)."""
    from pgsnap.chunking.leaves import STORED_BYTES

    return len(leaves) > STORED_BYTES and len(leaves) * LEAF_LIST_SHARE <= plain_bytes


def leaves_of(reader: ChunkReader, section: Section) -> Iterator[Leaf]:
    """Yield the leaves of a section: as they are listed, else computed from its text. Raises
    CorruptionError, at the end too: only the end means that they are its leaves."""
    from pgsnap.chunking.leaves import Leaf, LeafTree

    if not section.plain_bytes:
        return
    if section.leaf_digest is not None and section.leaf_digest == section.digest:
        yield Leaf(section.plain_bytes, section.leaf_digest)
        return
    tree, size = LeafTree(), 0
    for leaf in _listed(reader, section) if section.leaves is not None else _cut(reader, section):
        tree.add(leaf)
        size += leaf.plain_bytes
        yield leaf
    if size != section.plain_bytes or tree.digest() != section.leaf_digest:
        raise CorruptionError(
            f"the list of leaves of section {section.name} is damaged",
            detail="Its chunks are sound, but it is not that of the section.",
        )


def _listed(reader: ChunkReader, section: Section) -> Iterator[Leaf]:
    from pgsnap.chunking.leaves import STORED_BYTES, decode_leaves

    assert section.leaves is not None
    rest = b""
    for entry in walk(section.leaves, reader.read):
        rest += reader.read(entry.chunk, entry.plain_bytes)
        whole = len(rest) - len(rest) % STORED_BYTES
        yield from decode_leaves(rest[:whole])
        rest = rest[whole:]


def _cut(reader: ChunkReader, section: Section) -> Iterator[Leaf]:
    from pgsnap.chunking.leaves import LeafCutter

    cutter = LeafCutter()
    for recipe in section.recipes:
        for entry in walk(recipe, reader.read):
            yield from cutter.feed(reader.read(entry.chunk, entry.plain_bytes))
    yield from cutter.finish()
