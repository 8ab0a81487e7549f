"""Damage to an encrypted repository, by accident and on purpose: found, named, mended."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.repositories.by_passphrase import DUMPS, Encrypted
from support.running.commandline import CommandLine


class Case:
    """An encrypted repository of two snapshots, with two objects of each kind, and a copy."""

    def __init__(self, snap: CommandLine) -> None:
        self.snap = snap
        self.made = Encrypted(snap)
        self.ids = {name: self.made.commit(name, "--tag", f"tag-{name}") for name in DUMPS}
        for snapshot in self.ids.values():
            snap.ok("verify", "--data", snapshot)
        self.path = self.made.path
        self.copy = snap.folder / "copy"
        shutil.copytree(self.path, self.copy)

    def objects(self, kind: str) -> list[Path]:
        return sorted(path for path in (self.path / kind).rglob("*") if path.is_file())

    def is_whole(self) -> bool:
        codes = {self.snap("verify", "--data").code}
        for name, snapshot in self.ids.items():
            for revision in (snapshot, f"tag-{name}"):
                result = self.snap("cat", revision)
                codes.add(result.code)
                assert not result.out or result.out == DUMPS[name]
        return codes == {0}


@pytest.fixture
def case(snap: CommandLine) -> Case:
    return Case(snap)


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
    assert case.is_whole()


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_keys_did_not_seal_is_never_read_as_if_they_had(case: Case, kind: str) -> None:
    """The object of another encrypted repository, of which somebody has the keys."""
    stranger = case.snap.folder / "stranger"
    case.snap.ok("init", "--encrypt", str(stranger))
    for name, snapshot in case.ids.items():
        file = str(case.snap.folder / f"{name}.sql")
        words = ("-m", "x", "--database", "flooded-db", "--file", file, "--tag", f"tag-{name}")
        case.snap.ok("commit", *words, "--repo", str(stranger))
        assert snapshot
        case.snap.ok("verify", "--data", "--repo", str(stranger))
    theirs = sorted(path for path in (stranger / kind).rglob("*") if path.is_file())[0]
    ours = case.objects(kind)[0]
    ours.write_bytes(theirs.read_bytes())
    found = case.snap("verify", "--data", "--json")
    assert found.code == 60, found.err
    case.snap.ok("repair", "--from", str(case.copy))
    assert case.is_whole()


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_object_in_the_place_of_a_sealed_one_is_refused(case: Case, kind: str) -> None:
    case.snap.setenv("SNAP_PASSPHRASE_FILE", "")
    plain = case.snap.folder / "plain"
    case.snap.ok("init", str(plain))
    file = str(case.snap.folder / "one.sql")
    words = ("commit", "-m", "x", "--database", "x", "--file", file, "--tag", "x")
    case.snap.ok(*words, "--repo", str(plain))
    case.snap.ok("verify", "--data", "--repo", str(plain))
    theirs = sorted(path for path in (plain / kind).rglob("*") if path.is_file())[0]
    case.snap.setenv("SNAP_PASSPHRASE_FILE", str(case.made.passphrase))
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
    assert case.is_whole()


@pytest.mark.parametrize("damage", [flip, cut, empty], ids=lambda one: one.__name__)
def test_a_tag_that_does_not_open_can_be_set_again_and_deleted(
    case: Case, damage: Callable[[Path, Path], None]
) -> None:
    for file in case.objects("tags"):
        damage(file, file)
    shown = case.snap("tag", "--json")
    assert shown.code == 60
    assert "snap tag --force tag-" in shown.error["hint"]
    assert case.snap("tag", "tag-one", case.ids["two"]).code == 60
    case.snap.ok("tag", "--force", "tag-one", case.ids["one"])
    case.snap.ok("tag", "--delete", "tag-two")
    assert [one["name"] for one in case.snap.ok("tag", "--json").json] == ["tag-one"]


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
