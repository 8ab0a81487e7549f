"""Saving chunks from the remains of damaged packs, and from another repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from blake3 import blake3

from pgsnap.codecs.zstd import compress
from pgsnap.errors import CorruptionError
from pgsnap.format.sections import decode_piece
from pgsnap.limits import PACK_BYTES, PLAIN_BYTES_MAX
from pgsnap.maintenance.repair.salvage import Gaps, salvage
from pgsnap.model import ChunkId, ChunkKind, Cipher, Frame, Location, RecipeEntry, Snapshot
from pgsnap.repository import layout
from pgsnap.repository.chunks.inspection import find_table
from pgsnap.repository.chunks.packs import PackWriter
from pgsnap.repository.chunks.recipes import RecipeWalk, walk
from pgsnap.repository.repository import Repository
from pgsnap.repository.scopes import FinishedOrAbandoned
from pgsnap.stores.base import ObjectInfo, Store

# A damaged file is searched up to this size: a pack is not larger.
_FILE_BYTES_MAX = 2 * (PACK_BYTES + PLAIN_BYTES_MAX)
# Recipe nodes among them, of up to 80 kB each, are held in memory.
_WRITTEN_MAX = 256
# The unit in which a disk can or cannot read.
_SECTOR_BYTES = 4096


class ChunkMender(RecipeWalk, FinishedOrAbandoned):
    """Writes chunks that are in no sound pack into new packs. Not thread-safe."""

    def __init__(self, repo: Repository, other: Repository | None) -> None:
        super().__init__(self._read)
        # The kind of chunk that the current recipes list.
        self._kind = ChunkKind.DATA
        self._repo = repo
        self._other = other
        self._writer = self._new_writer()
        # Written, but maybe not indexed yet; with the bytes of recipe nodes.
        self._written: dict[ChunkId, bytes] = {}
        self._gaps = Gaps()
        self.salvaged = 0
        self.fetched = 0

    def finish(self) -> None:
        """Wait until everything saved is durable and indexed."""
        self._writer.finish()

    def abandon(self) -> None:
        self._writer.abandon()

    def _new_writer(self) -> PackWriter:
        repo = self._repo
        return repo.chunk_store.writer()

    # -- from damaged packs -------------------------------------------------------------------

    def from_file(self, info: ObjectInfo, listed: list[Location]) -> str | None:
        """Save the contents of a file that was moved aside; if it is an intact pack, return its
        name."""
        store = self._repo.store
        data = _what_can_be_read(store, info)
        try:
            table, size = find_table(store, b"", info, self._repo.chunks.scheme)
        except CorruptionError:
            table, size = [], 0
        whole = data[:size]
        pack = blake3(whole).digest()
        if table and len(whole) == size and self._are_whole(data, table):
            name = layout.pack_name(pack)
            if pack not in self._repo.index.packs():
                store.put(name, whole)
                located = [replace(found, pack=pack) for found in table]
                self._repo.index.add_pack(pack, size, located)
                return name
            return None
        for frame, packed in salvage(data, table or listed, self._repo.chunks, self._gaps):
            if not self._is_known(frame.chunk):
                self._write(frame, packed, b"")
                self.salvaged += 1
        return None

    def _are_whole(self, data: bytes, table: list[Location]) -> bool:
        for location in table:
            packed = data[location.offset : location.offset + location.frame.frame_bytes]
            try:
                self._repo.chunks.check_frame(location, packed)
            except CorruptionError:
                return False
        return True

    def flush(self) -> None:
        """Add everything saved so far to the index."""
        self._writer.finish()
        self._writer = self._new_writer()
        self._written.clear()

    # -- for snapshots ------------------------------------------------------------------------

    def mend(self, snapshot: Snapshot) -> None:
        """Fetch every chunk of a snapshot that is in no sound pack, as far as it can be found."""
        self._kind = ChunkKind.SECTIONS
        self.go_through([snapshot.sections_recipe])
        self._kind = ChunkKind.DATA
        try:
            for piece in walk(snapshot.sections_recipe, self._read):
                for section in decode_piece(self._read(piece.chunk)):
                    self.go_through((*section.recipes, *section.side_streams))
        except CorruptionError:
            # Its list of sections is lost, so what else it needs is unknown.
            return

    def look(self, entries: Sequence[RecipeEntry], level: int) -> bool:
        if level:
            return self._ensure([(entry.chunk, None) for entry in entries], ChunkKind.RECIPE)
        return self._ensure([(entry.chunk, entry.plain_bytes) for entry in entries], self._kind)

    def unread(self, entry: RecipeEntry, error: CorruptionError) -> None:
        """It could not be fetched, so its entries are unknown."""

    def wrong(self, why: str) -> None:
        """Nothing to do: verify reports it."""

    def _ensure(self, chunks: Sequence[tuple[ChunkId, int | None]], kind: ChunkKind) -> bool:
        """Fetch those of *chunks*, each with its size if known, that are not in a sound pack;
        return whether all are now."""
        sizes = dict(chunks)
        known = self._repo.index.known(list(sizes))
        lost = 0
        for chunk, size in sizes.items():
            if chunk in known or chunk in self._written:
                continue
            if not self._fetch(chunk, size, kind):
                lost += 1
        return not lost

    def _fetch(self, chunk: ChunkId, size: int | None, kind: ChunkKind) -> bool:
        """Store a chunk again from wherever it can be found; return whether that succeeded."""
        plain = self._gaps.find(chunk, size)
        if plain is not None:
            self.salvaged += 1
        elif self._other is None:
            return False
        else:
            try:
                plain = self._other.chunks.read(chunk)
            except CorruptionError:
                return False
            self.fetched += 1
        codec, packed = compress(plain, self._repo.config.zstd_level)
        frame = Frame(chunk, kind, codec, Cipher.NONE, 0, None, len(packed), len(plain))
        self._write(frame, packed, b"" if kind is ChunkKind.DATA else plain)
        return True

    def _write(self, frame: Frame, packed: bytes, plain: bytes) -> None:
        self._writer.add(frame, packed)
        self._written[frame.chunk] = plain
        if len(self._written) >= _WRITTEN_MAX:
            self.flush()

    def _is_known(self, chunk: ChunkId) -> bool:
        return chunk in self._written or bool(self._repo.index.known([chunk]))

    def _read(self, chunk: ChunkId) -> bytes:
        return self._written.get(chunk) or self._repo.chunks.read(chunk)


def _what_can_be_read(store: Store, info: ObjectInfo) -> bytes:
    """Return the bytes of a file, with zeros in place of unreadable sectors."""
    size = min(info.object_bytes, _FILE_BYTES_MAX)
    try:
        return store.get(info.name, 0, size)
    except CorruptionError:
        pass
    parts = []
    for start in range(0, size, _SECTOR_BYTES):
        length = min(_SECTOR_BYTES, size - start)
        try:
            parts.append(store.get(info.name, start, length))
        except CorruptionError:
            parts.append(bytes(length))
    return b"".join(parts)
