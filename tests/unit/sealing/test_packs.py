"""The sealer of packs: one for all threads, and never the same key and nonce twice."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from pgsnap.errors import CorruptionError
from pgsnap.model import ChunkKind, Cipher, Codec, Frame, Location, PackSeal
from pgsnap.sealing.packs import PackSealer
from support.repositories.keys import FIRST, SECOND, keys

PACK = bytes(32)


def frame(size: int, number: int = 0) -> Frame:
    name = number.to_bytes(32, "little")
    return Frame(name, ChunkKind.DATA, Codec.RAW, Cipher.NONE, 0, None, size, size)


def sealed(sealer: PackSealer, seal: PackSeal, offset: int, data: bytes) -> tuple[Location, bytes]:
    of_pack, stored = sealer.seal(seal, offset, frame(len(data), offset), data)
    return Location(PACK, offset, of_pack, seal), stored


def test_many_threads_may_share_a_sealer() -> None:
    sealer = PackSealer(keys())
    seals = [sealer.new_seal() for _ in range(5)]

    def work(number: int) -> bool:
        data = bytes([number % 251]) * (1000 + 997 * number)
        place, stored = sealed(sealer, seals[number % len(seals)], 44 + number, data)
        return sealer.open(place, stored) == (frame(len(data), 44 + number), data)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(400)))


def test_each_new_pack_has_the_newest_key_and_a_salt_of_its_own() -> None:
    sealer = PackSealer(keys(FIRST, SECOND))
    seals = {sealer.new_seal() for _ in range(1000)}
    assert len({seal.salt for seal in seals}) == 1000
    assert {seal.epoch for seal in seals} == {2}


def test_what_the_first_key_sealed_opens_after_a_rotation_and_not_the_other_way_round() -> None:
    old, new = PackSealer(keys(FIRST)), PackSealer(keys(FIRST, SECOND))
    assert new.open(*sealed(old, old.new_seal(), 44, b"old"))[1] == b"old"
    with pytest.raises(CorruptionError) as caught:
        old.open(*sealed(new, new.new_seal(), 44, b"new"))
    assert "key number 2 is missing" in caught.value.detail


def test_nothing_is_sealed_twice() -> None:
    sealer = PackSealer(keys())
    place, stored = sealed(sealer, sealer.new_seal(), 44, b"once")
    with pytest.raises(AssertionError):
        sealer.seal(sealer.new_seal(), 44, place.frame, stored)


def test_a_frame_that_was_never_sealed_is_refused() -> None:
    sealer = PackSealer(keys())
    for place in (
        Location(PACK, 44, frame(20)),
        Location(PACK, 44, frame(20), sealer.new_seal()),
    ):
        with pytest.raises(CorruptionError, match="is not sealed"):
            sealer.open(place, secrets.token_bytes(20))


def test_no_key_is_shown_by_what_a_debugger_or_a_log_may_print() -> None:
    shown = repr(keys()) + repr(PackSealer(keys()))
    assert keys().ids.hex() not in shown
    assert repr(keys().ids) not in shown
