"""What holds in every repository: how frames stand on each other, and what packs hold in vain."""

from __future__ import annotations

from pgsnap.format.sections import decode_piece
from pgsnap.limits import DELTA_LONG_STEPS, DELTA_SHORT_STEPS
from pgsnap.maintenance.gc.sweeping import UNUSED_MAX
from pgsnap.model import ChunkId, Frame, Section, SectionName, SnapshotId
from pgsnap.repository.chunks.recipes import walk
from pgsnap.repository.repository import Repository

STEPS_MAX = DELTA_SHORT_STEPS + DELTA_LONG_STEPS
# Of a frame, in its pack's table.
ROW_BYTES = 50


class Plain:
    """Reads snapshots, each chunk once; *chunks* are all that they list, their lists among them."""

    def __init__(self, repo: Repository) -> None:
        repo.catch_up_packs()
        self._repo = repo
        self._found: dict[ChunkId, bytes] = {}
        self._pieces: dict[ChunkId, list[tuple[SectionName, bytes]]] = {}

    @property
    def chunks(self) -> set[ChunkId]:
        return set(self._found)

    def read(self, chunk: ChunkId) -> bytes:
        found = self._found.get(chunk)
        if found is None:
            found = self._found[chunk] = self._repo.chunks.read(chunk)
        return found

    def texts(self, snapshot: SnapshotId) -> list[tuple[SectionName, bytes]]:
        texts = []
        for piece in walk(self._repo.snapshot(snapshot).sections_recipe, self.read):
            if piece.chunk not in self._pieces:
                sections = decode_piece(self.read(piece.chunk))
                self._pieces[piece.chunk] = [(one.name, self._text(one)) for one in sections]
            texts += self._pieces[piece.chunk]
        return texts

    def _text(self, section: Section) -> bytes:
        return b"".join(
            self.read(entry.chunk)
            for segment in section.segments
            for entry in walk(segment.recipe, self.read)
        )


def check_chains(repo: Repository, chunks: set[ChunkId]) -> tuple[set[ChunkId], int]:
    """Check that from each of *chunks* ever smaller ranks lead to a plain frame, in few steps.
    Return the chunks with all of their bases, and the most steps there were."""
    frames: dict[ChunkId, Frame] = {}
    waiting = set(chunks)
    while waiting:
        for chunk, found in repo.index.locations(list(waiting)).items():
            frames[chunk] = found[0].frame
        waiting = {frames[chunk].base for chunk in waiting if frames[chunk].base} - frames.keys()
    steps: dict[ChunkId, int] = {}
    for chunk, frame in sorted(frames.items(), key=lambda pair: pair[1].depth):
        assert (frame.base is None) == (frame.depth == 0)
        if frame.base is not None:
            assert frames[frame.base].depth < frame.depth, "ranks do not fall"
        steps[chunk] = 0 if frame.base is None else steps[frame.base] + 1
    longest = max((steps[chunk] for chunk in chunks), default=0)
    assert longest <= STEPS_MAX
    return set(frames), longest


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
