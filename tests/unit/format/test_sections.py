"""Sections decoded in one piece, as those of rows are: what any section is decoded to."""

from __future__ import annotations

import random
import struct
from dataclasses import replace

import pytest

from pgsnap.errors import SnapError
from pgsnap.format import sections
from pgsnap.format.recipe import encode_root
from pgsnap.format.sections import decode_section, encode_section, piece_chunks
from pgsnap.model import EMPTY_RECIPE, RecipeRoot, Section, SectionKind, SectionName, Segment

ROOT = RecipeRoot(bytes(range(32)), 1, 5000, 100)
ROWS = Section(
    SectionName(SectionKind.DATA, "public", "orders"),
    5000,
    100,
    bytes(range(100, 132)),
    (Segment(ROOT),),
    rows=97,
    head_bytes=40,
    tail_bytes=5,
)
OTHERS = [
    replace(ROWS, rows=None, head_bytes=0, tail_bytes=0),
    replace(ROWS, segments=(Segment(ROOT), Segment(ROOT)), plain_bytes=10_000),
    replace(ROWS, segments=()),
    replace(ROWS, segments=(Segment(EMPTY_RECIPE),)),
    replace(ROWS, name=SectionName(SectionKind.PRE_DATA)),
    replace(ROWS, name=SectionName(SectionKind.DATA, "s", "x" * 3000, 2)),
]


def stored(section: Section) -> bytes:
    return encode_section(section)[4:]


def outcome(data: bytes) -> Section | tuple[type[SnapError], str, str | None]:
    """Return what the decoder of any section makes of *data*."""
    try:
        return sections._any_section(data, "it")
    except SnapError as error:
        return type(error), error.message, error.detail


def both(data: bytes) -> tuple[object, object]:
    try:
        found: object = decode_section(data, "it")
    except SnapError as error:
        found = type(error), error.message, error.detail
    return found, outcome(data)


@pytest.mark.parametrize("section", [ROWS, *OTHERS])
def test_a_section_reads_back_on_either_way(section: Section) -> None:
    assert both(stored(section)) == (section, section)


def test_rows_that_were_read_in_one_go_are_decoded_in_one_piece() -> None:
    assert sections._plain_rows(stored(ROWS), "it") == ROWS
    assert [sections._plain_rows(stored(section), "it") for section in OTHERS[:4]] == [None] * 4


def test_a_table_in_one_chunk_holds_its_hash_and_its_size_once() -> None:
    chunk = RecipeRoot(ROWS.digest, 0, ROWS.plain_bytes, ROWS.lines)
    section = decode_section(stored(replace(ROWS, segments=(Segment(chunk),))), "it")
    assert section.digest is section.segments[0].recipe.chunk
    assert section.plain_bytes is section.segments[0].recipe.plain_bytes


@pytest.mark.parametrize("field", ["plain_bytes", "lines", "rows", "head_bytes", "tail_bytes"])
@pytest.mark.parametrize("value", [-1, -(2**63), 4999, 5001, 2**62, 2**63 - 1])
def test_numbers_out_of_their_range_are_damage_on_either_way(field: str, value: int) -> None:
    found, wanted = both(stored(replace(ROWS, **{field: value})))
    assert found == wanted


def test_each_changed_byte_gives_the_same_on_either_way() -> None:
    data = stored(ROWS)
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            found, wanted = both(bytes(changed))
            assert found == wanted, (place, bit)


@pytest.mark.parametrize("seed", range(20))
def test_fields_cut_swapped_and_repeated_give_the_same_on_either_way(seed: int) -> None:
    chance = random.Random(seed)
    data = stored(ROWS)
    fields, place = [], 0
    while place < len(data):
        _, length = struct.unpack_from("<HI", data, place)
        fields.append(data[place : place + 6 + length])
        place += 6 + length
    for _ in range(200):
        some = [chance.choice(fields) for _ in range(chance.randrange(1, 10))]
        mixed = fields[:]
        chance.shuffle(mixed)
        for text in (b"".join(some), b"".join(mixed), data[: chance.randrange(len(data))]):
            found, wanted = both(text)
            assert found == wanted
    assert encode_root(ROOT) in data


def test_what_a_piece_lists_is_what_its_sections_list() -> None:
    of_streams = [replace(one, leaves=ROOT) for one in OTHERS]
    of_streams.append(replace(ROWS, block_map=EMPTY_RECIPE, baseline=ROOT))
    for some in ([ROWS], OTHERS, of_streams, [*OTHERS, *of_streams, ROWS], []):
        piece = b"".join(map(encode_section, some))
        # The second time they are remembered.
        for _ in range(2):
            found = list(piece_chunks(piece))
            assert [list(zip(one.chunks, one.levels, strict=True)) for one in found] == [
                listed(one.recipes) for one in some
            ]
            assert [list(zip(one.side_chunks, one.side_levels, strict=True)) for one in found] == [
                listed(one.side_streams) for one in some
            ]


def listed(roots: list[RecipeRoot]) -> list[tuple[bytes, int]]:
    return [(root.chunk, root.level) for root in roots if root.chunk is not None]


def test_a_piece_whose_section_is_damaged_lists_nothing() -> None:
    piece = encode_section(ROWS)
    for data in (piece[:-1], piece + piece[:3], piece[:4] + b"\xff" + piece[5:]):
        with pytest.raises(SnapError):
            list(piece_chunks(data))
