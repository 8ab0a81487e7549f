"""Rows are found where only some chunks are read, also where chunks end within rows."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.chunking.rows import RowChunker
from pgsnap.model import ChunkerParams, SectionEnd, SectionKind, SectionName
from pgsnap.repository.repository import Repository
from pgsnap.rows import assembled
from pgsnap.workflows.past.history import RowEvent, row_history
from support.dumps.scripted import Dump, Part, dump, text
from support.faults.damaging import flip
from support.repositories.made import make, record

SMALL = ChunkerParams(1024, 4096, 16_384)


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    with Repository.open(make(tmp_path / "repo")) as repo:
        repo.config = replace(repo.config, chunker=SMALL)
        yield repo


def table(columns: Sequence[str], rows: Sequence[bytes]) -> Part:
    head = f"COPY public.t ({', '.join(columns)}) FROM stdin;\n".encode()
    tail = b"\\.\n\n\n"
    body = b"".join(row + b"\n" for row in rows)
    end = SectionEnd(True, len(head), 1, len(tail), 3)
    return Part(SectionName(SectionKind.DATA, "public", "t"), head + body + tail, end)


def defined(part: Part, columns: Sequence[str], key: str = "") -> Dump:
    """Return a dump of one table; without *key*, a column, it has no primary key."""
    listed = ",\n    ".join(f"{name} text" for name in columns)
    made = f"CREATE TABLE public.t (\n    {listed}\n);"
    head = "--\n-- Name: t; Type: TABLE; Schema: public; Owner: -\n--\n\n"
    parts = list(dump(part).parts)
    parts[1] = text(SectionKind.PRE_DATA, f"{head}{made}\n\n".encode())
    if key:
        head = "--\n-- Name: t t_pkey; Type: CONSTRAINT; Schema: public; Owner: -\n--\n\n"
        made = f"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY ({key});"
        parts[-2] = text(SectionKind.POST_DATA, f"{head}{made}\n\n".encode())
    return Dump(tuple(parts))


def events(repo: Repository, dumps: Sequence[Dump], key: str, column: str) -> list[RowEvent]:
    """Commit *dumps*, oldest first, and return the events of the rows with this key."""
    made = [record(repo, one).snapshot_id for one in dumps]
    _, found = row_history(repo, made[::-1], ("public", "t"), key, key_named=column)
    return list(found)


@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_a_row_that_became_the_end_of_a_long_one_is_found(repo: Repository, chunks: int) -> None:
    """The chunk that it begins is in both snapshots; in the newer one it begins within a row."""
    chance = random.Random(1)
    rows = [chance.randbytes(30).hex().encode() for _ in range(1000)]
    before = table(["value"], rows)
    chunker = RowChunker(SMALL)
    cut = [*chunker.feed(before.text), *chunker.finish()]
    place = sum(chunk.lines for chunk in cut[:chunks]) - 1
    long = b"7" * (SMALL.max_bytes - before.end.head_bytes) + rows[place]
    after = table(["value"], [long, *rows[place + 1 :]])
    assert after.text[SMALL.max_bytes :] == b"".join(chunk.data for chunk in cut[chunks:])
    dumps = [defined(part, ["value"]) for part in (before, after)]
    found = events(repo, dumps, rows[place].decode(), "value")
    assert [event.kind for event in found] == ["removed", "first"]


def test_a_long_row_is_the_same_wherever_it_is_cut(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a little longer than what is held: its last block would make the difference."""
    monkeypatch.setattr(assembled, "ROW_HELD_BYTES", 40_000)
    dumps = []
    for size in (100, 800):
        # Chunks end in it after so many bytes each, as none of them chooses an end.
        rows = [b"1\t" + b"6" * size, b"2\t" + b"7" * 48_500, b"2\tanother with this key"]
        dumps.append(defined(table(["id", "value"], rows), ["id", "value"]))
    assert [event.kind for event in events(repo, dumps, "2", "id")] == ["first"]


@pytest.mark.parametrize("key", ["id", ""])
def test_a_row_in_a_text_that_was_cut_otherwise_is_found_before(repo: Repository, key: str) -> None:
    """As the last chunks of a table are where only its changes were read, and then all of it; or
    where the keys of the repository are other ones."""
    chance = random.Random(3)
    rows = [b"%d\t%s" % (number, chance.randbytes(30).hex().encode()) for number in range(1000)]
    columns = ["id", "value"]
    first = record(repo, defined(table(columns, [b"x\tbefore", *rows]), columns, key))
    dump = defined(table(columns, rows), columns, key)
    second = record(repo, dump)
    repo.config = replace(repo.config, chunker=ChunkerParams(64, 256, 1024))
    third = record(repo, dump)
    lists = [
        next(section.segments for section in repo.sections(made.snapshot) if section.rows)
        for made in (second, third)
    ]
    assert lists[0] != lists[1]
    made = [one.snapshot_id for one in (third, second, first)]
    for number in range(0, 1000, 111):
        _, found = row_history(
            repo, made, ("public", "t"), str(number), key_named=None if key else "id"
        )
        assert [(event.kind, event.snapshot_id) for event in found] == [("first", made[-1])]


def test_of_two_equal_rows_the_one_that_stayed_is_found_before(repo: Repository) -> None:
    chance = random.Random(4)
    rows = [b"%d\t%s" % (number, chance.randbytes(30).hex().encode()) for number in range(1000)]
    columns = ["id", "value"]
    rows[500] = rows[900] = b"twice\tthe same"
    one_less = [*rows[:900], *rows[901:]]
    dumps = [one_less[10:], one_less, rows]
    found = events(repo, [defined(table(columns, one), columns) for one in dumps], "twice", "id")
    assert [(event.kind, event.count_before, event.count_after) for event in found] == [
        ("changed", 1, 2),
        ("first", 0, 1),
    ]


def test_several_rows_with_one_key_are_the_same_in_another_encoding(repo: Repository) -> None:
    """As of a database that was dumped and loaded again, in UTF8."""
    columns, made = ["id", "value"], []
    for encoding, last in (("LATIN1", "Bär"), ("UTF8", "Bär"), ("UTF8", "Bären")):
        rows = [f"1\t{value}".encode(encoding) for value in ("Käse", "Käse", last)]
        one = defined(table(columns, rows), columns)
        one = replace(one, origin=replace(one.origin, client_encoding=encoding))
        made.append(record(repo, one).snapshot_id)
    _, found = row_history(repo, made[::-1], ("public", "t"), "1", key_named="id")
    changed, first = found
    assert (changed.kind, changed.snapshot_id, first.kind) == ("changed", made[2], "first")
    assert [row.fields[1] for row in changed.before] == ["Bär".encode()]
    assert [row.fields[1] for row in changed.after] == ["Bären".encode()]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_where_a_list_of_sections_is_damaged_only_that_snapshot_is_unknown(
    repo: Repository, number: int
) -> None:
    columns, made = ["id", "value"], []
    for value in (b"one", b"two", b"three"):
        dump = defined(table(columns, [b"1\t" + value]), columns)
        made.insert(0, record(repo, dump).snapshot_id)
    chosen = repo.snapshot(made[number]).sections_recipe.chunk
    assert chosen is not None
    (location,) = repo.index.locations([chosen])[chosen]
    pack = repo.path / "packs" / location.pack.hex()[:2] / location.pack.hex()
    flip(pack, location.offset + location.frame.frame_bytes // 2)
    history, found = row_history(repo, made, ("public", "t"), "1", key_named="id")
    assert [event.snapshot_id for event in found] == [one for one in made if one != made[number]]
    assert [one for one, _ in history.unknown] == [made[number]]
