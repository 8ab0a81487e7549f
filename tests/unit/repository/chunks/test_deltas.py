"""Deltas, which later versions write and this one reads: by hand, whole, doubled and damaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from pgsnap.errors import CorruptionError
from pgsnap.format.pack import encode_pack
from pgsnap.limits import DELTA_DEPTH_MAX
from pgsnap.model import EMPTY_RECIPE, Frame, SectionKind, SectionName, Segment
from pgsnap.repository.layout import pack_name
from pgsnap.repository.repository import Repository
from support.documents.examples import BASE_TEXT, DEEP_TEXT, DELTA_TEXT, delta_frame, plain_frame
from support.dumps.scripted import texts
from support.repositories.stored import publish_deltas

Stored = tuple[Frame, bytes]

BASE, DELTA, DEEP = (blake3(text).digest() for text in (BASE_TEXT, DELTA_TEXT, DEEP_TEXT))


def add_pack(path: Path, frames: Sequence[Stored]) -> bytes:
    """Store a pack as a later version would, unknown to the index."""
    pack, parts, _ = encode_pack(frames)
    file = path / pack_name(pack)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"".join(parts))
    return pack


def read(path: Path, chunk: bytes) -> bytes:
    with Repository.open(path) as repo:
        repo.catch_up_packs()
        return repo.chunks.read(chunk)


def claiming(stored: Stored, **changes: object) -> Stored:
    """Return a frame whose table entry says something else."""
    return replace(stored[0], **changes), stored[1]  # type: ignore[arg-type]


def test_a_chain_of_two_deltas_is_read_whatever_pack_its_frames_are_in(path: Path) -> None:
    add_pack(path, [delta_frame(DEEP_TEXT, DELTA_TEXT, 2)])
    add_pack(path, [delta_frame(DELTA_TEXT, BASE_TEXT, 1)])
    add_pack(path, [plain_frame(BASE_TEXT)])
    assert read(path, DEEP) == DEEP_TEXT
    assert read(path, DELTA) == DELTA_TEXT
    assert read(path, BASE) == BASE_TEXT


def test_a_chain_of_the_greatest_depth_is_read(path: Path) -> None:
    versions = [BASE_TEXT + b"%d\n" % number for number in range(DELTA_DEPTH_MAX)]
    frames = [plain_frame(versions[0])]
    frames += [
        delta_frame(versions[depth], versions[depth - 1], depth)
        for depth in range(1, DELTA_DEPTH_MAX)
    ]
    add_pack(path, frames)
    assert read(path, blake3(versions[-1]).digest()) == versions[-1]


def test_a_snapshot_stored_as_deltas_is_read(path: Path) -> None:
    with Repository.open(path) as repo:
        made = publish_deltas(repo, Segment(EMPTY_RECIPE))
        repo.catch_up_packs()
        name = SectionName(SectionKind.DATA, "public", "deltas")
        assert texts(repo, made) == [(name, BASE_TEXT + DELTA_TEXT + DEEP_TEXT)]
        repo.check_present(repo.snapshot(made))


def test_of_several_frames_any_sound_one_will_do(path: Path) -> None:
    plain = plain_frame(DELTA_TEXT)
    broken = (plain[0], bytes(len(plain[1])))
    add_pack(path, [broken])
    with pytest.raises(CorruptionError):
        read(path, DELTA)
    add_pack(path, [delta_frame(DELTA_TEXT, DEEP_TEXT, 1)])
    with pytest.raises(CorruptionError):
        read(path, DELTA)
    add_pack(path, [delta_frame(DELTA_TEXT, BASE_TEXT, 3)])
    add_pack(path, [plain_frame(BASE_TEXT)])
    assert read(path, DELTA) == DELTA_TEXT


def test_a_frame_in_a_pack_that_vanished_leaves_the_others(path: Path) -> None:
    gone = add_pack(path, [plain_frame(BASE_TEXT)])
    add_pack(path, [plain_frame(BASE_TEXT, raw=True)])
    with Repository.open(path) as repo:
        repo.catch_up_packs()
        (path / pack_name(gone)).unlink()
        assert repo.chunks.read(BASE) == BASE_TEXT


def test_a_missing_base_is_damage_that_names_the_chunk(path: Path) -> None:
    add_pack(path, [delta_frame(DELTA_TEXT, BASE_TEXT, 1)])
    with pytest.raises(CorruptionError) as caught:
        read(path, DELTA)
    assert DELTA.hex()[:12] in caught.value.message
    assert BASE.hex()[:12] in caught.value.detail


def test_a_base_that_is_as_deep_as_its_delta_is_not_followed(path: Path) -> None:
    add_pack(
        path,
        [
            plain_frame(BASE_TEXT),
            delta_frame(DELTA_TEXT, BASE_TEXT, 2),
            delta_frame(DEEP_TEXT, DELTA_TEXT, 2),
        ],
    )
    assert read(path, DELTA) == DELTA_TEXT
    with pytest.raises(CorruptionError):
        read(path, DEEP)


@pytest.mark.parametrize(("one", "other"), [(1, 1), (1, 2), (0, 0), (63, 63), (255, 255), (0, 255)])
def test_a_circle_of_deltas_ends_as_damage(path: Path, one: int, other: int) -> None:
    add_pack(
        path,
        [
            claiming(delta_frame(DELTA_TEXT, DEEP_TEXT, 1), depth=one),
            claiming(delta_frame(DEEP_TEXT, DELTA_TEXT, 1), depth=other),
        ],
    )
    for chunk in (DELTA, DEEP):
        with pytest.raises(CorruptionError):
            read(path, chunk)


def test_a_delta_against_itself_is_damage(path: Path) -> None:
    add_pack(path, [claiming(delta_frame(DELTA_TEXT, BASE_TEXT, 1), base=DELTA)])
    with pytest.raises(CorruptionError):
        read(path, DELTA)


def test_a_delta_without_a_base_is_damage(path: Path) -> None:
    add_pack(path, [claiming(delta_frame(DELTA_TEXT, BASE_TEXT, 1), base=None, depth=0)])
    with pytest.raises(CorruptionError):
        read(path, DELTA)


def test_a_frame_that_gives_another_chunk_is_damage(path: Path) -> None:
    add_pack(path, [claiming(plain_frame(BASE_TEXT), chunk=DELTA)])
    with pytest.raises(CorruptionError):
        read(path, DELTA)


@pytest.mark.parametrize("size", [0, 1, (16 << 20) + 1, 2**32 - 1])
def test_a_table_that_claims_another_size_is_damage(path: Path, size: int) -> None:
    add_pack(path, [claiming(plain_frame(BASE_TEXT), chunk_bytes=size)])
    with pytest.raises(CorruptionError):
        read(path, BASE)


def test_a_chunk_that_no_pack_holds_is_missing(path: Path) -> None:
    with pytest.raises(CorruptionError) as caught:
        read(path, BASE)
    assert "missing" in caught.value.message
