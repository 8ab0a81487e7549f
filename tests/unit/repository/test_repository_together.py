"""Several processes and several users at one repository."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from pgsnap.errors import NotARepository, RepositoryExists, RepositoryNotFound
from pgsnap.repository.repository import Repository
from pgsnap.workflows.history.log import log, show
from pgsnap.workflows.history.tag import delete_tag
from support.dumps.scripted import Dump, dump, rows, shop, table, texts
from support.repositories.made import (
    UNPRIVILEGED,
    in_child,
    kill_after_the_manifest,
    make,
    make_read_only,
    make_writable,
    record,
)


def together(*tasks: Callable[[], None]) -> list[int]:
    """Run each task in a process of its own at the same time; return their exit statuses."""
    children = []
    for task in tasks:
        child = os.fork()
        if child == 0:
            os._exit(in_child(task))
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def test_commits_at_the_same_time_are_all_there_and_lose_no_chunk(path: Path) -> None:
    common = table("public", "common", rows(5000, seed=9))

    def dumped(number: int) -> Dump:
        return dump(common, table("public", f"own{number}", rows(2000, seed=number)))

    def commit_twice(number: int) -> None:
        for _ in range(2):
            with Repository.open(path) as repo:
                record(
                    repo,
                    dumped(number),
                    message=str(number),
                    tags=(f"by-{number}",),
                    force_tags=True,
                )

    assert together(*(partial(commit_twice, number) for number in range(4))) == [0] * 4
    for attempt in range(2):
        with Repository.open(path) as repo:
            entries = log(repo, database="shop")
            assert sorted(entry.snapshot.message for entry in entries) == sorted("00112233")
            for entry in entries:
                expected = dumped(int(entry.snapshot.message))
                assert texts(repo, entry.snapshot_id) == expected.texts
            assert len(repo.tags.all()) == 4
        if attempt == 0:
            (path / "index.sqlite").unlink()


def test_opens_at_the_same_time_after_the_index_was_lost_all_see_everything(path: Path) -> None:
    with Repository.open(path) as repo:
        for number in range(5):
            record(repo, shop(10 + number), tags=(f"t{number}",))
            delete_tag(repo, f"t{number}", database="shop")

    def look() -> None:
        with Repository.open(path) as repo:
            found = [texts(repo, entry.snapshot_id) for entry in log(repo, database=None)]
            assert len(found) == 5
            assert repo.tags.all() == []

    for content in (None, b"garbage" * 1000, None):
        for file in path.glob("index.sqlite*"):
            file.unlink()
        if content is not None:
            (path / "index.sqlite").write_bytes(content)
        assert together(*[look] * 8) == [0] * 8
    with Repository.open(path) as repo:
        assert repo.tags.all() == []
        assert len(repo.newest(None)) == 5


def test_a_reader_goes_on_while_another_process_commits(path: Path) -> None:
    with Repository.open(path) as repo:
        made = record(repo).snapshot_id

        def commit_more() -> None:
            with Repository.open(path) as other:
                record(other, shop(300))

        assert together(commit_more) == [0]
        assert texts(repo, made) == shop(200).texts
        assert len(repo.newest("shop")) == 2


# -- making and finding one ---------------------------------------------------------------------


def test_a_repository_is_made_once(path: Path) -> None:
    with pytest.raises(RepositoryExists) as caught:
        make(path)
    assert "already" in caught.value.message


def test_of_processes_that_make_the_same_repository_none_breaks_it(tmp_path: Path) -> None:
    path = tmp_path / "new"
    statuses = together(*[lambda: Repository.create(path)] * 6)
    assert statuses.count(0) >= 1
    assert set(statuses) <= {0, 10, 50}
    with Repository.open(path) as repo:
        made = record(repo).snapshot_id
        assert texts(repo, made) == shop(200).texts


def test_a_folder_with_something_else_in_it_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RepositoryExists):
        Repository.create(tmp_path)
    with pytest.raises(NotARepository):
        Repository.open(tmp_path)
    with pytest.raises(NotARepository):
        Repository.open(tmp_path / "notes.txt")


@pytest.mark.parametrize("name", ["none", "none/deeper", "empty"])
def test_no_repository_says_how_to_make_one(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RepositoryNotFound) as caught:
        Repository.open(tmp_path / name)
    assert f"snap init {tmp_path / name}" in caught.value.hint
    assert not (tmp_path / "none").exists()


def test_a_new_repository_keeps_itself_out_of_version_control(path: Path) -> None:
    assert (path / ".gitignore").read_text() == "*\n"


# -- read-only ----------------------------------------------------------------------------------


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that any user can reach, unlike pytest's."""
    place = Path(tempfile.mkdtemp(prefix="snap-readonly-"))
    place.chmod(0o755)
    yield place
    make_writable(place)
    shutil.rmtree(place)


@pytest.mark.parametrize("cache", ["memory", "folder", "unwritable folder"])
def test_a_repository_that_cannot_be_written_is_read_whole(open_place: Path, cache: str) -> None:
    path = make(open_place / "backups")
    with Repository.open(path) as repo:
        made = record(repo, tags=("one",)).snapshot_id
        delete_tag(repo, "one", database="shop")
        record(repo, shop(210), tags=("two",))
    (path / "tmp" / "left").write_bytes(b"by a killed writer")
    # A snapshot that no index knows, and whose tag cannot be set here.
    killed = kill_after_the_manifest(path, tags=("three",))
    before = sorted(str(file) for file in path.rglob("*"))
    make_read_only(path)
    folder = None
    if cache != "memory":
        folder = open_place / "cache"
        folder.mkdir()
        folder.chmod(0o777 if cache == "folder" else 0o555)

    def look() -> None:
        for _ in range(2):
            with Repository.open(path, index_folder=folder) as repo:
                assert log(repo, database="shop")[0].snapshot_id == killed
                assert [tag.name for tag in repo.tags.all()] == ["two"]
                assert texts(repo, made) == shop(200).texts
                assert texts(repo, killed) == shop(300).texts
                show(repo, made)
                repo.check_present(repo.snapshot(killed))

    assert in_child(look, user=UNPRIVILEGED) == 0
    assert sorted(str(file) for file in path.rglob("*")) == before
    if folder is not None:
        assert [file.suffix for file in folder.iterdir()] == [".sqlite"] * (cache == "folder")


def test_read_only_copies_of_a_repository_have_an_index_each(open_place: Path) -> None:
    path, copy = make(open_place / "backups"), open_place / "copy"
    with Repository.open(path) as repo:
        record(repo)
    shutil.copytree(path, copy)
    with Repository.open(path) as repo:
        record(repo, shop(300))
    (open_place / "cache").mkdir()
    (open_place / "cache").chmod(0o777)
    for folder in (path, copy):
        make_read_only(folder)

    def look() -> None:
        for folder, count in ((path, 2), (copy, 1), (path, 2)):
            with Repository.open(folder, index_folder=open_place / "cache") as repo:
                assert len(repo.newest("shop")) == count
                assert repo.index.lost_snapshots() == {}

    assert in_child(look, user=UNPRIVILEGED) == 0


def test_a_commit_into_a_repository_that_cannot_be_written_is_a_store_error(
    open_place: Path,
) -> None:
    path = make(open_place / "backups")
    make_read_only(path)

    def write() -> None:
        with Repository.open(path) as repo:
            record(repo)

    assert in_child(write, user=UNPRIVILEGED) == 50
