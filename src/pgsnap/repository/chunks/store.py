"""The chunk store: packs and the index of their chunks, without any knowledge of snapshots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pgsnap.model import Frame, PackId, RepositoryConfig
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.index.index import Index
from pgsnap.sealing.scheme import Scheme
from pgsnap.stores.base import Store
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.chunking.rows import RowChunker
    from pgsnap.repository.chunks.deltas import DeltaEncoder
    from pgsnap.repository.chunks.packs import PackWriter


@dataclass(frozen=True, slots=True)
class ChunkStore:
    """What code that writes chunks or deletes packs needs. *check_lock* raises RepositoryLocked if
    the lock was lost: call it before deleting anything."""

    store: Store
    index: Index
    reader: ChunkReader
    config: RepositoryConfig
    check_lock: Callable[[], None]
    discard: Callable[[Sequence[PackId]], None] | None = None
    """What becomes of packs that nothing needs; None: they are deleted."""

    @property
    def scheme(self) -> Scheme:
        return self.reader.scheme

    def chunker(self) -> RowChunker:
        """Return a chunker that cuts as this repository does."""
        from pgsnap.chunking.rows import RowChunker

        scheme = self.scheme
        return RowChunker(self.config.chunker, naming=scheme.naming, keys=scheme.chunker)

    def writer(
        self,
        on_indexed: Callable[[list[Frame]], None] = lambda frames: None,
        *,
        frames_at_once: int = 0,
        new_chunks: bool = False,
    ) -> PackWriter:
        """Return what writes packs, as `PackWriter` says. The order of *new_chunks* is hidden if
        the repository is encrypted."""
        # Late: who only reads does without.
        from pgsnap.repository.chunks.packs import PackWriter

        return PackWriter(
            self.store,
            self.index,
            self.config.pack_bytes,
            on_indexed,
            at_once=self.reader.transfers,
            frames_at_once=frames_at_once,
            sealer=self.scheme.packs,
            spread=new_chunks and self.scheme.packs is not None,
        )

    def encoder(self) -> DeltaEncoder:
        from pgsnap.repository.chunks.deltas import DeltaEncoder

        return DeltaEncoder(self.reader, self.config.zstd_level)
