"""The chunk store: packs and the index of their chunks, without any knowledge of snapshots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgsnap.model import Frame, RepositoryConfig
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.index.index import Index
from pgsnap.stores.base import Store

if TYPE_CHECKING:
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

    def writer(
        self,
        on_indexed: Callable[[list[Frame]], None] = lambda frames: None,
        *,
        frames_at_once: int = 0,
    ) -> PackWriter:
        """Return what writes packs, as `PackWriter` says."""
        # Late: who only reads does without.
        from pgsnap.repository.chunks.packs import PackWriter

        return PackWriter(
            self.store,
            self.index,
            self.config.pack_bytes,
            on_indexed,
            frames_at_once=frames_at_once,
        )

    def encoder(self) -> DeltaEncoder:
        from pgsnap.repository.chunks.deltas import DeltaEncoder

        return DeltaEncoder(self.index, self.reader, self.config.zstd_level)
