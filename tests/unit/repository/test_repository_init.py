"""An init that was killed between the key slot and the config can be run again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pgsnap.errors import RepositoryError, RepositoryExists, RepositoryNotFound, StoreError
from pgsnap.maintenance.keys import remove_key
from pgsnap.repository.places.opening import Where
from pgsnap.repository.repository import Repository
from pgsnap.repository.sealed.pins import Pins
from pgsnap.repository.sealed.unlocking import Unlocking
from pgsnap.sealing.wrapping_keys import KeyFile
from pgsnap.stores.local import LocalStore
from support.dumps.scripted import shop, texts
from support.repositories.made import record

KEY, OTHER = KeyFile(b"k" * 32), KeyFile(b"o" * 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture(params=["folder", "url"])
def where(request: pytest.FixtureRequest, folder: Path) -> Where:
    """A place where an init was interrupted."""
    made: Where = folder if request.param == "folder" else folder.as_uri()
    Repository.create(made, opener=KEY)
    (folder / "config").unlink()
    return made


def opened(where: Where, key: KeyFile) -> Repository:
    return Repository.open(where, unlock=Unlocking(lambda _: iter([key]), Pins(None)))


def slots(folder: Path) -> set[str]:
    return {file.name for file in (folder / "keys").iterdir()}


@pytest.mark.parametrize("key", [KEY, OTHER])
def test_an_encrypted_repository_is_made_and_the_slot_without_use_goes(
    where: Where, folder: Path, key: KeyFile
) -> None:
    left = slots(folder)
    Repository.create(where, opener=key)
    assert len(slots(folder)) == 1
    assert not slots(folder) & left
    with opened(where, key) as repo:
        made = record(repo, shop(50))
        assert texts(repo, made.snapshot_id) == shop(50).texts


@pytest.mark.parametrize("key", [KEY, OTHER])
def test_a_slot_that_cannot_be_deleted_is_in_nobodys_way(
    where: Where, folder: Path, key: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise StoreError("these credentials may not delete")

    left = slots(folder)
    with monkeypatch.context() as context:
        context.setattr(LocalStore, "delete", refused)
        Repository.create(where, opener=key)
    (own,) = slots(folder) - left
    assert left < slots(folder)
    with opened(where, key) as repo:
        # The other slot would keep up the appearance that the repository can be opened.
        with pytest.raises(RepositoryError, match="the key slot that opened the repository"):
            remove_key(repo, own)
        remove_key(repo, *left)
    assert slots(folder) == {own}


def test_a_plain_repository_is_not_made_there(where: Where, folder: Path) -> None:
    left = slots(folder)
    with pytest.raises(RepositoryExists, match="holds key slots and nothing else") as caught:
        Repository.create(where)
    assert f"snap init --encrypt {where}" in caught.value.hint
    assert slots(folder) == left
    assert not (folder / "config").exists()


def test_opening_it_says_how_to_go_on(where: Where) -> None:
    with pytest.raises(RepositoryNotFound, match="there is no repository in") as caught:
        opened(where, KEY)
    assert caught.value.hint == f"Make it now: snap init --encrypt {where}"


def test_locks_of_a_file_system_without_links_are_no_contents(tmp_path: Path) -> None:
    Repository.create(tmp_path, opener=KEY)
    (tmp_path / "config").unlink()
    (tmp_path / "cas.lock").touch()
    (tmp_path / "cas.leases").mkdir()
    Repository.create(tmp_path, opener=OTHER)
    opened(tmp_path, OTHER).close()


@pytest.mark.parametrize("there", ["snapshots", "packs", "tags", "notes", "damaged"])
def test_nothing_is_made_where_there_is_more_than_key_slots(
    where: Where, folder: Path, there: str
) -> None:
    (folder / there).mkdir()
    (folder / there / "object").write_bytes(b"something")
    left = slots(folder)
    words = "is not an empty folder" if where == folder else "holds objects already"
    with pytest.raises(RepositoryExists, match=re.escape(words)):
        Repository.create(where, opener=OTHER)
    assert slots(folder) == left
