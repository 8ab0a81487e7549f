"""Which packs are rewritten, and that one which comes out as it was stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from pgsnap.errors import CorruptionError
from pgsnap.maintenance.gc import sweeping
from pgsnap.maintenance.gc.sweeping import Swept, plan_sweep, rewrite_packs
from pgsnap.model import ChunkKind, Cipher, Codec, Frame
from pgsnap.progress import SILENT
from pgsnap.repository import layout
from pgsnap.repository.chunks import packs
from pgsnap.repository.chunks.packs import PackWriter
from pgsnap.repository.index.frame_table import FrameTable
from pgsnap.repository.repository import Repository
from support.repositories.made import make
from support.repositories.stores import RecordingStore, use_store

PACK_BYTES = 10_000


def write_pack(repo: Repository, *contents: bytes) -> bytes:
    """Write the contents as chunks into a pack of their own. Return its id."""
    writer = PackWriter(repo.store, repo.index, 10**9, lambda frames: None)
    for content in contents:
        name = blake3(content).digest()
        size = len(content)
        writer.add(
            Frame(name, ChunkKind.DATA, Codec.RAW, Cipher.NONE, 0, None, size, size), content
        )
    writer.finish()
    (pack,) = writer.written
    return pack


def content(number: int, size: int = 1000) -> bytes:
    return bytes([number]) * size


def keeping(repo: Repository, *contents: bytes) -> tuple[FrameTable, np.ndarray]:
    """Return the frames, and which of them are those of *contents*."""
    table = FrameTable(repo.index)
    numbers = table.numbers([blake3(one).digest() for one in contents])
    return table, np.isin(table.chunk, numbers)


def names(table: FrameTable, packs: tuple[int, ...]) -> list[bytes]:
    return [table.packs[number][0] for number in packs]


def test_the_most_wasteful_packs_are_written_anew_until_little_is_unused(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "r")) as repo:
        full = [content(number) for number in range(100)]
        written = [write_pack(repo, *full[start : start + 10]) for start in range(0, 100, 10)]
        # One is dead, one half used, one nearly whole, seven whole.
        stay = [*full[10:15], *full[20:29], *full[30:]]
        table, kept = keeping(repo, *stay)
        plan = plan_sweep(table, kept, PACK_BYTES)
        assert names(table, plan.dead) == [written[0]]
        assert names(table, plan.rewritten) == [written[1]]
        # Little unused: nothing is moved for it.
        table, kept = keeping(repo, *full[1:])
        plan = plan_sweep(table, kept, PACK_BYTES)
        assert (plan.dead, plan.rewritten) == ((), ())


def test_small_packs_are_put_together_when_a_full_one_comes_of_it(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "r")) as repo:
        contents = [content(number) for number in range(12)]
        for one in contents[:8]:
            write_pack(repo, one)
        table, kept = keeping(repo, *contents)
        assert plan_sweep(table, kept, PACK_BYTES).rewritten == ()
        for one in contents[8:]:
            write_pack(repo, one)
        table, kept = keeping(repo, *contents)
        assert len(plan_sweep(table, kept, PACK_BYTES).rewritten) == 12


def test_a_damaged_frame_stops_the_sweep_and_its_pack_stays(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "r"), alone=True) as repo:
        contents = [content(number) for number in range(4)]
        pack = write_pack(repo, *contents)
        file = repo.path / layout.pack_name(pack)
        data = bytearray(file.read_bytes())
        data[1500] ^= 1
        file.write_bytes(data)
        table, kept = keeping(repo, *contents[:3])
        with pytest.raises(CorruptionError) as caught:
            rewrite_packs(repo.chunk_store, table, kept, sorted(table.packs), Swept(), SILENT)
        assert "snap verify --data" in caught.value.hint
        assert set(repo.index.packs()) == {pack}
        assert file.exists()


def test_a_pack_that_comes_out_as_it_was_is_not_deleted(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "r", pack_bytes=3000), alone=True) as repo:
        first = write_pack(repo, *(content(number) for number in range(3)))
        last = write_pack(repo, content(9), content(10))
        stay = [content(0), content(1), content(2), content(9), content(10)]
        table, kept = keeping(repo, *stay)
        swept = Swept()
        # The first fills a new pack exactly, and so the last is alone in the one after it.
        rewrite_packs(repo.chunk_store, table, kept, sorted(table.packs), swept, SILENT)
        assert set(repo.index.packs()) == {first, last}
        assert [repo.chunks.read(blake3(one).digest()) for one in stay] == stay


def test_a_pack_of_many_tiny_frames_is_closed_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "PACK_FRAMES_MAX", 10)
    with Repository.open(make(tmp_path / "r")) as repo:
        writer = PackWriter(repo.store, repo.index, 10**9, lambda frames: None)
        for number in range(25):
            data = b"%d" % number
            name = blake3(data).digest()
            writer.add(Frame(name, ChunkKind.DATA, Codec.RAW, Cipher.NONE, 0, None, 2, 2), data)
        writer.finish()
        assert sorted(repo.index.frame_counts().values()) == [5, 10, 10]


class BadSector(RecordingStore):
    """Cannot read the byte at 1500 of any object."""

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        if start <= 1500 and (length is None or start + length > 1500):
            raise CorruptionError("cannot be read")
        return super().get(name, start, length)


@pytest.mark.parametrize("damage", ["bit", "sector"])
def test_damage_in_what_is_not_moved_stops_nothing(tmp_path: Path, damage: str) -> None:
    with Repository.open(make(tmp_path / "r"), alone=True) as repo:
        contents = [content(number) for number in range(4)]
        pack = write_pack(repo, *contents)
        file = repo.path / layout.pack_name(pack)
        data = bytearray(file.read_bytes())
        if damage == "bit":
            data[1500] ^= 1
            file.write_bytes(data)
        else:
            use_store(repo, BadSector(repo.store))
        stay = [contents[0], *contents[2:]]
        table, kept = keeping(repo, *stay)
        rewrite_packs(repo.chunk_store, table, kept, sorted(table.packs), Swept(), SILENT)
        assert not file.exists()
    with Repository.open(tmp_path / "r") as repo:
        assert [repo.chunks.read(blake3(one).digest()) for one in stay] == stay


def test_what_is_moved_in_many_steps_is_all_there_and_no_old_pack_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "_FRAMES_AT_ONCE", 10)
    with Repository.open(make(tmp_path / "r", pack_bytes=5000), alone=True) as repo:
        contents = [content(number) for number in range(100)]
        old = {write_pack(repo, *contents[start : start + 7]) for start in range(0, 100, 7)}
        stay = [one for number, one in enumerate(contents) if number % 7 in (1, 4)]
        table, kept = keeping(repo, *stay)
        swept = Swept()
        rewrite_packs(repo.chunk_store, table, kept, sorted(table.packs), swept, SILENT)
        assert swept.packs_rewritten == len(old)
        files = {layout.hash_of(info.name): info.object_bytes for info in repo.store.list("packs/")}
        assert files == repo.index.packs()
        assert not files.keys() & old
        assert [repo.chunks.read(blake3(one).digest()) for one in stay] == stay
        assert sum(repo.index.frame_counts().values()) == len(stay)


def test_packs_that_are_indexed_later_are_so_when_they_are_many_or_the_writer_ends(
    tmp_path: Path,
) -> None:
    with Repository.open(make(tmp_path / "r")) as repo:
        heard: list[Frame] = []

        def write(count: int) -> PackWriter:
            writer = PackWriter(repo.store, repo.index, 1000, heard.extend, frames_at_once=3)
            for number in range(count):
                one = content(len(heard) + number)
                name = blake3(one).digest()
                writer.add(
                    Frame(name, ChunkKind.DATA, Codec.RAW, Cipher.NONE, 0, None, 1000, 1000), one
                )
            return writer

        writer = write(3)
        assert repo.index.packs() == {}
        writer.index_written()
        assert len(repo.index.packs()) == len(heard) == 3
        writer.finish()
        write(5).abandon()
        # What was durable when the writer gave up is no stranger to the index.
        files = {layout.hash_of(info.name) for info in repo.store.list("packs/")}
        assert repo.index.packs().keys() == files
        assert len(files) == len(heard) > 3
