"""root and an ordinary user use the same repository, or the same home folder, in turn."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgsnap.errors import StoreError
from pgsnap.files.refusals import refused
from pgsnap.stores.local import LocalStore
from support.repositories.by_passphrase import DUMPS, secret_file
from support.running.commandline import CommandLine

SOMEBODY, ANOTHER = 12345, 12346

only_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="files of another user: run the tests as root"
)


def everything(path: Path) -> list[Path]:
    return [path, *sorted(path.rglob("*"))]


def give(path: Path) -> None:
    for one in everything(path):
        os.chown(one, SOMEBODY, -1, follow_symlinks=False)


def of_root(path: Path) -> list[Path]:
    return [one for one in everything(path) if one.lstat().st_uid == 0]


def commit(snap: CommandLine, where: str, name: str) -> None:
    file = snap.work / f"{name}.sql"
    file.write_text(DUMPS[name])
    words = ("-m", "x", "--database", "shop", "--file", str(file), "--repo", where)
    snap.ok("commit", *words, "--tag", "moving", "--force")


@only_root
def test_what_root_writes_into_somebody_elses_repository_is_theirs(snap: CommandLine) -> None:
    path = snap.folder / "repository"
    snap.ok("init", str(path))
    # Nothing is there yet that a commit writes.
    (path / "index.sqlite").unlink()
    give(path)
    commit(snap, str(path), "one")
    commit(snap, str(path), "two")
    snap.ok("gc", "--keep-last", "1", "--grace", "0s", "--repo", str(path))
    snap.ok("verify", "--data", "--repo", str(path))
    snap.ok("reindex", "--repo", str(path))
    assert of_root(path) == []
    assert any(one.name == "audit.jsonl" for one in path.iterdir())


@only_root
def test_what_root_writes_into_somebody_elses_home_is_theirs(snap: CommandLine) -> None:
    home = snap.folder / "home"
    give(home)
    store = snap.folder / "store"
    secret = secret_file(snap.folder, "passphrase", b"open sesame\n")
    snap.setenv("SNAP_PASSPHRASE_FILE", str(secret))
    snap.ok("init", "--encrypt", store.as_uri())
    commit(snap, store.as_uri(), "one")
    made = [one.relative_to(home) for one in everything(home) if one.is_file()]
    assert {one.parts[:3] for one in made} >= {
        (".cache", "pgsnap", next(one.name for one in made if one.suffix == ".sqlite")),
        (".local", "state", "pgsnap"),
    }
    assert of_root(home) == []


@only_root
def test_what_was_there_before_is_given_to_nobody(snap: CommandLine) -> None:
    path = snap.folder / "repository"
    snap.ok("init", str(path))
    commit(snap, str(path), "one")
    give(path)
    mine = [secret_file(snap.folder, f"of-root-{number}", b"") for number in range(2)]
    for name, file in zip(("lock", "audit.jsonl"), mine, strict=True):
        (path / name).unlink()
        (path / name).hardlink_to(file)
    commit(snap, str(path), "two")
    assert [one.stat().st_uid for one in mine] == [0, 0]
    assert mine[1].stat().st_size


@only_root
@pytest.mark.parametrize("whose", ["own", "of others"])
def test_what_is_somebody_elses_is_named_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    store = LocalStore(tmp_path / "it is")
    store.make_root()
    store.put("packs/34/34ab", b"x")
    os.chown(store.root, SOMEBODY if whose == "own" else ANOTHER, -1)
    os.chown(store.root / "packs" / "34", 0 if whose == "own" else ANOTHER, -1)
    really = os.open

    def denied(path: str, *words: int, dir_fd: int | None = None) -> int:
        if path == "34":
            raise PermissionError(13, "Permission denied", path)
        return really(path, *words, dir_fd=dir_fd)

    monkeypatch.setattr("os.open", denied)
    with pytest.raises(StoreError) as as_root:
        store.get("packs/34/34ab")
    assert as_root.value.hint == ""
    monkeypatch.setattr("os.geteuid", lambda: SOMEBODY)
    with pytest.raises(StoreError) as left:
        list(store.list("packs/"))
    if whose == "own":
        way = f"as root: chown -R {SOMEBODY} '{store.root}'"
        assert left.value.hint == f"It belongs to root; {way}"
    else:
        way = "use a folder of your own."
        assert left.value.hint == f"It belongs to {ANOTHER}, and is for nobody else: {way}"
    # What is in a folder that may not be entered cannot be looked at.
    error = PermissionError(13, "Permission denied", str(tmp_path / "closed" / "file"))
    found = refused(error)
    assert found is not None
    assert found.hint == f"It belongs to root; as root: chown -R {SOMEBODY} {tmp_path}"
