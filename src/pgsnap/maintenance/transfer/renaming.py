"""New ids for chunks that go to a repository with other keys: what has to be read to find them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from pgsnap.codecs.zstd import decompress
from pgsnap.errors import CorruptionError
from pgsnap.maintenance.gc.marking import VERIFY_FIRST, Choice
from pgsnap.maintenance.moving import Moved, OldPack
from pgsnap.model import ChunkId, Frame
from pgsnap.progress import Progress
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.repository.index.copied_ids import CopiedIds, Role
from pgsnap.repository.index.frame_table import FrameTable
from pgsnap.values import dataclass

_IDS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Renaming:
    """Chunks of the *source*, and their ids in the *target*, as far as they are *known*."""

    source: ChunkStore
    target: ChunkStore
    known: CopiedIds

    def name(self, plain: bytes) -> ChunkId:
        """Return the id of a chunk in the target."""
        return self.target.scheme.naming.name(plain)

    def find_all(self, table: FrameTable, choice: Choice, progress: Progress) -> None:
        """Read every needed chunk whose new id is not known, so that it is."""
        import numpy as np

        needed = np.flatnonzero(choice.is_needed)
        frames = choice.frame[needed]
        # In the order in which they are stored.
        needed = needed[np.lexsort((table.offset[frames], table.pack[frames]))]
        for start in range(0, len(needed), _IDS_AT_ONCE):
            some = needed[start : start + _IDS_AT_ONCE].tolist()
            ids = table.ids(some)
            known = self.known.of(ids, Role.DATA)
            unknown = (
                (chunk, chunk, int(table.chunk_bytes[number]))
                for number, chunk in zip(some, ids, strict=True)
                if chunk not in known
            )
            for chunk, plain in self.source.reader.read_ahead(unknown):
                self.known.learn({chunk: self.name(plain)}, Role.DATA)
                progress.advance(0)
        self.known.save()

    def renamed(self, old: OldPack, ranks: Mapping[ChunkId, int]) -> OldPack:
        """Return the frames of a pack with new ids, and with those *ranks* that change."""
        frames: Iterable[Moved] = (self._renamed(moved, ranks) for moved in old.frames)
        # A pack in memory at once, a larger one part by part.
        return replace(old, frames=list(frames) if isinstance(old.frames, list) else frames)

    def _renamed(self, moved: Moved, ranks: Mapping[ChunkId, int]) -> Moved:
        asked = [chunk for frame, _ in moved for chunk in (frame.chunk, frame.base) if chunk]
        known = self.known.of(list(dict.fromkeys(asked)), Role.DATA)
        learned: dict[ChunkId, ChunkId] = {}
        for frame, data in moved:
            if frame.chunk not in known or (frame.base or frame.chunk) not in known:
                learned |= self._read(frame, data)
                known |= learned
        self.known.learn(learned, Role.DATA)
        return [
            (
                replace(
                    frame,
                    chunk=known[frame.chunk],
                    base=None if frame.base is None else known[frame.base],
                ),
                data,
            )
            for frame, data in _with_ranks(moved, ranks)
        ]

    def _read(self, frame: Frame, data: bytes | memoryview) -> dict[ChunkId, ChunkId]:
        """Return the new ids of a frame's chunk and base. Raises CorruptionError."""
        found: dict[ChunkId, ChunkId] = {}
        base = None
        if frame.base is not None:
            base = self.source.reader.read(frame.base)
            found[frame.base] = self.name(base)
        plain = decompress(frame.codec, bytes(data), frame.chunk_bytes, base)
        if self.source.scheme.naming.name(plain) != frame.chunk:
            raise CorruptionError(
                f"chunk {frame.chunk.hex()[:12]} is damaged",
                detail="Its frame does not hash to its name. No damage was sent.",
                hint=VERIFY_FIRST.replace("snap verify", "snap verify --data"),
            )
        found[frame.chunk] = self.name(plain)
        return found


def with_ranks(old: OldPack, ranks: Mapping[ChunkId, int]) -> OldPack:
    """Return the frames of a pack with those *ranks* that change."""
    return replace(old, frames=(_with_ranks(moved, ranks) for moved in old.frames))


def _with_ranks(moved: Moved, ranks: Mapping[ChunkId, int]) -> Moved:
    return [(replace(x, depth=ranks.get(x.chunk, x.depth)), data) for x, data in moved]
