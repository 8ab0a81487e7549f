"""That a row was not there is found for many snapshots at once, and only where it is certain."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.model import ChunkerParams, SectionEnd, SectionKind, SectionName, SnapshotId
from pgsnap.repository.chunks.stream import chunks_of
from pgsnap.repository.repository import Repository
from pgsnap.workflows.past import absence
from pgsnap.workflows.past.absence import Absence, rows_at
from pgsnap.workflows.past.history import RowEvent, RowHistory, row_history
from pgsnap.workflows.past.presence import Presence
from support.dumps.scripted import Part, dump
from support.repositories.encrypted import make_encrypted, opened
from support.repositories.made import make, record

SMALL = ChunkerParams(1024, 4096, 16_384)
SNAPSHOTS = 40


@pytest.fixture(params=["plain", "encrypted"])
def repo(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Repository]:
    path = tmp_path / "repo"
    with opened(make(path) if request.param == "plain" else make_encrypted(path)) as repo:
        repo.config = replace(repo.config, chunker=SMALL)
        yield repo


def table(rows: Sequence[bytes], columns: str = "id, value") -> Part:
    head = f"COPY public.t ({columns}) FROM stdin;\n".encode()
    body = b"".join(row + b"\n" for row in rows)
    name = SectionName(SectionKind.DATA, "public", "t")
    return Part(name, head + body + b"\\.\n\n\n", SectionEnd(True, len(head), 1, 5, 3))


def history(
    repo: Repository, change: Callable[[int, list[bytes]], None], count: int = SNAPSHOTS
) -> list[SnapshotId]:
    """Record a table again and again, some rows of it and what *change* says changed; return the
    snapshots, newest first."""
    chance = random.Random(1)
    rows = [b"%d\t%s" % (number, chance.randbytes(40).hex().encode()) for number in range(2000)]
    made = []
    for number in range(count):
        for place in chance.sample(range(len(rows)), 5):
            key = rows[place].split(b"\t")[0]
            rows[place] = b"%s\t%s" % (key, chance.randbytes(40).hex().encode())
        change(number, rows)
        made.append(record(repo, dump(table(rows))).snapshot_id)
    return made[::-1]


def looked_up(
    repo: Repository, made: Sequence[SnapshotId], key: str, read_bytes_max: int | None = None
) -> tuple[RowHistory, list[RowEvent]]:
    found, events = row_history(
        repo, made, ("public", "t"), key, key_named="id", read_bytes_max=read_bytes_max
    )
    return found, list(events)


@pytest.fixture
def by_itself(monkeypatch: pytest.MonkeyPatch) -> list[SnapshotId]:
    """Which snapshots are looked at by themselves."""
    seen: list[SnapshotId] = []
    look = Presence.rows

    def rows(self: Presence, view: absence.View, *more: object) -> object:
        seen.append(view.snapshot_id)
        return look(self, view, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Presence, "rows", rows)
    return seen


def test_snapshots_from_before_a_row_was_added_are_searched_together(
    repo: Repository, by_itself: list[SnapshotId]
) -> None:
    def change(number: int, rows: list[bytes]) -> None:
        if number == SNAPSHOTS // 2:
            rows.insert(700, b"new\tone")

    made = history(repo, change)
    _, events = looked_up(repo, made, "new")
    assert [(one.kind, one.snapshot_id) for one in events] == [("appeared", made[19])]
    assert by_itself == made[:22]


def test_of_a_row_that_was_there_for_a_time_only_those_snapshots_are_looked_at(
    repo: Repository, by_itself: list[SnapshotId]
) -> None:
    def change(number: int, rows: list[bytes]) -> None:
        if number in (10, 13):
            rows.insert(700, b"%d\tone" % (10**9 + number))
        if number in (12, 20):
            del rows[700]

    made = history(repo, change)
    _, events = looked_up(repo, made, str(10**9 + 10))
    assert [(one.kind, one.snapshot_id) for one in events] == [
        ("removed", made[39 - 12]),
        ("appeared", made[39 - 10]),
    ]
    assert by_itself == [made[0], made[1], made[39 - 11], made[39 - 10]]


@pytest.mark.parametrize(("first", "last"), [(b"6", b"last"), (b"5", b"other")])
def test_a_row_of_many_chunks_is_found_whichever_of_them_differs(
    repo: Repository, first: bytes, last: bytes
) -> None:
    """Its other chunks are in all snapshots, with a part of the key."""
    kept = [b"%d\t%s\tx" % (number, os.urandom(20).hex().encode()) for number in range(1000)]
    made = []
    for number in range(6):
        ends = (b"5", b"last") if number == 1 else (first, last)
        long = b"%s\t%s\t%s" % (ends[0], b"7" * 40_000, ends[1])
        rows = [*kept[:500], long, *kept[500:], b"%d\tx\tx" % (10_000 + number)]
        made.append(record(repo, dump(table(rows, "id, value, last"))).snapshot_id)
    _, found = row_history(repo, made[::-1], ("public", "t"), "5,last", key_named="id,last")
    assert [event.kind for event in found] == ["removed", "appeared"]


def test_a_row_that_became_the_end_of_a_long_one_is_found(repo: Repository) -> None:
    """The chunk that it begins is in all snapshots; in the newer ones it begins within a row."""
    chance = random.Random(1)
    rows = [b"%s\t" % chance.randbytes(30).hex().encode() for _ in range(1000)]
    before = table(rows)
    chunker = repo.chunk_store.chunker()
    first, *_ = [*chunker.feed(before.text), *chunker.finish()]
    place = first.lines - 1
    long = b"7" * (SMALL.max_bytes - before.end.head_bytes) + rows[place]
    made = [record(repo, dump(before)).snapshot_id]
    for number in range(4):
        after = [long, *rows[place + 1 :], b"last\t%d" % number]
        made.append(record(repo, dump(table(after))).snapshot_id)
    _, events = looked_up(repo, made[::-1], rows[place].decode().strip())
    assert [one.kind for one in events] == ["removed", "first"]


def test_no_more_is_searched_together_than_may_be_read(
    repo: Repository, by_itself: list[SnapshotId]
) -> None:
    made = history(repo, lambda _, rows: None, 9)
    first, second = (looked_up(repo, made[:count], "none")[0].read_bytes for count in (1, 2))
    by_itself.clear()
    found, _ = looked_up(repo, made, "none", read_bytes_max=second - first)
    # The third one goes beyond it.
    assert by_itself == made[:3]
    assert found.stopped_at == found.oldest == made[2]
    by_itself.clear()
    found, _ = looked_up(repo, made, "none", read_bytes_max=10**9)
    assert by_itself == made[:2]
    assert found.stopped_at is None


def test_what_is_damaged_is_said_of_the_same_snapshots(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = history(repo, lambda _, rows: None)
    known = set()
    for number, one in enumerate(made[::-1]):
        (section,) = [each for each in repo.sections(repo.snapshot(one)) if each.rows]
        chunks = {entry.chunk for entry in chunks_of(repo.chunks, section)}
        if number == 12:
            (chosen, *_) = sorted(chunks - known)
        known |= chunks
    (location,) = repo.index.locations([chosen])[chosen]
    pack = repo.path / "packs" / location.pack.hex()[:2] / location.pack.hex()
    data = bytearray(pack.read_bytes())
    data[location.offset + location.frame.frame_bytes // 2] ^= 0xFF
    pack.chmod(0o600)
    pack.write_bytes(data)
    together, _ = looked_up(repo, made, "none")
    monkeypatch.setattr(Absence, "look_ahead", lambda *_: None)
    one_by_one, _ = looked_up(repo, made, "none")
    assert together.unknown
    assert together.unknown == one_by_one.unknown


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([(0, 2)], b"one\n"),
        ([(1, 1), (2, 3)], b"one\n"),
        ([(4, 8)], b"two\nthree\n"),
        ([(4, 7)], b"two\n"),
        ([(3, 4)], b"one\ntwo\n"),
        ([(4, 4), (10, 10)], b"two\nthree\n"),
        ([(8, 13), (14, 14)], b"three\n"),
        ([], b""),
    ],
)
def test_rows_at_places_are_whole(places: list[tuple[int, int]], expected: bytes) -> None:
    assert rows_at(b"one\ntwo\nthree\n", places) == expected
