"""Sealed objects: what opens, and what does not."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from pgsnap.errors import CorruptionError, SnapError, WrongKey
from pgsnap.format.envelope import ObjectKind, wrap
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.sealing.objects import open_object, seal_object, sealed_bytes_max
from support.repositories.keys import FIRST, REPOSITORY_ID, SECOND, THIRD, keys

NAME = "snapshots/" + "ab" * 32


@pytest.mark.parametrize("size", [0, 1, 251, 252, 253, 10_000, 1_000_000])
def test_what_was_sealed_opens(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    assert open_object(keys(), NAME, seal_object(keys(), NAME, data[:size])) == data[:size]


def test_the_format_is_what_the_specification_says() -> None:
    """Opened with nothing but the standard library and AES-GCM, as docs/format.md has it."""
    sealed = seal_object(keys(), NAME, b"contents")
    head, epoch, salt = sealed[:8], sealed[8:12], sealed[12:44]
    assert head == b"\x89snapS\x01\x01"
    assert struct.unpack("<I", epoch) == (1,)
    assert salt[:8] == keys().id_of(1)

    def hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
        extracted = hmac.digest(salt, key, hashlib.sha256)
        return hmac.digest(extracted, info + b"\x01", hashlib.sha256)

    of_objects = hkdf(FIRST, REPOSITORY_ID.encode(), b"snap objects")
    key = hkdf(of_objects, salt, b"snap sealed")
    bound = head + epoch + salt + b"\0" + REPOSITORY_ID.encode() + b"\0" + NAME.encode()
    plain = AESGCM(key).decrypt(bytes(12), sealed[44:-16], bound)
    assert plain == struct.pack("<I", 8) + b"contents" + bytes(256 - 12)


def test_no_two_objects_have_the_same_salt_or_bytes() -> None:
    """Also after a retry with the same contents: a nonce is only safe with a key of its own."""
    made = [seal_object(keys(), NAME, b"the same") for _ in range(500)]
    assert len({sealed[12:44] for sealed in made}) == 500
    assert len({sealed[44:] for sealed in made}) == 500


def test_the_contents_do_not_show() -> None:
    sealed = seal_object(keys(), NAME, b"customers" * 100)
    assert b"customers" not in sealed


def test_small_objects_have_one_size() -> None:
    sizes = {len(seal_object(keys(), NAME, b"x" * size)) for size in range(250)}
    assert len(sizes) == 1


def test_another_name_does_not_open() -> None:
    sealed = seal_object(keys(), NAME, b"contents")
    with pytest.raises(CorruptionError, match="does not open with the repository's key"):
        open_object(keys(), "snapshots/" + "cd" * 32, sealed)


def test_another_repository_does_not_open_it() -> None:
    sealed = seal_object(keys(), NAME, b"contents")
    with pytest.raises(CorruptionError, match="was encrypted with another key"):
        open_object(keys(repository_id="f" * 32), NAME, sealed)


def test_another_key_of_the_same_number_is_told_from_damage() -> None:
    sealed = seal_object(keys(FIRST, SECOND), NAME, b"contents")
    with pytest.raises(CorruptionError, match="was encrypted with another key") as caught:
        open_object(keys(FIRST, THIRD), NAME, sealed)
    for one in (keys(FIRST, SECOND), keys(FIRST, THIRD)):
        assert one.id_of(2).hex() in caught.value.detail
    with pytest.raises(CorruptionError, match="does not open with the repository's key"):
        open_object(keys(FIRST, SECOND), NAME + "x", sealed)


def test_a_rotated_key_opens_old_objects_and_seals_with_the_new_one() -> None:
    old = seal_object(keys(FIRST), NAME, b"old")
    new = seal_object(keys(FIRST, SECOND), NAME, b"new")
    assert open_object(keys(FIRST, SECOND), NAME, old) == b"old"
    assert open_object(keys(FIRST, SECOND), NAME, new) == b"new"
    with pytest.raises(WrongKey, match="key number 2 is missing"):
        open_object(keys(FIRST), NAME, new)


@pytest.mark.parametrize("kind", [kind for kind in ObjectKind if kind is not ObjectKind.SEALED])
def test_a_plain_object_is_refused_and_not_read(kind: ObjectKind) -> None:
    plain = wrap(kind, b"planted")
    with pytest.raises(WrongKey, match="is not encrypted, and the repository is"):
        open_object(keys(), NAME, plain)


def resealed(sealed: bytes) -> bytes:
    """Return changed bytes with the checksum that belongs to them: anybody can compute it."""
    return wrap(ObjectKind.SEALED, sealed[8:-16])


@pytest.mark.parametrize("place", [8, 11, 12, 43, 44, 100, 300])
def test_a_changed_byte_does_not_open(place: int) -> None:
    sealed = bytearray(seal_object(keys(FIRST, SECOND, FIRST), NAME, b"contents"))
    sealed[place] ^= 1
    with pytest.raises(CorruptionError) as caught:
        open_object(keys(FIRST, SECOND, FIRST), NAME, bytes(sealed))
    assert caught.value.detail == "Its checksum does not match."
    with pytest.raises((CorruptionError, WrongKey)):
        open_object(keys(FIRST, SECOND, FIRST), NAME, resealed(bytes(sealed)))


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 40, 59, 300])
def test_a_cut_object_is_damage(cut: int) -> None:
    sealed = seal_object(keys(), NAME, b"contents")
    with pytest.raises(CorruptionError):
        open_object(keys(), NAME, sealed[:cut])
    with pytest.raises((CorruptionError, WrongKey)):
        open_object(keys(), NAME, wrap(ObjectKind.SEALED, sealed[8 : max(8, cut)]))


@given(st.binary(max_size=200))
def test_any_bytes_are_opened_or_refused_in_words(payload: bytes) -> None:
    for data in (payload, wrap(ObjectKind.SEALED, payload)):
        with pytest.raises(SnapError):
            open_object(keys(), NAME, data)


@given(st.binary(max_size=2000), st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_found(data: bytes, place: int, change: int) -> None:
    sealed = bytearray(seal_object(keys(), NAME, data))
    sealed[8 + place % (len(sealed) - 24)] ^= change
    with pytest.raises(SnapError):
        open_object(keys(), NAME, resealed(bytes(sealed)))


def test_the_largest_object_fits() -> None:
    sealed = seal_object(keys(), NAME, bytes(RECORD_BYTES_MAX))
    assert len(sealed) <= sealed_bytes_max(RECORD_BYTES_MAX)
    assert len(open_object(keys(), NAME, sealed)) == RECORD_BYTES_MAX
