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


def keyless(part: Part, columns: Sequence[str]) -> Dump:
    """Return a dump of one table without a key."""
    listed = ",\n    ".join(f"{name} text" for name in columns)
    made = f"CREATE TABLE public.t (\n    {listed}\n);"
    head = "--\n-- Name: t; Type: TABLE; Schema: public; Owner: -\n--\n\n"
    parts = list(dump(part).parts)
    parts[1] = text(SectionKind.PRE_DATA, f"{head}{made}\n\n".encode())
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
    dumps = [keyless(part, ["value"]) for part in (before, after)]
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
        dumps.append(keyless(table(["id", "value"], rows), ["id", "value"]))
    assert [event.kind for event in events(repo, dumps, "2", "id")] == ["first"]
