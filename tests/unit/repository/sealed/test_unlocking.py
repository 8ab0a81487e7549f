"""From secrets to keys: each reason why a repository does not open has its own message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.errors import WrongKey
from pgsnap.model import Cipher, Encryption, RepositoryConfig
from pgsnap.repository import layout
from pgsnap.repository.config import new_config
from pgsnap.repository.places.opening import place_of
from pgsnap.repository.sealed.pins import Pins
from pgsnap.repository.sealed.slots import add_slot, read_slots, remove_slots
from pgsnap.repository.sealed.unlocking import Unlocking, unlock
from pgsnap.sealing.slots import new_slot
from pgsnap.sealing.wrapping_keys import KeyFile, Opener, Passphrase
from pgsnap.stores.local import LocalStore
from support.repositories.keys import FIRST, REPOSITORY_ID, SECOND, keys

RIGHT, WRONG = KeyFile(b"r" * 32), KeyFile(b"w" * 32)
CONFIG = replace(
    new_config(REPOSITORY_ID, place_of(Path("backups"))),
    encryption=Encryption(Cipher.AES_256_GCM, keys().fingerprint),
)
PLAIN = replace(CONFIG, encryption=None)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    made = LocalStore(tmp_path / "store")
    made.make_root()
    add_slot(made, new_slot([FIRST], REPOSITORY_ID, RIGHT))
    return made


def refusal(store: LocalStore, *openers: Opener, config: RepositoryConfig = CONFIG) -> WrongKey:
    with pytest.raises(WrongKey) as caught:
        unlock(config, store, openers)
    assert caught.value.exit_code == 12
    return caught.value


def test_the_right_secret_gives_the_keys(store: LocalStore) -> None:
    found = unlock(CONFIG, store, [WRONG, RIGHT])
    assert (found.keys, found.masters, found.opener) == (keys(), (FIRST,), RIGHT)


def test_secrets_after_the_right_one_are_not_read(store: LocalStore) -> None:
    def openers() -> Iterator[Opener]:
        yield RIGHT
        raise AssertionError("nobody is to be asked")

    assert unlock(CONFIG, store, openers()).keys == keys()


def test_the_slot_with_the_newest_keys_is_opened(store: LocalStore) -> None:
    add_slot(store, new_slot([FIRST, SECOND], REPOSITORY_ID, RIGHT))
    assert unlock(CONFIG, store, [RIGHT]).keys.epoch == 2


def test_a_wrong_secret_is_named_as_such(store: LocalStore) -> None:
    assert refusal(store, WRONG).message == "wrong key file"
    add_slot(store, new_slot([FIRST], REPOSITORY_ID, Passphrase(b"right")))
    assert refusal(store, Passphrase(b"wrong")).message == "wrong passphrase"


def test_no_slot_fits(store: LocalStore) -> None:
    found = refusal(store, Passphrase(b"right"))
    assert found.message == "no key slot of the repository opens with a passphrase"
    assert found.detail == "It opens with a key file."


def test_no_key_was_given(store: LocalStore) -> None:
    assert refusal(store).message == "the repository is encrypted, and no key was given"


def test_slots_are_missing(store: LocalStore) -> None:
    remove_slots(store, *(one.id for one in read_slots(store).sound))
    assert refusal(store, RIGHT).message == "the key slots of the repository are missing"


def test_slots_are_damaged(store: LocalStore) -> None:
    (name,) = [info.name for info in store.list(layout.KEYS)]
    store.put(name, store.get(name)[:-1] + b"?")
    found = refusal(store, RIGHT)
    assert found.message == "all key slots of the repository are damaged"
    assert name in found.detail


def test_a_damaged_slot_does_not_hide_a_sound_one(store: LocalStore) -> None:
    store.put("keys/" + "0" * 16, b"damaged")
    assert unlock(CONFIG, store, [RIGHT]).keys == keys()
    assert "keys/0000000000000000" in refusal(store, WRONG).detail


def test_the_config_of_another_repository_is_found(store: LocalStore) -> None:
    encryption = Encryption(Cipher.AES_256_GCM, keys(SECOND).fingerprint)
    found = refusal(store, RIGHT, config=replace(CONFIG, encryption=encryption))
    assert found.message == "the repository's config names other keys than its key slots hold"


def test_more_slots_than_there_can_be_are_not_tried(store: LocalStore) -> None:
    for number in range(100):
        store.put(f"keys/{number:016x}", b"")
    assert "has 101 key slots" in refusal(store, RIGHT).message


def unlocking(
    tmp_path: Path, *openers: Opener, given: str = "", fingerprint: bytes | None = None
) -> tuple[Unlocking, Sequence[object]]:
    asked: list[object] = []

    def each(config: RepositoryConfig) -> Iterator[Opener]:
        for opener in openers:
            asked.append(opener)
            yield opener

    pins = Pins(tmp_path / "state" / "pgsnap" / "repositories")
    return Unlocking(each, pins, given=given, fingerprint=fingerprint), asked


def test_nothing_is_asked_twice(store: LocalStore, tmp_path: Path) -> None:
    opens, asked = unlocking(tmp_path, RIGHT)
    first, second = opens("place", CONFIG, store), opens("place", CONFIG, store)
    assert first is second
    assert len(asked) == 1


def test_a_plain_repository_needs_nothing(store: LocalStore, tmp_path: Path) -> None:
    opens, asked = unlocking(tmp_path, RIGHT)
    assert opens("place", PLAIN, store) is None
    assert not asked


def test_a_secret_for_a_plain_repository_is_refused(store: LocalStore, tmp_path: Path) -> None:
    opens, asked = unlocking(tmp_path, RIGHT, given="SNAP_PASSPHRASE_FILE")
    with pytest.raises(WrongKey, match="is not encrypted, and SNAP_PASSPHRASE_FILE gives a secret"):
        opens("place", PLAIN, store)
    assert not asked


def test_what_was_opened_is_remembered(store: LocalStore, tmp_path: Path) -> None:
    unlocking(tmp_path, RIGHT)[0]("place", CONFIG, store)
    with pytest.raises(WrongKey, match="was encrypted"):
        unlocking(tmp_path, RIGHT)[0]("place", PLAIN, store)


def test_what_did_not_open_is_not_remembered(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(WrongKey):
        unlocking(tmp_path, WRONG)[0]("place", CONFIG, store)
    assert unlocking(tmp_path)[0]("place", PLAIN, store) is None


def test_snap_toml_may_demand_the_keys(store: LocalStore, tmp_path: Path) -> None:
    demanded = keys().fingerprint
    assert unlocking(tmp_path, RIGHT, fingerprint=demanded)[0]("place", CONFIG, store)
    others = replace(CONFIG, encryption=Encryption(Cipher.AES_256_GCM, bytes(32)))
    for config in (PLAIN, others):
        opens, _ = unlocking(tmp_path / "unseen", RIGHT, fingerprint=demanded)
        with pytest.raises(WrongKey, match=r"does not have the keys that snap\.toml demands"):
            opens("another", config, store)
