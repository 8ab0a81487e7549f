"""Every damage of the table in docs/failures.md: found, named, mended, and never a traceback."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pgsnap.maintenance.verify.section_walk import LIST_OF_SECTIONS
from pgsnap.repository.repository import Repository
from support.documents import documentation
from support.faults.damaging import DAMAGES, DUMPS, Sound, make_sound, objects
from support.running.commandline import CommandLine, Result

PAGE = Path(__file__).resolve().parents[2] / "docs" / "failures.md"
TABLE = next(documentation.tables(PAGE.read_text("utf-8"), "damage"))
CLEAN = (0, 10, 60)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    folder = tmp_path_factory.mktemp("matrix")
    made = make_sound(folder)
    Repository.create(folder / "stranger")
    Repository.open(folder / "stranger").close()
    return made


class Case:
    """A repository with one damage."""

    def __init__(self, snap: CommandLine, sound: Sound, damage: str) -> None:
        self.snap, self.sound = snap, sound
        self.kind, _, self.what = damage.partition(": ")
        self.repo = snap.work / "backups"
        shutil.copytree(sound.path, self.repo)
        shutil.copytree(sound.path, snap.work / "copy")
        shutil.copytree(sound.path.parent / "stranger", snap.work / "stranger")
        file, other = objects(self.repo, sound, self.kind)
        DAMAGES[self.what](file, other)

    def run(self, *words: str) -> Result:
        result = self.snap(*words, "--repo", str(self.repo))
        assert result.code in CLEAN, (words, result.err)
        assert "Traceback" not in result.err
        return result

    def findings(self, *words: str) -> list[dict[str, Any]]:
        result = self.run("verify", *words, "--json")
        found: list[dict[str, Any]] = result.json["findings"] if result.out else []
        assert result.code == (60 if found or not result.out else 0) or not result.out
        return found

    def is_whole(self) -> bool:
        """Tell whether every snapshot gives back what was committed, and verify has no doubt."""
        if self.findings("--data"):
            return False
        for snapshot, text in zip(self.sound.snapshots, DUMPS.values(), strict=True):
            result = self.run("cat", snapshot)
            if result.code or result.out != text:
                return False
        return True

    def commit_all(self) -> None:
        for name in DUMPS:
            database = name.partition("-")[0]
            file = str(self.sound.dumps / f"{name}.sql")
            self.run("commit", "-m", "again", "--file", file, "--database", database)

    def has_all_objects(self) -> bool:
        """Tell whether every tag, note and manifest of the sound repository is there again."""
        for folder in ("tags", "notes", "snapshots"):
            for file in (self.sound.path / folder).rglob("*"):
                there = self.repo / file.relative_to(self.sound.path)
                if file.is_file() and (
                    not there.exists() or there.read_bytes() != file.read_bytes()
                ):
                    return False
        return True


@pytest.fixture(params=TABLE, ids=lambda row: row[0])
def row(request: pytest.FixtureRequest) -> list[str]:
    return list(request.param)


def test_damage_is_found_by_what_the_table_says(
    snap: CommandLine, sound: Sound, row: list[str]
) -> None:
    case = Case(snap, sound, row[0])
    if row[1] == "any command":
        result = case.run("log", "--json")
        noticed = case.run("verify", "--json")
        if case.kind == "config":
            assert {result.code, noticed.code} <= {10, 60}
            assert "snap repair" in result.error["hint"]
        else:
            assert noticed.code == 0
            assert len(result.json) == 3
        return
    structure = case.findings()
    everything = case.findings("--data")
    assert bool(structure) == (row[1] == "snap verify")
    assert bool(structure or everything) == (row[1] != "nothing")
    found = structure or everything
    hit = {snapshot for finding in found for snapshot in finding["snapshots"]}
    if case.kind == "manifest":
        assert sound.snapshots[0] in hit
    if case.kind == "tag" and found:
        assert all("snap " in finding["next"] for finding in found)
    if case.kind == "pack" and case.what not in ("renamed", "duplicated under another name"):
        named = {name for finding in found for name in finding["sections"]}
        if case.what in ("deleted", "swapped with another", "a byte appended"):
            # Where the list of a snapshot's sections is gone too, they are one with it.
            assert sound.hit <= named or LIST_OF_SECTIONS in named
            assert "data public.users" in named
            assert sound.hit_snapshots <= hit
        else:
            assert named & sound.hit
            assert hit & sound.hit_snapshots
    again = (case.findings("--data") or case.findings()) if case.kind != "index" else found
    assert bool(again) == bool(found)


def test_every_command_is_clean_on_a_damaged_repository(
    snap: CommandLine, sound: Sound, row: list[str]
) -> None:
    case = Case(snap, sound, row[0])
    for words in (("log",), ("tag",), ("tag", "new", sound.snapshots[1]), ("verify",)):
        case.run(*words)
    for snapshot, text in zip(sound.snapshots, DUMPS.values(), strict=True):
        result = snap("show", snapshot, "--repo", str(case.repo))
        assert result.code in (*CLEAN, 20), result.err
        result = snap("cat", snapshot, "--repo", str(case.repo))
        assert result.code in (*CLEAN, 20), result.err
        assert result.code or result.out == text
    case.commit_all()
    for words in (("verify", "--data"), ("reindex",), ("verify",), ("repair",), ("log",)):
        case.run(*words)


def test_a_repair_from_a_copy_mends_what_the_table_says(
    snap: CommandLine, sound: Sound, row: list[str]
) -> None:
    case = Case(snap, sound, row[0])
    result = case.run("repair", "--from", str(snap.work / "copy"))
    assert result.code == 0, (result.out, result.err)
    assert case.is_whole()
    assert case.has_all_objects() == (row[3] != "lost")
    assert list(case.repo.glob("tmp/*")) == []


def test_a_repair_alone_and_the_next_commit_mend_what_the_table_says(
    snap: CommandLine, sound: Sound, row: list[str]
) -> None:
    case = Case(snap, sound, row[0])
    result = case.run("repair", "--json")
    mended = result.code == 0 and case.is_whole() and case.has_all_objects()
    assert mended == (row[2] in ("mended", "harmless")), (result.out, result.err)
    leaves_a_trace = row[0] not in ("note: deleted", "tag: deleted")
    assert bool(result.code) == (row[2] == "lost" and leaves_a_trace)
    if mended:
        return
    kinds = {"pack": {"section"}, "manifest": {"snapshot", "tag"}}.get(case.kind, {case.kind})
    assert {found["kind"] for found in result.json["lost"]} <= kinds
    case.commit_all()
    if case.kind == "manifest":
        assert case.run("verify", "--data").code in (0, 60)
        return
    # Here whole means the chunks: a tag or a note that is lost does not come back.
    assert case.is_whole()
    assert (case.has_all_objects() and case.is_whole()) == (row[4] == "mended")


def test_the_table_has_every_damage_of_every_kind() -> None:
    found = {tuple(row[0].split(": ")) for row in TABLE}
    for kind in ("pack", "manifest", "note", "tag", "config", "index"):
        for what in ("deleted", "cut", "a bit flipped", "a byte appended", "swapped with another"):
            assert any(k == kind and w.startswith(what) for k, w in found), (kind, what)
    assert {what for _, what in found} == set(DAMAGES)
