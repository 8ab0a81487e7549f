"""After an older copy was put back over a repository: what is lost is named, given up, and gc goes
on around it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.repository.repository import Repository
from support.documents import documentation
from support.dumps.scripted import shop, texts
from support.repositories.made import record
from support.running.commandline import CommandLine

NOW = datetime.now(UTC)


@pytest.fixture
def path(snap: CommandLine) -> Path:
    snap.ok("init")
    return snap.work / "database" / "backups"


def commits(path: Path, *rows: int) -> list[str]:
    with Repository.open(path) as repo:
        found = [
            record(repo, shop(count), at=NOW - timedelta(hours=9) + timedelta(minutes=count))
            for count in rows
        ]
    return [one.snapshot_id.hex() for one in found]


@pytest.fixture
def ids(path: Path) -> list[str]:
    """One snapshot that an older copy has, and one that was committed after that copy was made,
    which lies over the repository now. The index knows both."""
    (old,) = commits(path, 100)
    copy = path.with_name("copy")
    shutil.copytree(path, copy)
    (new,) = commits(path, 200)
    for folder in ("packs", "snapshots"):
        shutil.rmtree(path / folder)
        shutil.copytree(copy / folder, path / folder)
    return [old, new]


def test_verify_and_repair_name_the_way_out_that_works(
    snap: CommandLine, path: Path, ids: list[str]
) -> None:
    lost = ids[1][:12]
    way = f"snap repair --accept-loss {lost}"
    refused = snap("gc")
    assert refused.code == 60
    assert "snap verify" in refused.err
    found = snap("verify")
    assert found.code == 60
    assert way in found.err
    assert "Run: snap repair --from PATH" in found.err
    mended = snap("repair")
    assert mended.code == 60
    assert way in mended.err
    # A manifest without anything that it lists is not brought back.
    assert {one["id"] for one in snap.ok("log", "--json").json} == {ids[0]}
    shown = snap("repair", "--accept-loss", lost)
    assert shown.code == 5
    assert lost in shown.err
    assert snap("gc").code == 60
    snap.ok("repair", "--accept-loss", lost, "--yes")
    snap.ok("gc", "--grace", "0s")
    assert snap("verify").code == 0
    assert snap("repair").code == 0
    with Repository.open(path) as repo:
        assert texts(repo, bytes.fromhex(ids[0])) == shop(100).texts


def test_the_next_commits_stand_on_what_is_left(
    snap: CommandLine, path: Path, ids: list[str]
) -> None:
    snap.ok("repair", "--accept-loss", ids[1][:12], "--yes")
    (made,) = commits(path, 300)
    snap.ok("gc", "--keep-last", "1", "--grace", "0s")
    snap.ok("verify", "--data")
    with Repository.open(path) as repo:
        assert texts(repo, bytes.fromhex(made)) == shop(300).texts


def test_what_is_left_of_a_snapshot_stays_readable(snap: CommandLine, path: Path) -> None:
    first, second = commits(path, 100, 4000)
    with Repository.open(path) as repo:
        repo.catch_up_packs()
        snapshot = repo.snapshot(bytes.fromhex(second))
        data = [s for s in repo.sections(snapshot) if s.rows and s.rows > 1000]
        chunk = data[0].segments[0].recipe.chunk
        assert chunk is not None
        (location, *_) = repo.index.locations([chunk])[chunk]
    pack = path / "packs" / location.pack.hex()[:2] / location.pack.hex()
    with pack.open("r+b") as file:
        file.seek(location.offset + 1)
        file.write(b"\xff\xff\xff\xff")
    assert snap("verify", "--data").code == 60
    assert snap("repair").code == 60
    assert snap("gc").code == 60
    snap.ok("repair", "--accept-loss", second[:12], "--yes")
    snap.ok("gc", "--grace", "0s")
    told = snap.ok("verify")
    assert "was given up" in told.err
    assert snap.ok("check", "--max-age", "10h").out.startswith("warning")
    left = snap.ok("cat", second[:12], "--section", "pre-data").out
    assert "CREATE TABLE" in left
    assert snap("cat", second[:12]).code == 60
    with Repository.open(path) as repo:
        assert texts(repo, bytes.fromhex(first)) == shop(100).texts


def test_other_damage_stops_gc_as_before(snap: CommandLine, path: Path, ids: list[str]) -> None:
    snap.ok("repair", "--accept-loss", ids[1][:12], "--yes")
    for pack in (path / "packs").glob("*/*"):
        pack.unlink()
    assert snap("gc").code == 60


def test_a_copy_that_turns_up_takes_the_loss_back(snap: CommandLine, path: Path) -> None:
    commits(path, 100)
    older = path.with_name("older")
    shutil.copytree(path, older)
    (lost,) = commits(path, 200)
    newer = path.with_name("newer")
    shutil.copytree(path, newer)
    for folder in ("packs", "snapshots"):
        shutil.rmtree(path / folder)
        shutil.copytree(older / folder, path / folder)
    snap.ok("repair", "--accept-loss", lost[:12], "--yes")
    snap.ok("repair", "--from", str(newer))
    with Repository.open(path) as repo:
        assert texts(repo, bytes.fromhex(lost)) == shop(200).texts


def test_what_is_whole_or_unknown_cannot_be_given_up(
    snap: CommandLine, path: Path, ids: list[str]
) -> None:
    assert "has lost nothing" in snap("repair", "--accept-loss", ids[0][:12], "--yes").err
    assert snap("repair", "--accept-loss", "00000000", "--yes").code == 20
    both = snap("repair", "--accept-loss", ids[1][:12], "--from", str(path.with_name("copy")))
    assert both.code == 2
    assert snap("repair", "--yes").code == 2


def test_json_fields_of_an_accepted_loss_are_those_documented(
    snap: CommandLine, ids: list[str]
) -> None:
    done = snap.ok("repair", "--accept-loss", ids[1][:12], "--yes", "--json").json
    assert [one["id"] for one in done["accepted"]] == [ids[1]]
    [rows] = documentation.tables(
        documentation.section("snap repair"), "JSON field of `--accept-loss`"
    )
    assert documentation.field_names(done) == {row[0].strip("`") for row in rows}
