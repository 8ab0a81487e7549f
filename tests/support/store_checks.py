"""What holds in every repository: how frames stand on each other, and what packs hold in vain."""

from __future__ import annotations

from collections.abc import Iterable

from pgsnap.limits import DELTA_LONG_STEPS, DELTA_SHORT_STEPS
from pgsnap.model import ChunkId, SectionName, SnapshotId
from pgsnap.repository.recipes import nodes, walk
from pgsnap.repository.repository import Repository
from pgsnap.repository.sweeping import UNUSED_MAX

STEPS_MAX = DELTA_SHORT_STEPS + DELTA_LONG_STEPS
# Of a frame, in its pack's table.
ROW_BYTES = 50


class Plain:
    """Reads chunks, each once."""

    def __init__(self, repo: Repository) -> None:
        repo.catch_up_packs()
        self._repo = repo
        self._found: dict[ChunkId, bytes] = {}

    def read(self, chunk: ChunkId) -> bytes:
        found = self._found.get(chunk)
        if found is None:
            found = self._found[chunk] = self._repo.chunks.read(chunk)
        return found

    def texts(self, snapshot: SnapshotId) -> list[tuple[SectionName, bytes]]:
        repo, texts = self._repo, []
        for section in repo.sections(repo.snapshot(snapshot)):
            chunks = (
                self.read(entry.chunk)
                for segment in section.segments
                for entry in walk(segment.recipe, self.read)
            )
            texts.append((section.name, b"".join(chunks)))
        return texts


def needed_chunks(repo: Repository, snapshots: Iterable[SnapshotId]) -> set[ChunkId]:
    """Return all chunks that *snapshots* list, and their lists."""
    read = Plain(repo).read
    found: set[ChunkId] = set()
    for snapshot in snapshots:
        manifest = repo.snapshot(snapshot)
        found.update(nodes(manifest.sections_recipe, read))
        for section in repo.sections(manifest):
            for segment in section.segments:
                found.update(nodes(segment.recipe, read))
    return found


def check_chains(repo: Repository, chunks: set[ChunkId]) -> tuple[set[ChunkId], int]:
    """Check that from each of *chunks* ever smaller ranks lead to a plain frame, in few steps.
    Return the chunks with all of their bases, and the most steps there were."""
    closed: set[ChunkId] = set()
    longest = 0
    for chunk in chunks:
        following: ChunkId | None = chunk
        rank, steps = 255, -1
        while following is not None:
            closed.add(following)
            frame = repo.index.locations([following])[following][0].frame
            assert frame.depth < rank, "ranks do not fall"
            assert (frame.base is None) == (frame.depth == 0)
            following, rank, steps = frame.base, frame.depth, steps + 1
        assert steps <= STEPS_MAX
        longest = max(longest, steps)
    return closed, longest


def check_waste(repo: Repository, closed: set[ChunkId]) -> None:
    """Check that packs hold hardly a frame but one for each of *closed*."""
    total = 0
    largest: dict[ChunkId, int] = {}
    for pack in repo.index.packs():
        frames = [location.frame for location in repo.index.frames_of(pack)]
        assert any(frame.chunk in closed for frame in frames), "a pack that nothing needs"
        for frame in frames:
            cost = frame.frame_bytes + ROW_BYTES
            total += cost
            if frame.chunk in closed:
                largest[frame.chunk] = max(largest.get(frame.chunk, 0), cost)
    needed = sum(largest.values())
    # A frame more or less, where all of it is a few kB.
    assert total - needed <= UNUSED_MAX * needed + 2000, f"{total - needed} of {total} bytes unused"
