"""Storing a dump: what its sections say, what is stored once, and what a second time costs."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blake3 import blake3

from pgsnap.chunking.rows import RowChunker
from pgsnap.model import (
    ChunkKind,
    Cipher,
    Codec,
    Frame,
    Section,
    SectionEnd,
    SectionKind,
    SectionName,
)
from pgsnap.repository.chunks.ingest import Ingest
from pgsnap.repository.chunks.packs import PackWriter
from pgsnap.repository.repository import Repository
from support.dumps.scripted import Dump, Part, ScriptedSource, dump, rows, shop, table, text, texts
from support.repositories.made import make, record
from support.repositories.stores import RecordingStore, use_store


@pytest.fixture
def recording(repo: Repository) -> RecordingStore:
    store = RecordingStore(repo.store)
    use_store(repo, store)
    return store


def store(repo: Repository, dumped: Dump, *, block_bytes: int = 70_001) -> list[Section]:
    """Store a dump without a snapshot."""
    ingest = Ingest(repo.chunk_store)
    sections = ingest.store(ScriptedSource(dumped, block_bytes=block_bytes).all_events())
    ingest.finish()
    return list(sections)


def frames(repo: Repository) -> list[tuple[bytes, int]]:
    """Return the chunk and the kind of every frame in the index."""
    return repo.index.query("SELECT id, kind FROM chunks")


def test_a_sections_name_sizes_and_digest_are_those_of_its_text(repo: Repository) -> None:
    dumped = shop()
    for section, part in zip(store(repo, dumped), dumped.parts, strict=True):
        assert section.name == part.name
        assert section.plain_bytes == len(part.text)
        assert section.lines == part.text.count(b"\n")
        assert section.digest == blake3(part.text).digest()
        assert section.rows == part.rows
        assert (section.head_bytes, section.tail_bytes) == (
            part.end.head_bytes,
            part.end.tail_bytes,
        )


def test_rows_are_counted_only_where_there_are_rows(repo: Repository) -> None:
    dumped = dump(table("a", "none", []), table("a", "one", [b"1"]), table("a", "five", rows(5)))
    counted = {section.name.name: section.rows for section in store(repo, dumped)}
    assert counted == {"": None, "none": 0, "one": 1, "five": 5}


@pytest.mark.parametrize("block_bytes", [1, 17, 4096, 1 << 20])
def test_how_the_bytes_arrive_changes_nothing(repo: Repository, block_bytes: int) -> None:
    dumped = shop(40 if block_bytes == 1 else 2000)
    assert store(repo, dumped, block_bytes=block_bytes) == store(repo, dumped)


def test_a_section_of_no_bytes_is_a_section(repo: Repository) -> None:
    empty = Part(SectionName(SectionKind.LARGE_OBJECTS), b"")
    dumped = Dump((text(SectionKind.PREAMBLE, b"x\n"), empty, text(SectionKind.TRAILER, b"")))
    made = record(repo, dumped).snapshot_id
    assert texts(repo, made) == dumped.texts


def test_a_text_without_a_last_line_end_and_one_of_any_bytes_come_back(repo: Repository) -> None:
    every = bytes(range(256)) * 4000
    dumped = Dump(
        (
            text(SectionKind.PREAMBLE, b"no line end"),
            Part(SectionName(SectionKind.DATA, "p", "long"), every, SectionEnd()),
            text(SectionKind.TRAILER, b"\0\n\xff"),
        )
    )
    assert texts(repo, record(repo, dumped).snapshot_id) == dumped.texts


def test_a_row_longer_than_a_chunk_comes_back(repo: Repository) -> None:
    long = b"1\t" + b"".join(rows(40_000, seed=5))
    dumped = dump(table("p", "t", [b"0\tshort", long, b"2\tshort"]))
    assert len(long) > 2 << 20
    made = record(repo, dumped)
    assert texts(repo, made.snapshot_id) == dumped.texts
    assert made.snapshot.rows == 3


def test_the_same_chunk_twice_in_one_commit_is_stored_once(repo: Repository) -> None:
    same = rows(6000, width=100)
    store(repo, dump(*(table("p", "same", same, part=part) for part in range(12))))
    found = frames(repo)
    assert len(found) == len({chunk for chunk, _ in found})
    assert sum(repo.index.packs().values()) < 12 * 600_000 / 4


def test_packs_are_closed_at_their_size_and_no_chunk_is_stored_twice(tmp_path: Path) -> None:
    path = make(tmp_path / "small", pack_bytes=200_000)
    with Repository.open(path) as repo:
        dumped = dump(*(table("p", f"t{n}", rows(3000, seed=n % 5)) for n in range(15)))
        made = record(repo, dumped).snapshot_id
        assert len(repo.index.packs()) > 3
        found = frames(repo)
        assert len(found) == len({chunk for chunk, _ in found})
        assert texts(repo, made) == dumped.texts


def test_chunks_are_stored_with_their_kind(repo: Repository) -> None:
    made = record(repo, shop(40_000))
    kinds = {kind for _, kind in frames(repo)}
    assert kinds == {ChunkKind.DATA, ChunkKind.RECIPE, ChunkKind.SECTIONS}
    assert texts(repo, made.snapshot_id) == shop(40_000).texts


def test_a_second_commit_of_the_same_writes_one_manifest_and_no_pack(
    repo: Repository, recording: RecordingStore
) -> None:
    first = record(repo, shop())
    recording.calls.clear()
    recording.bytes_written = 0
    second = record(repo, shop())
    assert recording.writes == [("put", f"snapshots/{second.snapshot_id.hex()}")]
    assert recording.bytes_written < 10_000
    assert second.snapshot.root == first.snapshot.root
    assert second.snapshot.sections_recipe == first.snapshot.sections_recipe
    assert second.unchanged
    assert second.stored_bytes == 0
    assert second.snapshot.parent == first.snapshot_id


def test_a_change_stores_its_chunk_and_leaves_the_rest(repo: Repository) -> None:
    many = rows(30_000, width=200)
    before = record(repo, dump(table("p", "t", many)))
    many[15_000] = b"15000\tchanged"
    after = record(repo, dump(table("p", "t", many)))
    assert not after.unchanged
    assert 0 < after.stored_bytes < before.stored_bytes / 4
    assert texts(repo, after.snapshot_id) == dump(table("p", "t", many)).texts


def test_globals_are_no_part_of_the_root_and_have_one_of_their_own(repo: Repository) -> None:
    one = record(repo, dump(globals_text=b"CREATE ROLE app;\n"))
    two = record(repo, dump(globals_text=b"CREATE ROLE other;\n"))
    three = record(repo, dump())
    assert one.snapshot.root == two.snapshot.root == three.snapshot.root
    assert one.snapshot.globals_root == blake3(b"CREATE ROLE app;\n").digest()
    assert two.unchanged
    assert two.globals_changed
    assert three.snapshot.globals_root is None


def test_a_failing_progress_or_source_leaves_no_thread_behind(repo: Repository) -> None:
    before = threading.active_count()
    for _ in range(3):
        record(repo, shop(500))
    ingest = Ingest(repo.chunk_store)
    ingest.store(ScriptedSource(shop(500)).all_events())
    ingest.abandon()
    assert threading.active_count() == before


def test_a_database_of_thousands_of_empty_tables_costs_nothing_the_second_time(
    repo: Repository, recording: RecordingStore
) -> None:
    many = [table("public", f"t{number}", []) for number in range(5000)]
    record(repo, dump(*many))
    recording.calls.clear()
    recording.bytes_written = 0
    second = record(repo, dump(*many))
    assert second.unchanged
    assert recording.bytes_written < 10_000
    assert second.snapshot.table_count == 5000
    assert sum(1 for _ in repo.sections(second.snapshot)) == 5004


def test_one_table_of_thousands_that_changed_rewrites_a_piece_of_the_section_table(
    repo: Repository, recording: RecordingStore
) -> None:
    many = [table("public", f"t{number}", []) for number in range(4000)]
    record(repo, dump(*many))
    whole = recording.bytes_written
    many[777] = table("public", "t777", [b"1\tone row"])
    recording.bytes_written = 0
    record(repo, dump(*many))
    assert recording.bytes_written < whole / 10


def test_a_pack_that_is_filled_holds_no_block_of_memory_for_each_frame(repo: Repository) -> None:
    """Small deltas would pin the memory of the chunks between them: 380 MiB for 300 MB."""
    packs = PackWriter(repo.store, repo.index, repo.config.pack_bytes, lambda _: None)
    data = b"a frame".ljust(5000, b".")
    frame = Frame(bytes(32), ChunkKind.DATA, Codec.RAW, Cipher.NONE, 0, None, 5000, 5000)
    before = sys.getrefcount(data)
    packs.add(frame, data)
    assert sys.getrefcount(data) == before
    packs.abandon()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority")
@pytest.mark.parametrize(("started_with", "works_with"), [(0, 10), (10, 10), (19, 19)])
def test_a_commit_under_nice_stays_as_nice(
    repo: Repository, started_with: int, works_with: int
) -> None:
    """Only root may raise a priority again, and a commit of anybody else would end with a bug."""
    found = set()
    ours = os.getpriority(os.PRIO_PROCESS, 0)

    def commit_it() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), max(started_with, ours))
        ingest = Ingest(repo.chunk_store, beside_server=True)
        ingest.store(ScriptedSource(shop(200)).events())
        for thread in threading.enumerate():
            if thread.name.startswith("snap-store") and thread.native_id is not None:
                found.add(os.getpriority(os.PRIO_PROCESS, thread.native_id))
        ingest.finish()

    with ThreadPoolExecutor(1) as other:
        other.submit(commit_it).result()
    assert found == {max(works_with, ours)}


def test_rows_of_chunks_that_did_not_change_are_not_looked_at_again(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    scan = RowChunker._scan

    def counting(self: RowChunker, size: int) -> None:
        looked_at.append(size)
        scan(self, size)

    monkeypatch.setattr(RowChunker, "_scan", counting)
    lines = rows(60_000, width=200)
    record(repo, dump(table("public", "orders", lines)))
    first = sum(looked_at)
    looked_at.clear()
    record(repo, dump(table("public", "orders", [*lines[:30_000], b"0\tnew", *lines[30_000:]])))
    # The chunk that changed, half a MiB at a time, and the last.
    assert sum(looked_at) < first / 2
