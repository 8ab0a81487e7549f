"""What a repository answers from its index, and a remote one from its log."""

from __future__ import annotations

from collections.abc import Sequence

from pgsnap.model import ChunkId, SnapshotId
from pgsnap.repository import layout
from pgsnap.repository.index.index import Index
from pgsnap.repository.log.chain import Chain, read_chain
from pgsnap.repository.log.publications import Publications


class KnownSnapshots:
    """The snapshots, chunks and packs that the *index* knows."""

    index: Index
    log: Publications | None = None
    _chain: Chain | None = None

    def newest(
        self, database: str | None, limit: int | None = None, *, also_forgotten: bool = False
    ) -> list[SnapshotId]:
        """Return the snapshots of one label, or of all, newest first."""
        return self.index.newest(database, limit, also_forgotten=also_forgotten)

    def frame_total(self) -> int:
        """Return the number of frames in all packs, as far as the index knows them."""
        return self.index.frame_total()

    def servers_of(self, label: str) -> dict[SnapshotId, str]:
        """Return the system identifier of the server of each snapshot of *label*."""
        return dict(self.index.servers_of(label))

    def servers_of_some(self, snapshots: Sequence[SnapshotId]) -> dict[SnapshotId, str]:
        """Return the system identifier of the server of each of *snapshots* that exists."""
        return self.index.servers_of_some(snapshots)

    def by_prefix(self, prefix: str, limit: int, *, forgotten: bool = False) -> list[SnapshotId]:
        return self.index.by_prefix(prefix, limit, forgotten=forgotten)

    def databases(self) -> list[str]:
        """Return the labels with at least one snapshot that is not forgotten."""
        return self.index.databases()

    def pack_count(self) -> int:
        return self.index.totals()[0]

    def damaged_count(self) -> int:
        """Return how many frames are marked as damaged."""
        return len(self.index.damaged())

    def frame_sizes(self, chunks: Sequence[ChunkId]) -> dict[ChunkId, int]:
        """Return the size in bytes of a frame of each of *chunks* that exists."""
        return self.index.frame_sizes(chunks)

    def chain(self) -> Chain | None:
        """Return what a remote store's log says, None if the store was not listed. It is read
        once. Raises StoreError."""
        if self.log is None or not self.log.is_direct:
            return None
        if self._chain is None:
            self._chain = read_chain(self.log)
        return self._chain

    def stored_snapshots(self) -> set[SnapshotId]:
        """Return the snapshots of a remote store that have a manifest, sound or not."""
        names = () if self.log is None else self.log.listing.names(layout.SNAPSHOTS)
        return {one for name in names if (one := layout.hash_of(name)) is not None}

    def look_at_log(self) -> None:
        """Bring the listing of a remote store up to date."""
        if self.log is not None:
            self.log.refresh(whole=self.log.is_direct)
            self._chain = None
