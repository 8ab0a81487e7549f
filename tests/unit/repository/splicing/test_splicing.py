"""Splicing: the section is that of a full read, whatever changed, and only what changed is read."""

from __future__ import annotations

import random
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pgsnap.model import BlockMap, ChangedBlocks, ChunkerParams, ChunkId, Section
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.chunks.ingest import Ingest
from pgsnap.repository.chunks.recipes import walk
from pgsnap.repository.chunks.stream import read_section
from pgsnap.repository.repository import Repository
from pgsnap.repository.sections.leaf_lists import leaves_of
from pgsnap.repository.splicing import splicing
from pgsnap.repository.splicing.block_edits import SpliceMismatch
from support.repositories.blocks import BlockTable, map_of, spliced, stored
from support.running.breadth import times

SMALL = ChunkerParams(2048, 8192, 32_768)


@pytest.fixture(autouse=True)
def small_chunks(repo: Repository) -> None:
    repo.config = replace(repo.config, chunker=SMALL)


def some_table(seed: int, blocks: int = 600) -> BlockTable:
    table = BlockTable(random.Random(seed))
    table.grow(blocks)
    return table


def check(repo: Repository, section: Section, table: BlockTable) -> None:
    """Check that *section* is what a full read of *table* gives."""
    full = stored(repo, table)
    assert read_section(repo.chunks, section) == table.text
    assert map_of(repo, section) == table.block_map
    assert section.leaf_digest == full.leaf_digest
    assert list(leaves_of(repo.chunks, section)) == list(leaves_of(repo.chunks, full))
    same = "name", "plain_bytes", "lines", "rows", "head_bytes", "tail_bytes"
    assert [getattr(section, key) for key in same] == [getattr(full, key) for key in same]


def sizes(repo: Repository, section: Section) -> list[int]:
    return [entry.plain_bytes for entry in walk(section.segments[0].recipe, repo.chunks.read)]


