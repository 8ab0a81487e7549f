"""Repositories whose every frame is put there by hand, and what snapshots need, by sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from blake3 import blake3

from pgsnap.format.pack import encode_pack
from pgsnap.format.recipe import encode_node
from pgsnap.format.roots import roots_of
from pgsnap.format.sections import pieces
from pgsnap.model import (
    ChunkKind,
    Frame,
    RecipeEntry,
    RecipeRoot,
    Section,
    SectionKind,
    SectionName,
    Segment,
    Snapshot,
    SnapshotId,
)
from pgsnap.repository.layout import pack_name
from pgsnap.repository.repository import Repository
from support.documents.examples import delta_frame, plain_frame
from support.documents.values import TIME
from support.dumps.scripted import ORIGIN

# What a section is made of: chunks, or lists of such (nodes of a recipe).
Tree = bytes | Sequence["Tree"]


def name_of(plain: bytes) -> bytes:
    return blake3(plain).digest()


@dataclass
class Handmade:
    """Collects frames and snapshots; `write` stores them.

    *needs* has for each snapshot the chunks that it lists, nodes and section tables among them.
    """

    path: Path
    frames: list[tuple[Frame, bytes]] = field(default_factory=list)
    needs: list[set[bytes]] = field(default_factory=list)
    databases: list[str] = field(default_factory=list)
    made: list[SnapshotId] = field(default_factory=list)

    def chunk(self, plain: bytes, kind: ChunkKind = ChunkKind.DATA) -> bytes:
        """Store a chunk as a frame of its own, unless it is there."""
        if name_of(plain) not in self.sizes():
            self.frames.append(plain_frame(plain, kind))
        return plain

    def delta(self, plain: bytes, base: bytes, depth: int) -> bytes:
        self.frames.append(delta_frame(plain, base, depth))
        return plain

    def sizes(self) -> dict[bytes, int]:
        """Return the bytes of all frames of each chunk."""
        found: dict[bytes, int] = {}
        for frame, _ in self.frames:
            found[frame.chunk] = found.get(frame.chunk, 0) + frame.frame_bytes
        return found

    def size(self, *plains: bytes) -> int:
        sizes = self.sizes()
        return sum(sizes[name_of(plain)] for plain in plains)

    def snapshot(self, tables: dict[str, Tree], *, database: str = "shop") -> int:
        """Make a snapshot of *tables*; return its number. Its lists are stored, its data is not."""
        needs: set[bytes] = set()
        sections = []
        for table, tree in tables.items():
            root, text = self._tree(tree, needs)
            sections.append(
                Section(
                    SectionName(SectionKind.DATA, "public", table),
                    len(text),
                    0,
                    name_of(text),
                    (Segment(root),),
                    rows=1,
                )
            )
        found = [piece for piece, _ in pieces(sections)]
        for piece in found:
            self.chunk(piece, ChunkKind.SECTIONS)
            needs.add(name_of(piece))
        if len(found) == 1:
            root = RecipeRoot(name_of(found[0]), 0, len(found[0]), len(sections))
        else:
            node = encode_node(1, [RecipeEntry(name_of(piece), len(piece), 1) for piece in found])
            self.chunk(node, ChunkKind.RECIPE)
            needs.add(name_of(node))
            root = RecipeRoot(name_of(node), 1, sum(map(len, found)), len(sections))
        self.needs.append(needs)
        self.databases.append(database)
        size = sum(section.plain_bytes for section in sections)
        self._publish(root, sections, database, size)
        return len(self.needs) - 1

    def _tree(self, tree: Tree, needs: set[bytes]) -> tuple[RecipeRoot, bytes]:
        if isinstance(tree, bytes):
            needs.add(name_of(tree))
            return RecipeRoot(name_of(tree), 0, len(tree), 0), tree
        below = [self._tree(child, needs) for child in tree]
        level = below[0][0].level + 1
        entries: list[RecipeEntry] = []
        for root, text in below:
            assert root.chunk is not None
            assert root.level == level - 1
            entries.append(RecipeEntry(root.chunk, len(text), 0))
        node = encode_node(level, entries)
        self.chunk(node, ChunkKind.RECIPE)
        needs.add(name_of(node))
        text = b"".join(text for _, text in below)
        return RecipeRoot(name_of(node), level, len(text), 0), text

    def _publish(self, root: RecipeRoot, sections: list[Section], database: str, size: int) -> None:
        with Repository.open(self.path) as repo:
            made, _ = repo.publish(
                Snapshot(
                    database=database,
                    time=TIME + timedelta(days=len(self.needs)),
                    message="by hand",
                    parent=None,
                    root=roots_of(sections).root,
                    leaf_root=None,
                    globals_root=None,
                    sections_recipe=root,
                    section_count=len(sections),
                    table_count=len(sections),
                    plain_bytes=size,
                    rows=len(sections),
                    stored_bytes=0,
                    duration_ms=0,
                    origin=ORIGIN,
                )
            )
        self.made.append(made)

    def write(self, *, frames_a_pack: int = 7) -> None:
        """Store the frames, a few in a pack."""
        for start in range(0, len(self.frames), frames_a_pack):
            pack, parts, _ = encode_pack(self.frames[start : start + frames_a_pack])
            file = self.path / pack_name(pack)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"".join(parts))

    def closed(self, chunks: Iterable[bytes]) -> set[bytes]:
        """Return *chunks* with the bases that reading them takes, one frame of each nearest to
        plain."""
        nearest: dict[bytes, Frame] = {}
        for frame, _ in self.frames:
            if frame.chunk not in nearest or frame.depth < nearest[frame.chunk].depth:
                nearest[frame.chunk] = frame
        found: set[bytes] = set()
        waiting = list(chunks)
        while waiting:
            chunk = waiting.pop()
            if chunk not in found:
                found.add(chunk)
                base = nearest[chunk].base
                if base is not None:
                    waiting.append(base)
        return found
