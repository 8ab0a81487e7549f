"""Damage to an encrypted repository, by accident and on purpose: found, named, mended."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgsnap.maintenance.verify.verify import verify
from pgsnap.repository.repository import Repository
from pgsnap.sources.file import FileSource
from pgsnap.workflows.commit.commit import commit
from support.repositories.by_passphrase import DUMPS, secret_file
from support.repositories.encrypted import make_encrypted, opened
from support.repositories.keys import FIRST, SECOND
from support.running.commandline import CommandLine


@dataclass(frozen=True)
class Sound:
    """Repositories that are never damaged, only copied; each of two snapshots."""

    folder: Path
    ids: dict[str, str]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """Make one with the right key, one with another, and one that is not encrypted."""
    folder = tmp_path_factory.mktemp("sound")
    secret_file(folder, "key", FIRST)
    for name, text in DUMPS.items():
        (folder / f"{name}.sql").write_text(text)
    make_encrypted(folder / "ours")
    make_encrypted(folder / "stranger", SECOND)
    Repository.create(folder / "plain")
    ids = {}
    for place, secret in (("ours", FIRST), ("stranger", SECOND), ("plain", FIRST)):
        with opened(folder / place, secret) as repo:
            for name in DUMPS:
                source = FileSource(folder / f"{name}.sql")
                tags = (f"tag-{name}",)
                made = commit(repo, source, database="shop", message="x", tags=tags)
                if place == "ours":
                    ids[name] = made.snapshot_id.hex()
            verify(repo, data=True)
    return Sound(folder, ids)


class Case:
    """A copy of the repository with the right key, and a copy of that."""

    def __init__(self, snap: CommandLine, sound: Sound) -> None:
        self.snap, self.ids, self.folder = snap, sound.ids, sound.folder
        self.path = snap.work / "database" / "backups"
        self.copy = snap.folder / "copy"
        for place in (self.path, self.copy):
            shutil.copytree(sound.folder / "ours", place)
        snap.setenv("SNAP_KEY_FILE", str(sound.folder / "key"))
        # Its index, in the user's cache, knows what there was.
        snap.ok("log")

    def objects(self, kind: str, place: Path | None = None) -> list[Path]:
        folder = (place or self.path) / kind
        return sorted(path for path in folder.rglob("*") if path.is_file())

    def set_tags(self) -> None:
        for name, snapshot in self.ids.items():
            self.snap.ok("tag", "--force", f"tag-{name}", snapshot)

    def is_whole(self) -> bool:
        codes = {self.snap("verify", "--data").code}
        for name in self.ids:
            result = self.snap("cat", f"tag-{name}")
            codes.add(result.code)
            assert not result.out or result.out == DUMPS[name]
        return codes == {0}


@pytest.fixture
def case(snap: CommandLine, sound: Sound) -> Case:
    return Case(snap, sound)


def delete(file: Path, other: Path) -> None:
    file.unlink()


def flip(file: Path, other: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut(file: Path, other: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def empty(file: Path, other: Path) -> None:
    file.write_bytes(b"")


def swap(file: Path, other: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(data)


DAMAGES = [delete, flip, cut, empty, swap]
KINDS = ["packs", "snapshots", "tags", "notes"]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_object_is_found_and_mended_from_a_copy(
    case: Case, kind: str, damage: Callable[[Path, Path], None]
) -> None:
    first, second = case.objects(kind)[:2]
    damage(first, second)
    found = case.snap("verify", "--data", "--json")
    assert "Traceback" not in found.err
    # A tag or a note that was deleted is one that there is not.
    assert found.code == (0 if damage is delete and kind in ("tags", "notes") else 60), found.err
    case.snap.ok("repair", "--from", str(case.copy))
    if damage is delete and kind == "tags":
        # Which may have been on purpose: a repair does not bring it back.
        case.set_tags()
    assert case.is_whole()


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_keys_did_not_seal_is_never_read_as_if_they_had(case: Case, kind: str) -> None:
    """The object of another encrypted repository, of which somebody has the keys."""
    theirs = case.objects(kind, case.folder / "stranger")[0]
    ours = case.objects(kind)[0]
    ours.write_bytes(theirs.read_bytes())
    found = case.snap("verify", "--data", "--json")
    assert found.code == 60, found.err
    case.snap.ok("repair", "--from", str(case.copy))
    assert case.is_whole()


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_object_in_the_place_of_a_sealed_one_is_refused(case: Case, kind: str) -> None:
    theirs = case.objects(kind, case.folder / "plain")[0]
    ours = case.objects(kind)[0]
    ours.write_bytes(theirs.read_bytes())
    found = case.snap("verify", "--data", "--json")
    if kind == "packs":
        # It does not have its name's hash.
        assert found.code == 60
    else:
        assert found.code == 12
        assert found.error["message"].endswith("is not encrypted, and the repository is")
        assert ours.relative_to(case.path).as_posix().split("/")[0] in found.error["message"]
        ours.unlink()
    case.snap.ok("repair", "--from", str(case.copy))
    case.set_tags()
    assert case.is_whole()


@pytest.mark.parametrize("kind", ["snapshots", "notes", "tags"])
def test_a_repair_takes_nothing_plain_that_somebody_put_among_what_was_put_aside(
    case: Case, kind: str
) -> None:
    """Else a note that forgets a snapshot could be put there, and sealed by the repair."""
    plain = case.folder / "plain"
    with Repository.open(plain) as repo:
        for snapshot in repo.newest(None):
            repo.forget(snapshot, by="somebody", reason="to get rid of it")
    for file in case.objects(kind, plain):
        place = case.path / "damaged" / file.relative_to(plain)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())
    before = case.objects(kind)
    case.snap.ok("repair")
    assert case.objects(kind) == before
    assert case.is_whole()


@pytest.mark.parametrize("kind", ["snapshots", "notes"])
def test_a_repair_takes_what_is_whole_among_what_was_put_aside(case: Case, kind: str) -> None:
    for file in case.objects(kind):
        place = case.path / "damaged" / file.relative_to(case.path)
        place.parent.mkdir(parents=True, exist_ok=True)
        file.rename(place)
    case.snap.ok("repair")
    assert len(case.objects(kind)) >= 2
    case.set_tags()
    assert case.is_whole()


@pytest.mark.parametrize("damage", [flip, cut, empty], ids=lambda one: one.__name__)
def test_a_tag_that_does_not_open_can_be_set_again_and_deleted(
    case: Case, damage: Callable[[Path, Path], None]
) -> None:
    one, two = case.objects("tags")
    damage(one, two)
    shown = case.snap("tag", "--json")
    assert shown.code == 60
    name = shown.error["hint"].partition("--force ")[2].partition(" REV")[0]
    other = ({f"tag-{name}" for name in case.ids} - {name}).pop()
    assert case.snap("tag", name, case.ids["two"], "--database", "shop").code == 60
    case.snap.ok("tag", "--force", name, case.ids["one"], "--database", "shop")
    assert len(case.snap.ok("tag", "--json").json) == 2
    damage(one, two)
    case.snap.ok("tag", "--delete", name, "--database", "shop")
    assert [tag["name"] for tag in case.snap.ok("tag", "--json").json] == [other]


@pytest.mark.parametrize("damage", [delete, flip, cut, empty], ids=lambda one: one.__name__)
def test_a_config_or_a_key_slot_that_is_damaged_is_named(
    case: Case, damage: Callable[[Path, Path], None]
) -> None:
    config, slot = case.path / "config", case.objects("keys")[0]
    for file, codes in ((config, {10, 60}), (slot, {12})):
        before = file.read_bytes()
        damage(file, file)
        result = case.snap("log", "--json")
        assert result.code in codes, result.err
        assert result.error["hint"]
        file.write_bytes(before)
    assert case.is_whole()
