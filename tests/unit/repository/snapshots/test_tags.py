"""Tags move by compare-and-swap; their names are what file systems, shells and people can bear."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import partial

import pytest

from pgsnap.errors import CorruptionError, TagExists, UnknownRevision, UsageError
from pgsnap.model import Tag
from pgsnap.repository import layout
from pgsnap.repository.repository import Repository
from pgsnap.workflows.history.tag import delete_tag, list_tags, set_tag
from support.documents.values import a_hash
from support.dumps.scripted import shop
from support.repositories.made import in_child, record

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    "name", ["a", "pre-migration", "v1.2", "before-restore/2026", "größe", "é" * 40]
)
@pytest.mark.parametrize("database", ["shop", "my shop", "a/b", "größe", "..", ".hidden", "\udcff"])
def test_a_tag_comes_back_whatever_its_database_is_called(
    repo: Repository, database: str, name: str
) -> None:
    tag = Tag(database, name, a_hash("x"), NOW)
    assert repo.tags.set(tag) is None
    assert repo.tags.get(database, name) == tag
    assert repo.tags.all() == [tag]
    assert repo.tags.all(database) == [tag]
    assert repo.tags.all("another") == []
    assert repo.tags.by_snapshot() == {a_hash("x"): [name]}
    assert repo.tags.delete(database, name) == tag
    assert repo.tags.all() == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "latest",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "@x",
        "a*",
        "a?",
        "[a]",
        "a\\b",
        "-a",
        "+a",
        ".a",
        "/a",
        "a.",
        "a/",
        "a//b",
        "a..b",
        "a.lock",
        "a\n",
        "abcd",
        "0" * 64,
        "x" * 201,
        "é" * 100,
        "\x7f",
    ],
)
def test_a_name_that_could_mean_something_else_is_no_tag(repo: Repository, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        layout.check_tag(name)
    assert caught.value.hint
    with pytest.raises(UsageError):
        repo.tags.set(Tag("shop", name, a_hash("x"), NOW))


@pytest.mark.parametrize("label", ["", "x" * 201, "a\nb", "é" * 100])
def test_a_label_that_no_file_can_have_is_refused(label: str) -> None:
    with pytest.raises(UsageError):
        layout.check_label(label)


def test_a_tag_is_moved_only_by_force_and_what_it_was_is_told(repo: Repository) -> None:
    first, second = record(repo).snapshot_id, record(repo, shop(5)).snapshot_id
    assert set_tag(repo, "one", first).before is None
    again = set_tag(repo, "one", first)
    assert again.before is not None
    with pytest.raises(TagExists) as caught:
        set_tag(repo, "one", second)
    assert caught.value.exit_code == 10
    assert "--force" in caught.value.hint
    moved = set_tag(repo, "one", second, force=True)
    assert moved.before is not None
    assert moved.before.snapshot == first
    assert [tag.snapshot for tag in list_tags(repo)] == [second]
    assert delete_tag(repo, "one", database="shop").tag.snapshot == second
    with pytest.raises(UnknownRevision):
        delete_tag(repo, "one", database="shop")


def test_a_tag_that_moves_between_look_and_write_is_not_overwritten(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(repo, tags=("one",))
    replace = repo.store.replace

    def late(name: str, data: bytes | None, expected: bytes | None) -> None:
        monkeypatch.undo()
        repo.tags.set(Tag("shop", "one", a_hash("theirs"), NOW), force=True)
        replace(name, data, expected)

    monkeypatch.setattr(repo.store, "replace", late)
    with pytest.raises(TagExists) as caught:
        repo.tags.set(Tag("shop", "one", a_hash("mine"), NOW), force=True)
    assert "another process" in caught.value.message
    found = repo.tags.get("shop", "one")
    assert found is not None
    assert found.snapshot == a_hash("theirs")


def test_of_processes_that_set_the_same_new_tag_one_wins(repo: Repository) -> None:
    def set_one(number: int) -> None:
        repo.tags.set(Tag("shop", "race", a_hash(str(number)), NOW))

    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:
            os._exit(in_child(partial(set_one, number)))
        children.append(child)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(statuses) == [0, 10, 10, 10, 10, 10]
    found = repo.tags.get("shop", "race")
    assert found is not None
    assert found.snapshot == a_hash(str(statuses.index(0)))


def test_a_tag_object_under_another_tags_name_is_damage(repo: Repository) -> None:
    record(repo, tags=("one",))
    folder = repo.path / "tags" / "shop"
    (folder / "two").write_bytes((folder / "one").read_bytes())
    with pytest.raises(CorruptionError) as caught:
        repo.tags.get("shop", "two")
    assert '"two"' in caught.value.message