CHANGES = {
    "nothing": lambda table: [],
    "one block": lambda table: table.update([table.chance.randrange(len(table.blocks))]),
    "the first": lambda table: table.update([0]),
    "the last": lambda table: table.update([len(table.blocks) - 1]),
    "some": lambda table: table.update(table.chance.sample(range(len(table.blocks)), 30)),
    "many": lambda table: table.update(table.chance.sample(range(len(table.blocks)), 400)),
    "a range": lambda table: table.update(range(100, 300)),
    "all": lambda table: table.update(range(len(table.blocks))),
    "growth": lambda table: table.grow(30),
    "much growth": lambda table: table.update(range(590, 600)) + table.grow(900),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", range(3))
def test_a_spliced_section_is_that_of_a_full_read(repo: Repository, change: str, seed: int) -> None:
    table = some_table(seed)
    section = stored(repo, table)
    numbers = CHANGES[change](table)
    section = spliced(repo, section, table.changed(numbers), len(table.blocks))
    check(repo, section, table)


class Seen:
    """Keeps the text of both sides."""

    def __init__(self) -> None:
        self.texts = [b"", b""]

    def feed(self, side: int, block: bytes) -> None:
        self.texts[side] += block


@pytest.mark.parametrize("change", [*CHANGES, "shrinking"])
def test_who_watches_a_splice_sees_the_rows_that_went_and_came(
    repo: Repository, change: str
) -> None:
    table = some_table(8)
    section = stored(repo, table)
    before = Counter(table.text.splitlines())
    if change == "shrinking":
        numbers = [number for number in table.update([0, 150, 298]) if number < 300]
        del table.blocks[300:]
    else:
        numbers = CHANGES[change](table)
    seen = Seen()
    section = spliced(repo, section, table.changed(numbers), len(table.blocks), seen)
    check(repo, section, table)
    removed, added = (Counter(text.splitlines()) for text in seen.texts)
    after = Counter(table.text.splitlines())
    assert removed - added == before - after
    assert added - removed == after - before
    assert (change == "nothing") == (not removed and not added)


@pytest.mark.parametrize("left", [0, 1, 300, 599])
def test_a_table_that_got_shorter_is_cut(repo: Repository, left: int) -> None:
    table = some_table(4)
    section = stored(repo, table)
    numbers = [number for number in table.update([0, 150, 298]) if number < left]
    del table.blocks[left:]
    section = spliced(repo, section, table.changed(numbers), left)
    check(repo, section, table)


def test_a_table_that_was_emptied_is_filled_again(repo: Repository) -> None:
    table = some_table(5)
    section = stored(repo, table)
    for rows in table.blocks:
        rows.clear()
    every = list(range(len(table.blocks)))
    section = spliced(repo, section, table.changed(every), len(every))
    check(repo, section, table)
    assert table.text.count(b"\n") == section.lines
    table.update(every)
    section = spliced(repo, section, table.changed(every), len(every))
    check(repo, section, table)


def test_an_empty_table_without_blocks_grows(repo: Repository) -> None:
    table = some_table(6, 0)
    section = stored(repo, table)
    check(repo, spliced(repo, section, table.changed(table.grow(300)), 300), table)


def test_rows_that_are_longer_than_a_chunk_are_spliced(repo: Repository) -> None:
    table = BlockTable(random.Random(7), widths=(50, 100, 100_000))
    table.grow(80, rows=5)
    section = stored(repo, table)
    for _ in range(5):
        numbers = table.update(table.chance.sample(range(80), 12))
        section = spliced(repo, section, table.changed(numbers), 80)
        check(repo, section, table)


def test_more_new_text_than_a_unit_holds_is_stored_in_several(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splicing, "_UNIT_BYTES_MAX", 5000)
    table = some_table(8)
    section = stored(repo, table)
    numbers = table.update(range(200, 260)) + table.grow(400)
    section = spliced(repo, section, table.changed(numbers, at_once=7), len(table.blocks))
    check(repo, section, table)


def test_many_rounds_leave_chunks_of_the_right_size(repo: Repository) -> None:
    table = some_table(9, 150)
    section = stored(repo, table)
    for number in range(times(60, 200)):
        count = len(table.blocks)
        if number % 3 == 0:
            numbers = table.update(table.chance.sample(range(count), count // 5))
        elif number % 3 == 1:
            numbers = table.update(range(count // 3, count // 3 + 20))
        else:
            numbers = table.update([5, count - 1]) + table.grow(9)
        if number % 10 == 9:
            del table.blocks[-20:]
            numbers = [block for block in numbers if block < len(table.blocks)]
        section = spliced(repo, section, table.changed(numbers), len(table.blocks))
        if number % 20 == 0:
            assert read_section(repo.chunks, section) == table.text
        found = sizes(repo, section)
        assert max(found) <= SMALL.max_bytes
        assert min(found[:-1], default=SMALL.min_bytes) >= SMALL.min_bytes
    check(repo, section, table)


class CountingReader:
    """Notes which chunks are read."""

    def __init__(self, reader: ChunkReader, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[ChunkId] = []
        former = reader.read

        def read(chunk: ChunkId, *rest: object, **more: object) -> bytes:
            self.read.append(chunk)
            return former(chunk, *rest, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(reader, "read", read)


def test_only_chunks_in_which_something_changed_are_read(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = some_table(10, 4000)
    section = stored(repo, table)
    entries = list(walk(section.segments[0].recipe, repo.chunks.read))
    block_map = map_of(repo, section)
    numbers = [1000, 1001, 3000]
    for number in numbers:
        table.blocks[number].append(table.row())
    counting = CountingReader(repo.chunks, monkeypatch)
    section = spliced(repo, section, table.changed(numbers), 4000)
    data = {entry.chunk for entry in entries}
    # Those that changed, and the rest of the two leaves of 256 KiB on average that they are in.
    touched = [chunk for chunk in counting.read if chunk in data]
    assert len(entries) > 150
    assert 3 <= len(set(touched)) < len(entries) * 0.7
    again = list(walk(section.segments[0].recipe, repo.chunks.read))
    assert sum(entry.chunk not in data for entry in again) <= 3
    assert block_map != table.block_map


def test_a_splice_of_nothing_reads_no_data_and_stores_nothing(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = some_table(11)
    section = stored(repo, table)
    data = {entry.chunk for entry in walk(section.segments[0].recipe, repo.chunks.read)}
    before = repo.index.query("SELECT count(*) FROM chunks")
    counting = CountingReader(repo.chunks, monkeypatch)
    again = spliced(repo, section, (), len(table.blocks))
    assert not data.intersection(counting.read)
    assert repo.index.query("SELECT count(*) FROM chunks") == before
    assert again.segments == section.segments
    assert (again.leaves, again.block_map) == (section.leaves, section.block_map)


# -- what does not fit --------------------------------------------------------------------------


def wrong_map(table: BlockTable, block: int, more_bytes: int, more_rows: int) -> BlockMap:
    """Return a block map in which one block has something of the next."""
    columns = []
    for column, more in (
        (table.block_map.byte_counts, more_bytes),
        (table.block_map.row_counts, more_rows),
    ):
        found = bytearray(column)
        for place, change in ((block, more), (block + 1, -more)):
            value = int.from_bytes(found[4 * place : 4 * place + 4], "little") + change
            found[4 * place : 4 * place + 4] = value.to_bytes(4, "little")
        columns.append(bytes(found))
    return BlockMap(*columns)


@pytest.mark.parametrize(("more_bytes", "more_rows"), [(3, 0), (0, 1), (0, -1), (-3, 0)])
def test_a_block_map_that_does_not_fit_the_text_is_found(
    repo: Repository, more_bytes: int, more_rows: int
) -> None:
    table = some_table(12)
    table.blocks[50:52] = [[table.row() for _ in range(20)] for _ in range(2)]
    section = stored(repo, table)
    wrong = wrong_map(table, 50, more_bytes, more_rows)
    table.blocks[50].append(table.row())
    with pytest.raises(SpliceMismatch), Ingest(repo.chunk_store) as ingest:
        splicing.splice(ingest, section, wrong, table.changed([50]), 600)


def broken(table: BlockTable, how: str) -> Iterator[ChangedBlocks]:
    """Yield changed blocks with something wrong."""
    good = next(iter(table.changed([50, 51, 60])))
    if how == "order":
        yield from table.changed([51, 50])
    elif how == "twice":
        yield from table.changed([50, 51])
        yield from table.changed([51])
    elif how == "beyond":
        yield ChangedBlocks(
            array("I", [50, 51, 9000]), good.byte_counts, good.row_counts, good.text
        )
    elif how == "text":
        yield replace(good, text=good.text[:-1])
    elif how == "rows":
        yield replace(good, row_counts=good.row_counts[:-4] + b"\1\0\0\0")
    elif how == "cut":
        yield replace(good, text=good.text[:-1] + b"x")
    elif how == "counts":
        yield replace(good, byte_counts=good.byte_counts[:-4])


@pytest.mark.parametrize("how", ["order", "twice", "beyond", "text", "rows", "cut", "counts"])
def test_blocks_that_were_not_read_rightly_are_found(repo: Repository, how: str) -> None:
    table = some_table(13)
    for number in (50, 51, 60):
        table.blocks[number] = [table.row() for _ in range(5)]
    section = stored(repo, table)
    with pytest.raises(SpliceMismatch):
        spliced(repo, section, broken(table, how), 600)


def test_a_new_block_that_was_not_read_is_found(repo: Repository) -> None:
    table = some_table(14)
    section = stored(repo, table)
    new = table.grow(3)
    for numbers in (new[:2], new[1:], []):
        with pytest.raises(SpliceMismatch, match="in full"):
            spliced(repo, section, table.changed(numbers), 603)


def test_a_chunk_that_cannot_be_read_means_a_full_read(repo: Repository) -> None:
    table = some_table(15)
    section = stored(repo, table)
    for pack in (repo.path / "packs").glob("*/*"):
        data = bytearray(pack.read_bytes())
        data[100:-20_000] = bytes(len(data) - 20_100)
        pack.chmod(0o600)
        pack.write_bytes(data)
    with pytest.raises(SpliceMismatch):
        spliced(repo, section, table.changed(table.update(range(600))), 600)


def test_after_a_mismatch_the_same_ingest_stores_all_of_the_table(repo: Repository) -> None:
    """Chunks that the splice had encoded are written, since a full read relies on them."""
    table = some_table(16)
    section = stored(repo, table)
    numbers = table.update(range(0, 500, 2))

    def changed() -> Iterator[ChangedBlocks]:
        yield from table.changed(numbers)
        raise SpliceMismatch("it ends here")

    with Ingest(repo.chunk_store) as ingest:
        with pytest.raises(SpliceMismatch):
            splicing.splice(ingest, section, map_of(repo, section), changed(), 600)
        (full,) = list(ingest.store(table.events()))
    assert read_section(repo.chunks, full) == table.text
