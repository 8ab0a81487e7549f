"""Frames as arrays: chunks told apart, and one frame chosen that can be read for each."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from pgsnap.errors import CorruptionError
from pgsnap.maintenance.gc.marking import Choice
from pgsnap.model import ChunkId, ChunkKind, Cipher, Codec, Frame, Location
from pgsnap.repository.index import frame_table
from pgsnap.repository.index.frame_table import NOBODY, FrameTable
from pgsnap.repository.index.index import Index


@pytest.fixture
def index() -> Iterator[Index]:
    made = Index(None)
    yield made
    made.close()


def chunk(number: int) -> ChunkId:
    return random.Random(number).randbytes(32)


def frame(of: ChunkId, base: ChunkId | None = None, rank: int = 0, size: int = 1000) -> Frame:
    codec = Codec.ZSTD if base is None else Codec.ZSTD_DELTA
    return Frame(of, ChunkKind.DATA, codec, Cipher.NONE, rank, base, size, 5000)


def add(index: Index, name: int, *frames: Frame) -> bytes:
    """Let the index know a pack of *frames*."""
    pack = bytes([name]) * 32
    offset, locations = 8, []
    for one in frames:
        locations.append(Location(pack, offset, one))
        offset += one.frame_bytes
    index.add_pack(pack, offset + 100, locations)
    return pack


def choose(index: Index, *live: ChunkId) -> tuple[FrameTable, Choice]:
    table = FrameTable(index)
    is_live = np.zeros(table.chunks, bool)
    is_live[table.numbers(live)] = True
    return table, Choice(table, is_live)


def pack_of(table: FrameTable, choice: Choice, of: ChunkId) -> bytes:
    (number,) = table.numbers([of])
    return table.packs[int(table.pack[choice.frame[number]])][0]


def needed(table: FrameTable, choice: Choice) -> set[ChunkId]:
    return set(table.ids(np.flatnonzero(choice.is_needed).tolist()))


def test_chunks_whose_ids_begin_alike_are_told_apart(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_table, "_PAGE_ROWS", 3)
    twins = [b"begin it" + bytes([number]) * 24 for number in (1, 2, 3)]
    others = [chunk(number) for number in range(20)]
    add(index, 1, *map(frame, others), *map(frame, twins))
    add(index, 2, frame(chunk(30), twins[1], 1), frame(chunk(31), twins[0], 1), frame(twins[2]))
    table = FrameTable(index)
    assert (table.chunks, len(table)) == (25, 26)
    every = [*others, *twins, chunk(30), chunk(31)]
    numbers = table.numbers(every).tolist()
    assert len(set(numbers)) == 25
    assert table.ids(numbers) == every
    assert table.numbers([chunk(99)]).tolist() == [NOBODY]
    table, choice = choose(index, chunk(30))
    assert needed(table, choice) == {chunk(30), twins[1]}
    later = FrameTable(index)
    over = later.starting_with(table.beginnings(choice.is_needed))
    # Never less than what was chosen.
    assert (
        {chunk(30), twins[1]}
        <= set(later.ids(np.flatnonzero(over).tolist()))
        <= {
            chunk(30),
            *twins,
        }
    )


def test_of_several_frames_the_nearest_to_plain_and_then_the_newest_is_chosen(
    index: Index,
) -> None:
    base, one, other = chunk(1), chunk(2), chunk(3)
    add(index, 9, frame(base), frame(one, base, 4), frame(other, base, 2))
    newer = add(index, 5, frame(one, other, 3), frame(other, base, 2))
    table, choice = choose(index, one, other)
    assert pack_of(table, choice, one) == newer
    assert pack_of(table, choice, other) == newer
    assert needed(table, choice) == {base, one, other}


def test_no_frame_is_chosen_whose_chain_does_not_fall_to_a_plain_one(index: Index) -> None:
    a, b, c, d = (chunk(number) for number in range(4))
    # Two against each other, as no chain may be; one against what is not there; one equally deep.
    add(index, 1, frame(a, b, 1), frame(b, a, 2), frame(c, chunk(9), 1), frame(d, a, 5))
    second = add(index, 2, frame(c), frame(b, c, 3), frame(d, b, 3))
    table, choice = choose(index, b)
    assert pack_of(table, choice, b) == second
    assert needed(table, choice) == {b, c}
    with pytest.raises(CorruptionError) as caught:
        choose(index, a)
    assert "snap verify" in caught.value.hint
    with pytest.raises(CorruptionError):
        choose(index, d)


def test_a_damaged_frame_is_not_chosen_and_nothing_is_where_there_is_no_other(
    index: Index,
) -> None:
    one, delta = chunk(1), chunk(2)
    first = add(index, 1, frame(one), frame(delta, one, 1))
    index.mark_damaged(first, [8], readable=True)
    with pytest.raises(CorruptionError):
        choose(index, delta)
    second = add(index, 2, frame(one))
    table, choice = choose(index, delta)
    assert pack_of(table, choice, one) == second
    assert pack_of(table, choice, delta) == first


def test_a_chunk_that_is_read_through_what_is_gone_or_damaged_counts_as_unknown(
    index: Index,
) -> None:
    base, middle, delta, lone = (chunk(number) for number in range(4))
    first = add(index, 1, frame(base))
    add(index, 2, frame(middle, base, 1), frame(delta, middle, 2), frame(lone, lone, 3))
    every = [base, middle, delta, lone, chunk(9)]
    assert index.known(every) == index.present(every) == {base, middle, delta}
    index.mark_damaged(first, [8], readable=True)
    assert index.known(every) == set()
    assert index.present(every) == {base, middle, delta}
    index.mark_damaged(first, [8], readable=False)
    assert index.present(every) == set()
    assert index.with_bases(every) == {base, middle, delta}
    index.drop_pack(first)
    assert index.with_bases(every) == set()
    add(index, 3, frame(middle))
    assert index.known(every) == {middle, delta}


def test_packs_are_forgotten_by_the_chunks_that_are_named_or_else_by_looking_through_all(
    index: Index,
) -> None:
    a, b, c = (chunk(number) for number in range(3))
    first = add(index, 1, frame(a), frame(b), frame(a))
    second = add(index, 2, frame(b), frame(c))
    third = add(index, 3, frame(a), frame(c, a, 1))
    index.mark_damaged(first, [8], readable=True)
    # That is not all that the first one holds.
    index.drop_packs([first], [(a, first), (c, bytes(32))])
    assert index.packs().keys() == {second, third}
    assert index.frame_counts() == {second: 2, third: 2}
    assert index.damaged() == []
    index.drop_packs([third], [(a, third), (c, third)])
    assert index.frame_counts() == {second: 2}
    index.drop_packs([second, first])
    assert (index.packs(), index.frame_counts()) == ({}, {})


def test_packs_that_are_indexed_together_are_as_if_they_were_one_by_one(index: Index) -> None:
    made, sizes = {}, {}
    for name in range(1, 4):
        pack = bytes([name]) * 32
        frames = [frame(chunk(10 * name + number)) for number in range(5)]
        made[pack] = [Location(pack, 8 + 1000 * at, one) for at, one in enumerate(frames)]
        sizes[pack] = 5000 + name
    index.add_pack(bytes([1]) * 32, 5001, made[bytes([1]) * 32])
    index.add_packs((pack, sizes[pack], locations) for pack, locations in made.items())
    assert index.packs() == sizes
    assert {pack: index.frames_of(pack) for pack in made} == made


def test_a_row_that_no_frame_can_have_is_damage_of_the_index(index: Index) -> None:
    add(index, 1, frame(chunk(1)))
    with index.transaction() as connection:
        connection.execute("UPDATE chunks SET id = x'0102'")
    with pytest.raises(CorruptionError, match="index"):
        FrameTable(index)
    with index.transaction() as connection:
        connection.execute("UPDATE chunks SET id = ?, frame_bytes = -1", (chunk(1),))
    with pytest.raises(CorruptionError, match="index"):
        FrameTable(index)


def test_chunks_are_ordered_as_they_are_in_the_packs(index: Index) -> None:
    chunks = [chunk(number) for number in range(200)]
    for name in (2, 1):
        add(index, name, *map(frame, chunks[name - 1 :: 2]))
    # Again in a later pack: the first frame of each counts.
    add(index, 3, *map(frame, chunks[::-1]))
    table = FrameTable(index)
    numbers = np.sort(table.numbers(chunks[10:]))
    ordered = numbers[table.in_place_order(numbers)].tolist()
    assert table.ids(ordered) == chunks[11::2] + chunks[10::2]
    assert len(table.in_place_order(np.zeros(0, np.int32))) == 0
