"""How long a gc takes in a repository of very many chunks, and how much memory.

The repository is simulated: the frames are tiny, but packs, tables, recipes, deltas and the index
are real, with as many frames to a pack as chunks of an application database make. Of its snapshots
some are dropped. With --chains every new version of a chunk is a delta and only the newest snapshot
stays, so that gc has chunks to encode again.
Run: .venv/bin/python benchmarks/bench_gc.py --chunks 1000000
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from blake3 import blake3
from zstandard import ZstdCompressor

from measure import Command, run
from pgsnap.codecs.zstd import compress
from pgsnap.format.sections import pieces
from pgsnap.format.small import encode_config
from pgsnap.model import (
    ChunkId,
    ChunkKind,
    Cipher,
    Codec,
    Frame,
    RecipeEntry,
    RecipeRoot,
    Section,
    SectionKind,
    SectionName,
    Segment,
)
from pgsnap.repository import layout
from pgsnap.repository.chunks.packs import PackWriter
from pgsnap.repository.chunks.recipes import RecipeBuilder
from pgsnap.repository.config import read_config
from pgsnap.repository.repository import Repository
from pgsnap.sources.file import FileSource
from pgsnap.stores.local import LocalStore
from pgsnap.workflows.commit.commit import commit

SNAPSHOTS = 7


@dataclasses.dataclass(frozen=True)
class Shape:
    """What is simulated: how many snapshots stay, of how many new versions of a chunk one is a
    delta, the share of all chunks that the first snapshot has."""

    kept: int
    deltas_one_in: int
    first_share: float


SCATTERED = Shape(3, 20, 0.7)
CHAINS = Shape(1, 1, 0.4)

# For frames of some 60 bytes: about 250 to a pack.
PACK_BYTES = 15_000
# What is said of a chunk's size in recipes: the average.
CHUNK_BYTES = 256 * 1024
DUMP = (
    b"--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n\n"
    b"--\n-- PostgreSQL database dump complete\n--\n\n"
)


class Simulation:
    """Fills a repository with snapshots of one large table of tiny chunks."""

    def __init__(self, repo: Repository, shape: Shape) -> None:
        self._repo = repo
        self._shape = shape
        self._packs = PackWriter(repo.store, repo.index, PACK_BYTES, lambda frames: None)
        self._plain = ZstdCompressor(level=1)
        self._stored: set[ChunkId] = set()
        self.chunks = 0

    def _store(
        self, data: bytes, kind: ChunkKind, base: tuple[ChunkId, bytes, int] | None = None
    ) -> ChunkId:
        name = blake3(data).digest()
        if kind is not ChunkKind.DATA and name in self._stored:
            return name
        if base is None:
            codec, packed = Codec.ZSTD, self._plain.compress(data)
            frame = Frame(name, kind, codec, Cipher.NONE, 0, None, len(packed), len(data))
        else:
            codec, packed = compress(data, 2, base[1])
            frame = Frame(name, kind, codec, Cipher.NONE, base[2], base[0], len(packed), len(data))
        self._packs.add(frame, packed)
        self.chunks += 1
        if kind is not ChunkKind.DATA:
            self._stored.add(name)
        return name

    def fill(self, chunks: int, dump: Path) -> None:
        """Store *chunks* chunks: many in the first snapshot, the others replace some."""
        chance = random.Random(1)
        first = commit(self._repo, FileSource(dump), database="large", message="first")
        template = self._repo.snapshot(first.snapshot_id)
        count = int(chunks * self._shape.first_share)
        plain = [b"%064x" % number for number in range(count)]
        names = [self._store(data, ChunkKind.DATA) for data in plain]
        ranks = bytearray(count)
        parent, when = first.snapshot_id, template.time
        for number in range(SNAPSHOTS):
            if number:
                for place in chance.sample(range(count), (chunks - count) // (SNAPSHOTS - 1)):
                    data = b"%010d%b" % (chance.randrange(10**10), plain[place][10:])
                    ranks[place] += 1
                    # Beside frames so tiny, what a delta costs in tables would be all that counts.
                    base = names[place], plain[place], ranks[place]
                    is_delta = chance.randrange(self._shape.deltas_one_in) == 0
                    ranks[place] = ranks[place] if is_delta else 0
                    names[place] = self._store(data, ChunkKind.DATA, base if is_delta else None)
                    plain[place] = data
            when += timedelta(days=1)
            recipe = self._table(names)
            snapshot = dataclasses.replace(
                template, sections_recipe=recipe, time=when, parent=parent, wished_tags=()
            )
            parent, _ = self._repo.publish(snapshot)
        self._packs.finish()

    def _table(self, names: list[ChunkId]) -> RecipeRoot:
        recipe = self._recipe(ChunkKind.RECIPE)
        for name in names:
            recipe.add(RecipeEntry(name, CHUNK_BYTES, 1000))
        root = recipe.finish()
        section = Section(
            SectionName(SectionKind.DATA, "public", "large"),
            root.plain_bytes,
            root.lines,
            bytes(32),
            (Segment(root),),
        )
        table = self._recipe(ChunkKind.RECIPE)
        for piece, sections in pieces([section]):
            table.add(RecipeEntry(self._store(piece, ChunkKind.SECTIONS), len(piece), sections))
        return table.finish()

    def _recipe(self, kind: ChunkKind) -> RecipeBuilder:
        return RecipeBuilder(lambda node, level, line: self._store(node, kind))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--chains", action="store_true", help="let gc encode chunks again")
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    shape = CHAINS if given.chains else SCATTERED
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "repository"
        dump = Path(folder) / "empty.sql"
        dump.write_bytes(DUMP)
        Repository.create(path)
        store = LocalStore(path)
        config = dataclasses.replace(read_config(path, store), pack_bytes=PACK_BYTES)
        store.put(layout.CONFIG, encode_config(config))
        began = time.monotonic()
        with Repository.open(path) as repo:
            simulation = Simulation(repo, shape)
            simulation.fill(given.chunks, dump)
            packs, _ = repo.index.totals()
        print(f"{simulation.chunks} chunks in {packs} packs, made in", end=" ")
        print(f"{time.monotonic() - began:.0f} s")
        snap = (sys.executable, "-m", "pgsnap.cli", "--repo", str(path), "--json", "gc")
        keep = ("--keep-last", str(shape.kept), "--grace", "0s")
        for what, more in (("plan", ("--dry-run",)), ("gc", ()), ("gc again", ())):
            done = run(Command(((*snap, *keep, *more),), stdout=None))
            report = json.loads(done.output)
            print(
                f"{what}: {done.wall_seconds:.1f} s, {(done.own_peak_bytes or 0) / 2**20:.0f} MiB, "
                f"{report['packs_deleted']} packs deleted, {report['packs_rewritten']} written "
                f"again, {report['chunks_reencoded']} chunks encoded again, "
                f"{report['bytes_before'] / 1e6:.1f} -> {report['bytes_after'] / 1e6:.1f} MB"
            )


if __name__ == "__main__":
    main()
