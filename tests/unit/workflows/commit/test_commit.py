"""A commit as a whole: what it records, reports, refuses and skips."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pgsnap.errors import CorruptionError, TagExists, UsageError
from pgsnap.model import DatabaseProperties, Setting
from pgsnap.repository.chunks import presence
from pgsnap.repository.chunks.recipes import walk
from pgsnap.repository.repository import Repository
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.history.log import log, show
from support.dumps.scripted import ORIGIN, ScriptedSource, dump, rows, shop, table, texts
from support.repositories.made import day, record
from support.repositories.stores import RecordingStore, use_store


def test_a_snapshot_says_what_was_in_the_dump(repo: Repository) -> None:
    dumped = dump(table("a", "t", rows(7)), table("b", "t", rows(5)), globals_text=b"x\n")
    report = record(repo, dumped, message="größer\nzwei", tags=("one", "two", "one"))
    snapshot = repo.snapshot(report.snapshot_id)
    assert snapshot == report.snapshot
    assert snapshot.database == "shop"
    assert snapshot.message == "größer\nzwei"
    assert snapshot.parent is None
    assert snapshot.section_count == 7
    assert snapshot.table_count == 2
    assert snapshot.rows == 12
    assert snapshot.plain_bytes == sum(len(part.text) for part in dumped.parts)
    assert snapshot.stored_bytes == report.stored_bytes > 0
    assert snapshot.origin == ORIGIN
    assert snapshot.wished_tags == ("one", "two")
    assert report.tags == ("one", "two")
    assert report.tags_refused == ()
    assert report.recorded
    assert not report.unchanged


def test_parents_are_of_the_same_database(repo: Repository) -> None:
    first = record(repo, shop(5)).snapshot_id
    other = record(repo, shop(5), database="blog").snapshot
    second = record(repo, shop(6)).snapshot
    assert other.parent is None
    assert second.parent == first


def test_an_unchanged_database_is_skipped_when_that_is_asked_for(repo: Repository) -> None:
    first = record(repo)
    store = RecordingStore(repo.store)
    use_store(repo, store)
    skipped = record(repo, skip_unchanged=True)
    assert not skipped.recorded
    assert skipped.unchanged
    assert skipped.snapshot_id == first.snapshot_id
    assert store.writes == []
    assert len(log(repo, database=None)) == 1


def test_what_changed_or_is_tagged_or_is_new_in_the_globals_is_not_skipped(
    repo: Repository,
) -> None:
    assert record(repo, skip_unchanged=True).recorded
    assert record(repo, shop(5), skip_unchanged=True).recorded
    assert record(repo, shop(5), skip_unchanged=True, tags=("release",)).recorded
    changed = dump(globals_text=b"CREATE ROLE a;\n")
    assert record(repo, changed, skip_unchanged=True).recorded
    other = dump(globals_text=b"CREATE ROLE b;\n")
    assert record(repo, other, skip_unchanged=True).globals_changed
    assert not record(repo, other, skip_unchanged=True).recorded


def test_a_change_of_the_database_s_own_settings_is_not_skipped(repo: Repository) -> None:
    properties = DatabaseProperties("shop", "bob", "UTF8", "C", "C", size_bytes=1)

    def recorded(**changes: Any) -> bool:
        origin = replace(ORIGIN, properties=replace(properties, **changes))
        return record(repo, replace(shop(5), origin=origin), skip_unchanged=True).recorded

    assert recorded()
    assert not recorded(size_bytes=2)
    assert recorded(settings=(Setting("work_mem", "1GB"),))
    assert recorded(settings=(Setting("work_mem", "1GB"),), acl=("=Tc/bob",))


def test_a_tag_that_exists_is_refused_before_the_dump_starts(repo: Repository) -> None:
    record(repo, tags=("one",))
    source = ScriptedSource(shop(5), fail_at=0, error=AssertionError("the dump was read"))
    with pytest.raises(TagExists):
        commit(repo, source, database="shop", message="x", tags=("new", "one"))
    assert repo.tags.get("shop", "new") is None
    assert record(repo, database="blog", tags=("one",)).tags == ("one",)


def test_a_tag_that_exists_is_moved_by_force(repo: Repository) -> None:
    record(repo, tags=("one",))
    moved = record(repo, shop(5), tags=("one",), force_tags=True)
    assert moved.snapshot.wished_tags == ("+one",)
    found = repo.tags.get("shop", "one")
    assert found is not None
    assert found.snapshot == moved.snapshot_id


def test_a_tag_that_is_taken_during_the_dump_is_reported_and_the_snapshot_stands(
    repo: Repository,
) -> None:
    first = record(repo).snapshot_id

    class Slow(ScriptedSource):
        def finish(self):  # type: ignore[no-untyped-def]
            from pgsnap.workflows.history.tag import set_tag

            set_tag(repo, "one", first)
            return super().finish()

    report = commit(repo, Slow(shop(5)), database="shop", message="x", tags=("one", "two"))
    assert report.tags == ("two",)
    assert report.tags_refused == ("one",)
    assert texts(repo, report.snapshot_id) == shop(5).texts


@pytest.mark.parametrize(
    ("database", "message", "tags"),
    [("", "m", ()), ("shop", "x" * 70_000, ()), ("shop", "m", ("latest",)), ("a\nb", "m", ())],
)
def test_what_cannot_be_recorded_is_refused_before_the_dump_starts(
    repo: Repository, database: str, message: str, tags: tuple[str, ...]
) -> None:
    source = ScriptedSource(shop(5), fail_at=0, error=AssertionError("the dump was read"))
    with pytest.raises(UsageError):
        commit(repo, source, database=database, message=message, tags=tags)


def test_a_log_is_newest_first_and_of_one_database_or_all(repo: Repository) -> None:
    ids = [
        record(repo, shop(n), at=day(n), database=name).snapshot_id
        for n, name in [(2, "a"), (1, "a"), (3, "b")]
    ]
    assert [entry.snapshot_id for entry in log(repo, database=None)] == [ids[2], ids[0], ids[1]]
    assert [entry.snapshot_id for entry in log(repo, database="a")] == [ids[0], ids[1]]
    assert [entry.snapshot_id for entry in log(repo, database=None, limit=1)] == [ids[2]]
    assert log(repo, database="none") == []


def test_show_tells_what_each_section_costs_and_what_is_new_of_it(repo: Repository) -> None:
    stays, changes = rows(3000, seed=1), rows(3000, seed=2)
    record(repo, dump(table("p", "stays", stays), table("p", "changes", changes)))
    second = record(repo, dump(table("p", "stays", stays), table("p", "changes", changes[:-1])))
    costs = {cost.name.name: cost for cost in show(repo, second.snapshot_id).sections}
    assert costs["stays"].stored_bytes > 0
    assert costs["stays"].new_bytes == 0
    assert 0 < costs["changes"].new_bytes <= costs["changes"].stored_bytes


def test_the_room_of_a_commit_is_told_to_the_progress(repo: Repository) -> None:
    class Heard:
        def __init__(self) -> None:
            self.phases: list[str] = []
            self.plain_bytes = 0

        def phase(self, name: str, total_bytes: int | None = None) -> None:
            self.phases.append(name)

        def advance(self, plain_bytes: int, detail: str = "") -> None:
            self.plain_bytes += plain_bytes

        def say(self, line: str) -> None:
            pass

    heard = Heard()
    report = commit(repo, ScriptedSource(shop()), database="shop", message="m", progress=heard)
    assert heard.phases
    assert heard.plain_bytes == report.snapshot.plain_bytes


def test_of_two_commits_at_once_the_one_that_began_later_is_newer(repo: Repository) -> None:
    first = record(repo).snapshot_id
    inner = []

    class Slow(ScriptedSource):
        def finish(self):  # type: ignore[no-untyped-def]
            inner.append(record(repo, shop(6)))
            return super().finish()

    outer = commit(repo, Slow(shop(5)), database="shop", message="x")
    assert repo.newest("shop") == [inner[0].snapshot_id, outer.snapshot_id, first]
    assert outer.snapshot.parent == inner[0].snapshot.parent == first


def test_a_missing_chunk_is_found_whatever_is_looked_at_at_once(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "_CHUNKS_AT_ONCE", 1)
    snapshot = record(repo, shop(9000)).snapshot
    repo.check_present(snapshot)
    section = next(s for s in repo.sections(snapshot) if s.segments[0].recipe.level)
    *_, last = walk(section.segments[0].recipe, repo.chunks.read)
    (location,) = repo.index.locations([last.chunk])[last.chunk]
    repo.index.mark_damaged(location.pack, [location.offset], readable=False)
    with pytest.raises(CorruptionError) as caught:
        repo.check_present(snapshot)
    assert caught.value.detail.startswith("1 of its ")
