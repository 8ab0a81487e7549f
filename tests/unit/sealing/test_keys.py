"""Keys: what is derived from which master key, against HKDF written out of RFC 5869."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from pgsnap.errors import WrongKey
from pgsnap.sealing.keys import KEY_BYTES, SALT_BYTES, derive, hkdf, new_master, salted

REPOSITORY = "0123456789abcdef0123456789abcdef"
FIRST, SECOND = bytes(range(32)), bytes(range(32, 64))


def by_rfc_5869(key: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-Extract, and the first block of HKDF-Expand."""
    extracted = hmac.digest(salt, key, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


def test_hkdf_gives_the_answer_of_the_rfc() -> None:
    """Test case 1 of RFC 5869, appendix A.1 (its 42 bytes begin with these)."""
    key = bytes.fromhex("0b" * 22)
    salt = bytes.fromhex("000102030405060708090a0b0c")
    info = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9")
    known = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
    assert hkdf(key, salt=salt, info=info).hex() == known
    assert by_rfc_5869(key, salt, info).hex() == known


def test_each_purpose_has_its_own_label() -> None:
    keys = derive([FIRST, SECOND], REPOSITORY)

    def expected(master: bytes, purpose: str) -> bytes:
        return by_rfc_5869(master, REPOSITORY.encode(), b"snap " + purpose.encode())

    assert keys.ids == expected(FIRST, "ids")
    assert keys.cuts == expected(FIRST, "cuts")
    assert keys.sketches == expected(FIRST, "sketches")
    assert keys.names == expected(FIRST, "names")
    assert keys.fingerprint == expected(FIRST, "fingerprint")
    assert keys.packs_of(1) == expected(FIRST, "packs")
    assert keys.packs_of(2) == expected(SECOND, "packs")
    assert keys.objects_of(1) == expected(FIRST, "objects")
    assert keys.objects_of(2) == expected(SECOND, "objects")


def test_all_keys_differ() -> None:
    keys = derive([FIRST, SECOND], REPOSITORY)
    found = [keys.ids, keys.cuts, keys.sketches, keys.names, keys.fingerprint]
    found += [keys.packs_of(1), keys.packs_of(2), keys.objects_of(1), keys.objects_of(2)]
    assert len(set(found)) == len(found)


def test_a_rotation_leaves_names_and_cuts_as_they_were() -> None:
    before, after = derive([FIRST], REPOSITORY), derive([FIRST, SECOND], REPOSITORY)
    assert (before.epoch, after.epoch) == (1, 2)
    assert (before.ids, before.cuts, before.names) == (after.ids, after.cuts, after.names)
    assert (before.sketches, before.fingerprint) == (after.sketches, after.fingerprint)
    assert before.packs_of(1) == after.packs_of(1)


def test_the_same_master_key_gives_another_repository_other_keys() -> None:
    one, other = derive([FIRST], REPOSITORY), derive([FIRST], "f" * 32)
    assert one.ids != other.ids
    assert one.packs_of(1) != other.packs_of(1)


@pytest.mark.parametrize("epoch", [0, 2, 2**31])
def test_an_epoch_without_its_key_is_refused(epoch: int) -> None:
    with pytest.raises(WrongKey, match=f"key number {epoch} is missing"):
        derive([FIRST], REPOSITORY).packs_of(epoch)


def test_a_salt_gives_a_key_of_its_own() -> None:
    one, other = b"\x01" * SALT_BYTES, b"\x02" * SALT_BYTES
    assert salted(FIRST, one) == by_rfc_5869(FIRST, one, b"snap sealed")
    assert salted(FIRST, one) != salted(FIRST, other)


def test_keys_show_nothing_secret() -> None:
    keys = derive([FIRST], REPOSITORY)
    for secret in (keys.ids, keys.cuts, keys.sketches, keys.names, keys.packs_of(1)):
        assert repr(secret) not in repr(keys)


def test_master_keys_are_random() -> None:
    made = {new_master() for _ in range(100)}
    assert len(made) == 100
    assert {len(master) for master in made} == {KEY_BYTES}
