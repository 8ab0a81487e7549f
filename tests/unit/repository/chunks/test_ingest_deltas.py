"""Commits store deltas: against what is most like, in bounded chains, not on damaged ground."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from pgsnap.limits import DELTA_LONG_STEPS, DELTA_SHORT_STEPS, DELTA_SHORT_STEPS_MIN
from pgsnap.model import ChunkerParams, ChunkId, ChunkKind, Codec
from pgsnap.repository.chunks import bases
from pgsnap.repository.repository import Repository
from support.dumps.scripted import Dump, dump, rows, table, texts
from support.repositories.made import day, record

STRIDE = DELTA_SHORT_STEPS + 1


def orders(count: int = 16_000) -> list[bytes]:
    return rows(count, seed=5, width=200)


def changed(lines: list[bytes], *, seed: int, share: float = 0.01) -> list[bytes]:
    """Return the rows with a share of them changed, all over the table."""
    chance = random.Random(seed)
    found = list(lines)
    for number in chance.sample(range(len(found)), int(len(found) * share)):
        found[number] = found[number][:-8] + b"%08d" % chance.randrange(10**8)
    return found


def of(lines: list[bytes], name: str = "orders") -> Dump:
    return dump(table("public", name, lines))


def chain(repo: Repository, chunk: ChunkId) -> list[int]:
    """Return the ranks of the frames that a chunk is read through."""
    (location,) = repo.index.locations([chunk])[chunk]
    if location.frame.base is None:
        return [location.frame.depth]
    return [location.frame.depth, *chain(repo, location.frame.base)]


def data_chunks(repo: Repository) -> list[ChunkId]:
    found = repo.index.query("SELECT id FROM chunks WHERE kind = ?", (ChunkKind.DATA,))
    return [row[0] for row in found]


def test_scattered_changes_cost_little_of_what_the_chunks_hold(repo: Repository) -> None:
    lines = orders()
    first = record(repo, of(lines), at=day(1))
    second = record(repo, of(changed(lines, seed=1)), at=day(2))
    assert second.stored_bytes < first.stored_bytes / 20
    assert texts(repo, second.snapshot_id) == of(changed(lines, seed=1)).texts
    assert texts(repo, first.snapshot_id) == of(lines).texts


def test_rows_that_moved_elsewhere_find_the_chunk_they_came_from(repo: Repository) -> None:
    lines = orders(40_000)
    first = record(repo, of(lines), at=day(1))
    moved = changed(lines[25_000:] + lines[:10_000] + lines[10_000:25_000], seed=1)
    assert record(repo, of(moved), at=day(2)).stored_bytes < first.stored_bytes / 6


def test_a_change_in_every_row_still_finds_the_rows(repo: Repository) -> None:
    lines = orders(20_000)
    first = record(repo, of(lines), at=day(1))
    wider = [line + b"\tnew" for line in lines]
    second = record(repo, of(wider), at=day(2))
    # Not all: other rows choose the cuts, so a chunk overlaps several old ones.
    assert second.stored_bytes < first.stored_bytes / 2
    assert texts(repo, second.snapshot_id) == of(wider).texts


def test_chains_are_bounded_and_every_version_is_read(repo: Repository) -> None:
    lines = orders(1500)
    versions = []
    for number in range(1, 60):
        lines = changed(lines, seed=number, share=0.02)
        made = record(repo, of(lines), message=str(number))
        versions.append((made.snapshot_id, of(lines).texts))
    chains = [chain(repo, chunk) for chunk in data_chunks(repo)]
    assert max(map(len, chains)) <= DELTA_SHORT_STEPS + DELTA_LONG_STEPS + 1
    assert all(ranks == sorted(ranks, reverse=True) for ranks in chains)
    short = {ranks[0] % STRIDE for ranks in chains if ranks[0] > DELTA_LONG_STEPS * STRIDE}
    assert DELTA_SHORT_STEPS_MIN <= max(short) <= DELTA_SHORT_STEPS
    for snapshot, expected in versions:
        assert texts(repo, snapshot) == expected


def test_chunks_make_their_long_steps_in_different_commits(repo: Repository) -> None:
    lines = orders(24_000)
    record(repo, of(lines), at=day(1))
    known, long_steps = set(data_chunks(repo)), []
    for number in range(2, DELTA_SHORT_STEPS + 4):
        lines = changed(lines, seed=number, share=0.005)
        record(repo, of(lines), at=day(number))
        new = set(data_chunks(repo)) - known
        known |= new
        long_steps.append(sum(chain(repo, chunk)[0] == STRIDE for chunk in new))
    assert sum(long_steps[:DELTA_SHORT_STEPS_MIN]) == 0
    assert sum(map(bool, long_steps)) >= 3
    assert sum(long_steps) > max(long_steps)


def test_few_changed_rows_are_stored_as_edits(repo: Repository) -> None:
    lines = orders()
    record(repo, of(lines), at=day(1))
    before = set(data_chunks(repo))
    second = record(repo, of(changed(lines, seed=1, share=0.003)), at=day(2))
    new = set(data_chunks(repo)) - before
    found = [repo.index.locations([chunk])[chunk][0].frame for chunk in new]
    assert len(found) >= 3
    assert {frame.codec for frame in found} == {Codec.EDITS}
    assert texts(repo, second.snapshot_id) == of(changed(lines, seed=1, share=0.003)).texts


def test_a_copy_of_another_database_is_stored_against_it(repo: Repository) -> None:
    lines = orders()
    first = record(repo, of(lines), database="production", at=day(1))
    staging = record(repo, of(changed(lines, seed=3)), database="staging", at=day(2))
    assert staging.snapshot.parent is None
    assert staging.stored_bytes < first.stored_bytes / 10


def test_a_snapshot_older_than_all_others_is_stored_against_them(repo: Repository) -> None:
    """As an import does that begins before the first commit."""
    lines = orders()
    first = record(repo, of(lines), at=day(20))
    old = record(repo, of(changed(lines, seed=4)), at=day(10))
    assert old.snapshot.parent is None
    assert old.stored_bytes < first.stored_bytes / 10


def test_a_marked_base_is_not_built_upon(repo: Repository) -> None:
    lines = orders(1500)
    record(repo, of(lines), at=day(1))
    for chunk in data_chunks(repo):
        for location in repo.index.locations([chunk])[chunk]:
            repo.index.mark_damaged(location.pack, [location.offset], readable=True)
    before = set(data_chunks(repo))
    record(repo, of(changed(lines, seed=1)), at=day(2))
    for chunk in set(data_chunks(repo)) - before:
        assert chain(repo, chunk) == [0]


def test_a_base_that_cannot_be_read_makes_the_chunk_plain(repo: Repository) -> None:
    lines = orders(1500)
    record(repo, of(lines), at=day(1))
    before = set(data_chunks(repo))
    for pack in (repo.path / "packs").glob("*/*"):
        data = bytearray(pack.read_bytes())
        data[100:5000] = bytes(4900)
        pack.chmod(0o600)
        pack.write_bytes(data)
    second = record(repo, of(changed(lines, seed=1)), at=day(2))
    new = set(data_chunks(repo)) - before
    assert new
    assert {tuple(chain(repo, chunk)) for chunk in new} == {(0,)}
    assert second.recorded


def test_new_rows_are_not_stored_as_deltas_that_save_nothing(repo: Repository) -> None:
    lines = orders()
    record(repo, of(lines), at=day(1))
    record(repo, of(lines + rows(4000, seed=77, width=200)), at=day(2))
    codecs = repo.index.query("SELECT codec, count(*) FROM chunks WHERE kind = 0 GROUP BY codec")
    assert dict(codecs)[Codec.ZSTD] >= 3


def test_a_changed_chunk_in_a_long_recipe_costs_little(repo: Repository) -> None:
    repo.config = replace(repo.config, chunker=ChunkerParams(4096, 16_384, 65_536))
    lines = rows(6000, seed=8, width=1000)
    record(repo, of(lines), at=day(1))
    lines[3000] = lines[3000][:-4] + b"abcd"
    second = record(repo, of(lines), at=day(2))
    nodes = repo.index.query(
        "SELECT frame_bytes FROM chunks WHERE kind = ? AND codec = ?",
        (ChunkKind.RECIPE, Codec.ZSTD_DELTA),
    )
    assert nodes
    assert second.stored_bytes < 4000


def test_windows_follow_a_section_that_is_larger_than_what_is_held(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases, "BASES_HELD_MAX", 40)
    lines = orders(160_000)
    first = record(repo, of(lines), at=day(1))
    second = record(repo, of(changed(lines, seed=1)), at=day(2))
    assert second.stored_bytes < first.stored_bytes / 20
