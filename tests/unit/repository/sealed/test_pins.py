"""Once encrypted, always: what is remembered of a repository, and what is refused then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.errors import UntrustedPath, WrongKey
from pgsnap.model import Cipher, Encryption, RepositoryConfig
from pgsnap.repository.config import new_config
from pgsnap.repository.places.opening import place_of
from pgsnap.repository.sealed.pins import Pins
from support.repositories.keys import FIRST, REPOSITORY_ID, SECOND, THIRD, keys

PLACE = "s3://bucket/shop"


def config(fingerprint: bytes | None, repository_id: str = REPOSITORY_ID) -> RepositoryConfig:
    found = None if fingerprint is None else Encryption(Cipher.AES_256_GCM, fingerprint)
    return replace(new_config(repository_id, place_of(Path("backups"))), encryption=found)


ENCRYPTED = config(keys().fingerprint)
PLAIN = config(None)
OTHER_KEYS = config(keys(SECOND).fingerprint)


@pytest.fixture
def pins(tmp_path: Path) -> Pins:
    return Pins(tmp_path / "state" / "pgsnap" / "repositories")


def test_what_was_never_seen_is_accepted(pins: Pins) -> None:
    pins.check(PLACE, ENCRYPTED)
    pins.check(PLACE, PLAIN)
    pins.check_keys(PLACE, ENCRYPTED, keys())


def test_what_was_seen_is_accepted_again(pins: Pins, tmp_path: Path) -> None:
    pins.keep(PLACE, ENCRYPTED, keys(FIRST, SECOND))
    pins.check(PLACE + "/", ENCRYPTED)
    pins.check_keys(PLACE, ENCRYPTED, keys(FIRST, SECOND, THIRD))
    files = list((tmp_path / "state" / "pgsnap" / "repositories").iterdir())
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert len(files) == 2


@pytest.mark.parametrize("place", [PLACE, "s3://elsewhere"])
def test_an_encrypted_repository_cannot_become_plain(pins: Pins, place: str) -> None:
    pins.keep(PLACE, ENCRYPTED, keys())
    with pytest.raises(WrongKey, match="was encrypted, and its config says that it is not"):
        pins.check(place, PLAIN)


def test_a_place_cannot_get_another_plain_repository(pins: Pins) -> None:
    pins.keep(PLACE, ENCRYPTED, keys())
    with pytest.raises(WrongKey, match="was encrypted"):
        pins.check(PLACE, config(None, "f" * 32))


@pytest.mark.parametrize("found", [OTHER_KEYS, config(keys().fingerprint, "f" * 32)])
def test_a_place_cannot_get_other_keys(pins: Pins, found: RepositoryConfig) -> None:
    pins.keep(PLACE, ENCRYPTED, keys())
    with pytest.raises(WrongKey, match="was replaced: it names other keys") as caught:
        pins.check(PLACE, found)
    file = caught.value.hint.partition(" rm ")[2]
    Path(file).unlink()
    if found.repository_id != REPOSITORY_ID:
        pins.check(PLACE, found)


def test_keys_cannot_go_back_to_before_a_rotation(pins: Pins) -> None:
    pins.keep(PLACE, ENCRYPTED, keys(FIRST, SECOND))
    with pytest.raises(WrongKey, match="was number 2, and is number 1 now"):
        pins.check_keys(PLACE, ENCRYPTED, keys())
    with pytest.raises(WrongKey, match="was number 2"):
        pins.check_keys("s3://a/copy", ENCRYPTED, keys())


def test_a_key_cannot_be_replaced_by_another_of_the_same_number(pins: Pins) -> None:
    """As somebody who had the first one can try, after a rotation that shut them out."""
    pins.keep(PLACE, ENCRYPTED, keys(FIRST, SECOND))
    for forged in (keys(FIRST, THIRD), keys(FIRST, THIRD, SECOND)):
        with pytest.raises(WrongKey, match="key number 2 is not the one that it was"):
            pins.check_keys(PLACE, ENCRYPTED, forged)
    pins.check_keys(PLACE, ENCRYPTED, keys(FIRST, SECOND, THIRD))


def test_a_new_repository_may_be_made_where_another_one_was(pins: Pins) -> None:
    pins.keep(PLACE, ENCRYPTED, keys())
    pins.forget_place(PLACE)
    pins.check(PLACE, config(None, "f" * 32))


def test_a_folder_is_the_same_by_all_its_names(pins: Pins, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    pins.keep(str(tmp_path / "link"), ENCRYPTED, keys())
    with pytest.raises(WrongKey):
        pins.check(str(tmp_path / "real"), config(None, "f" * 32))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"place": 1}', b"[" * 100_000])
def test_what_cannot_be_read_is_refused_not_ignored(
    pins: Pins, tmp_path: Path, content: bytes
) -> None:
    pins.keep(PLACE, ENCRYPTED, keys())
    for file in (tmp_path / "state" / "pgsnap" / "repositories").iterdir():
        file.write_bytes(content)
    with pytest.raises(WrongKey, match="cannot be read"):
        pins.check(PLACE, PLAIN)


def test_a_link_in_its_place_is_refused(pins: Pins, tmp_path: Path) -> None:
    pins.keep(PLACE, ENCRYPTED, keys())
    (tmp_path / "elsewhere").mkdir()
    folder = tmp_path / "state" / "pgsnap" / "repositories"
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UntrustedPath):
        pins.check(PLACE, PLAIN)


def test_a_state_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pins = Pins(tmp_path / "file" / "pgsnap" / "repositories")
    pins.check(PLACE, ENCRYPTED)
    pins.keep(PLACE, ENCRYPTED, keys())
    Pins(None).keep(PLACE, ENCRYPTED, keys())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
