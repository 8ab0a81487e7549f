"""What one more snapshot of a large database adds to the repository: next to nothing.

The database is simulated: a table of 200,000 chunks (100 GB) and 20,000 small tables, of which
`make test` takes a quarter. Its chunks are names only; recipe nodes, section table, manifest, packs
and index are real. All files of the repository count. Measured: the first snapshot takes 15.2 MB of
lists, an unchanged one 393 bytes more, and one with a changed chunk and a changed small table 9 kB.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from blake3 import blake3

from pgsnap.format.sections import SectionTable
from pgsnap.limits import CHUNK_BYTES_AVG, SKETCH_VALUES
from pgsnap.model import (
    RecipeEntry,
    RecipeRoot,
    Section,
    SectionEnd,
    SectionKind,
    SectionName,
    Segment,
    Snapshot,
)
from pgsnap.repository.chunks.ingest import Ingest
from pgsnap.repository.footprint import footprint
from pgsnap.repository.repository import Repository
from support.documents.values import TIME
from support.dumps.scripted import ORIGIN
from support.repositories.made import make

SHARE = int(os.environ.get("SNAP_SHARE", "4"))
CHUNKS = 200_000 // SHARE
SMALL_TABLES = 20_000 // SHARE
EVENTS = SectionName(SectionKind.DATA, "public", "events")
EVENTS_END = SectionEnd(is_copy=True, head_bytes=60, head_lines=1, tail_bytes=5, tail_lines=3)


def entry_of(word: str, chance: random.Random) -> RecipeEntry:
    plain_bytes = chance.randrange(CHUNK_BYTES_AVG // 2, CHUNK_BYTES_AVG * 2)
    sketch = chance.randbytes(4 * SKETCH_VALUES)
    return RecipeEntry(blake3(word.encode()).digest(), plain_bytes, plain_bytes // 90, sketch)


def small_table(number: int) -> Section:
    name = SectionName(SectionKind.DATA, "public", f"tenant_{number:05}_settings")
    digest = blake3(b"%d" % number).digest()
    root = RecipeRoot(digest, 0, 2_000 + number % 999, 40 + number % 9)
    rows = root.lines - 4
    return Section(name, root.plain_bytes, root.lines, digest, (Segment(root),), rows, 70, 5)


def commit(
    path: Path, number: int, entries: list[RecipeEntry], small: list[Section]
) -> tuple[int, Snapshot]:
    """Store the lists as a commit does, and a manifest. Return what all files grew by."""
    before = footprint(path).total
    with Repository.open(path) as repo:
        earlier = [repo.snapshot(snapshot) for snapshot in repo.newest("shop", 1)]
        repo.catch_up_packs()
        ingest = Ingest(repo.chunk_store, earlier)
        events = ingest._begin(EVENTS)
        for entry in entries:
            events.recipe.add(entry)
        events.end, events.digest = EVENTS_END, blake3(entries[0].chunk).digest()
        sections = SectionTable()
        for section in (ingest._finished(events), *small):
            sections.add(section)
        table = ingest.store_table(sections)
        ingest.finish()
        snapshot = Snapshot(
            database="shop",
            time=TIME + timedelta(days=number),
            message="nightly",
            parent=next(iter(repo.newest("shop", 1)), None),
            root=sections.roots.root,
            leaf_root=sections.roots.leaf_root,
            globals_root=None,
            sections_recipe=table,
            section_count=sections.section_count,
            table_count=sections.table_count,
            plain_bytes=sections.plain_bytes,
            rows=sections.rows,
            stored_bytes=ingest.stored_bytes,
            duration_ms=1,
            origin=ORIGIN,
        )
        repo.publish(snapshot)
    return footprint(path).total - before, snapshot


def test_one_more_snapshot_of_a_large_database_adds_next_to_nothing(tmp_path: Path) -> None:
    path = make(tmp_path / "backups")
    chance = random.Random(1)
    entries = [entry_of(f"{number}", chance) for number in range(CHUNKS)]
    small = [small_table(number) for number in range(SMALL_TABLES)]
    first, snapshot = commit(path, 0, entries, small)
    assert snapshot.plain_bytes > 100 * 10**9 // SHARE
    # Else what follows would tell nothing.
    assert first > 10_000_000 // SHARE
    added, same = commit(path, 1, entries, small)
    assert same.sections_recipe == snapshot.sections_recipe
    assert added < 20_000

    entries[CHUNKS // 2] = entry_of("a changed chunk", chance)
    small[777] = replace(small[777], digest=blake3(b"another").digest())
    added, other = commit(path, 2, entries, small)
    assert other.sections_recipe != snapshot.sections_recipe
    assert added < 40_000
