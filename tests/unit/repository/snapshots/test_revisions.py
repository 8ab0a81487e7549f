"""How people name a snapshot, and what they are told when they name none or several."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgsnap.errors import AmbiguousRevision, UnknownRevision, UsageError
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.revisions import resolve
from pgsnap.workflows.history.tag import set_tag
from support.dumps.scripted import shop
from support.repositories.made import day, make, record


@dataclass
class History:
    repo: Repository
    path: Path
    shop: list[SnapshotId]
    blog: list[SnapshotId]

    def __call__(self, text: str, database: str | None = None) -> SnapshotId:
        return resolve(self.repo, text, database=database)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    path = make(tmp_path_factory.mktemp("revisions") / "backups")
    with Repository.open(path) as repo:
        made = [
            record(repo, shop(10 + number), at=day(number), tags=(f"day-{number}",)).snapshot_id
            for number in range(1, 5)
        ]
        blog = [
            record(repo, shop(20), database="blog", at=day(2), tags=("day-2", "only")).snapshot_id,
            record(repo, shop(21), database="blog", at=day(9), tags=("a/b",)).snapshot_id,
        ]
        yield History(repo, path, made, blog)


@pytest.mark.parametrize(
    ("text", "database", "expected"),
    [
        ("latest", "shop", 3),
        ("latest~0", "shop", 3),
        ("latest~", "shop", 2),
        ("latest~1", "shop", 2),
        ("latest~~", "shop", 1),
        ("latest~2~1", "shop", 0),
        ("latest~3", "shop", 0),
        ("day-3", None, 2),
        ("day-3", "shop", 2),
        ("day-3~1", None, 1),
        ("shop/day-3", None, 2),
        ("shop/day-3", "blog", 2),
        ("shop/day-2~1", "blog", 0),
        ("day-2", "shop", 1),
        ("@2026-01-02", "shop", 1),
        ("@2026-01-01", "shop", 0),
        ("@2026-01-31", "shop", 3),
        ("@2026-01-04~3", "shop", 0),
        ("@2026-01-03T12:00Z", "shop", 2),
        ("@2026-01-03T11:59Z", "shop", 1),
        ("@2026-01-03T13:00+01:00", "shop", 2),
        ("@2026-01-03T12:59+01:00", "shop", 1),
        ("@2026-01-03T12:00:00+00:00", "shop", 2),
        ("@2026-01-03T11:59:59+00:00", "shop", 1),
        ("2026-01-03T12:00:00Z", "shop", 2),
        ("@2026-01-03T12:00:00Z~1", "shop", 1),
        ("2026-01-03 13:00:00 +0100", "shop", 2),
        ("2026-01-03 12:59:59 +0100", "shop", 1),
        ("2026-01-03T11:59:59.999999Z", "shop", 1),
        ("2026-01-03T12:00:00.000000Z", "shop", 2),
        ("@2026-01-03 07:00 -0500", "shop", 2),
    ],
)
def test_a_revision_names_the_snapshot_that_is_meant(
    history: History, text: str, database: str | None, expected: int
) -> None:
    assert history(text, database) == history.shop[expected]


@pytest.mark.parametrize(
    ("text", "expected"), [("only", 0), ("a/b", 1), ("blog/a/b", 1), ("blog/day-2", 0)]
)
def test_a_tag_that_one_database_has_needs_no_label(
    history: History, text: str, expected: int
) -> None:
    assert history(text) == history.blog[expected]


@pytest.mark.parametrize("length", [4, 8, 12, 63, 64])
def test_an_id_and_its_unique_prefixes_name_it(history: History, length: int) -> None:
    for snapshot in [*history.shop, *history.blog]:
        others = {other.hex()[:length] for other in [*history.shop, *history.blog]} - {
            snapshot.hex()[:length]
        }
        assert len(others) == 5
        assert history(snapshot.hex()[:length]) == snapshot
        assert history(snapshot.hex()[:length].upper()) == snapshot


@pytest.mark.parametrize(
    "text",
    [
        "nothing",
        "",
        "~",
        "~1",
        "/",
        "a/",
        "/day-3",
        "//",
        "..",
        "../config",
        "shop/../blog/only",
        ".",
        "latest~4",
        "latest~999999999",
        "latest~" + "9" * 5000,
        "day-1~1",
        "Latest",
        "day-3 ",
        "x" * 300,
        "ü" * 120,
        "shop/" + "x" * 300,
        "x" * 300 + "/day-3",
        "\0",
        "a\nb",
        "\udcff",
        "@2025-12-31",
        "@0001-01-01",
        "0" * 64,
        "0" * 65,
        "abc",
        "day-3^",
    ],
)
def test_what_names_nothing_is_unknown(history: History, text: str) -> None:
    with pytest.raises(UnknownRevision) as caught:
        history(text, "shop")
    assert caught.value.exit_code == 20
    assert caught.value.hint


def test_a_time_before_the_first_snapshot_tells_of_which_time_that_is(history: History) -> None:
    with pytest.raises(UnknownRevision) as caught:
        history("@2025-12-31", "shop")
    assert caught.value.message == 'database "shop" has no snapshot as old as "@2025-12-31"'
    assert "2026-01-01" in caught.value.detail
    assert history.shop[0].hex()[:12] in caught.value.hint


@pytest.mark.parametrize(
    "text",
    ["@", "@yesterday", "@2026-13-01", "@2026-01-02T", "@2026-01-02T1:1:1+99:00", "@9999-12-31"],
)
def test_what_is_no_time_is_a_usage_error_that_shows_the_form(history: History, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        history(text, "shop")
    assert "@2026-01-31T14:30" in caught.value.hint


@pytest.mark.parametrize("text", ["latest", "latest~1", "@2026-01-02"])
def test_where_there_are_several_databases_one_must_be_named(history: History, text: str) -> None:
    with pytest.raises(AmbiguousRevision) as caught:
        history(text)
    assert caught.value.exit_code == 20
    assert "blog, shop" in caught.value.detail
    assert "--database" in caught.value.hint


def test_a_tag_of_several_databases_is_ambiguous(history: History) -> None:
    with pytest.raises(AmbiguousRevision) as caught:
        history("day-2")
    assert "blog/day-2, shop/day-2" in caught.value.detail


def test_a_database_without_snapshots_has_no_latest(history: History) -> None:
    with pytest.raises(UnknownRevision):
        history("latest", "elsewhere")


def test_an_empty_repository_says_how_to_make_a_snapshot(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "empty")) as repo:
        with pytest.raises(UnknownRevision) as caught:
            resolve(repo, "latest", database=None)
        assert "snap commit" in caught.value.hint


def test_a_prefix_of_several_ids_is_ambiguous_and_they_are_shown(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "many")) as repo:
        made = record(repo)
        manifest = repo.index.manifest(made.snapshot_id)
        assert manifest is not None
        for tail in (1, 2):
            repo.index.add_snapshot(bytes([0xAB, 0xCD, *[tail] * 30]), made.snapshot, manifest)
        with pytest.raises(AmbiguousRevision) as caught:
            resolve(repo, "abcd", database=None)
        assert "abcd010101010101" in caught.value.detail
        assert resolve(repo, "abcd01", database=None)[2] == 1


def test_a_time_without_offset_is_in_the_local_zone(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        monkeypatch.setenv("TZ", "EST+5")
        time.tzset()
        assert history("@2026-01-03T07:00", "shop") == history.shop[2]
        assert history("@2026-01-03 06:59", "shop") == history.shop[1]
        assert history("@2026-01-03T06:59:59", "shop") == history.shop[1]
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_day_is_over_when_the_local_clock_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 25 October 2026 has 25 hours where summer time ends on it.
    late = datetime(2026, 10, 25, 22, 30, tzinfo=UTC)
    try:
        monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        with Repository.open(make(tmp_path / "clock")) as repo:
            made = record(repo, shop(5), at=late).snapshot_id
            record(repo, shop(6), at=late + timedelta(minutes=31))
            assert resolve(repo, "@2026-10-25", database=None) == made
    finally:
        monkeypatch.undo()
        time.tzset()


def test_latest_goes_on_being_the_last_commit_when_the_clock_is_set_back(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "clock")) as repo:
        ahead = record(repo, at=datetime.now(UTC) + timedelta(days=400)).snapshot_id
        after = record(repo, shop(5))
        assert resolve(repo, "latest", database=None) == after.snapshot_id
        assert resolve(repo, "latest~1", database=None) == ahead
        third = record(repo, shop(6))
        assert resolve(repo, "latest", database=None) == third.snapshot_id
        assert third.snapshot.parent == after.snapshot_id
        assert third.snapshot.time > after.snapshot.time


def test_parents_end_where_a_snapshot_was_removed(tmp_path: Path) -> None:
    path = make(tmp_path / "backups")
    with Repository.open(path) as repo:
        first = record(repo, shop(5)).snapshot_id
        record(repo, shop(6))
    (path / "snapshots" / first.hex()).unlink()
    with Repository.open(path) as repo, pytest.raises(UnknownRevision):
        resolve(repo, "latest~1", database=None)


def test_a_tag_wins_over_a_prefix_that_looks_like_it(history: History) -> None:
    # Such names are refused where all are hex digits in lower case; others may still look alike.
    name = "DAD5" + history.shop[0].hex()[:2]
    set_tag(history.repo, name, history.shop[0])
    assert history(name, "shop") == history.shop[0]


@pytest.mark.parametrize("ago", ["just now", "3 hours ago", "in 2 minutes"])
def test_a_time_may_be_followed_by_how_long_ago_that_is(history: History, ago: str) -> None:
    printed = f"2026-01-02 23:59:59 +0000 ({ago})"
    assert history(printed, "shop") == history("@2026-01-02T23:59:59Z", "shop")
    assert history(f"@{printed}~1", "shop") == history("@2026-01-02T23:59:59Z~1", "shop")
    with pytest.raises(UnknownRevision):
        history("2026-01-02 23:59:59 +0000 (soon)", "shop")


def test_a_date_alone_may_be_a_tag_and_is_no_time_without_its_mark(history: History) -> None:
    with pytest.raises(UnknownRevision) as caught:
        history("2026-01-02", "shop")
    assert "@2026-01-02" in caught.value.hint
