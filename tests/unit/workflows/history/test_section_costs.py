"""What `snap show` counts: compared with sets, and in how much memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from pgsnap.model import Section
from pgsnap.repository.repository import Repository
from pgsnap.workflows.history import section_costs
from support.dumps.scripted import all_chunks, dump, rows, table
from support.repositories.handmade import Handmade
from support.repositories.made import make, record


def chunks_of(repo: Repository, section: Section | None) -> set[bytes]:
    if section is None:
        return set()
    return all_chunks(repo, section)


def test_each_chunk_counts_once_and_is_new_where_the_parents_section_lacks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(section_costs, "_CHUNKS_AT_ONCE", 2)
    with Repository.open(make(tmp_path / "backups")) as repo:
        first = [table("public", "same", rows(60, seed=1)), table("public", "t", rows(60_000))]
        record(repo, dump(*first))
        lines = rows(60_000)
        changed = [*lines[:30_000], *rows(9, seed=3), *lines[30_000:]]
        second = [first[0], table("public", "t", changed), table("public", "more", lines)]
        made = record(repo, dump(*second))
        snapshot = repo.snapshot(made.snapshot_id)
        assert snapshot.parent is not None
        before = {s.name: s for s in repo.sections(repo.snapshot(snapshot.parent))}
        found = list(section_costs.section_costs(repo, snapshot))
        sections = list(repo.sections(snapshot))
        told = [(one.name, one.plain_bytes, one.rows, one.lines, one.digest) for one in found]
        assert told == [(s.name, s.plain_bytes, s.rows, s.lines, s.digest) for s in sections]
        for section, cost in zip(sections, found, strict=True):
            mine = chunks_of(repo, section)
            sizes = repo.index.frame_sizes(list(mine))
            had = chunks_of(repo, before.get(cost.name))
            assert cost.stored_bytes == sum(sizes.values())
            assert cost.new_bytes == sum(sizes[chunk] for chunk in mine - had)
        by_name = {cost.name.name: cost for cost in found}
        assert by_name["same"].new_bytes == 0
        assert 0 < by_name["t"].new_bytes < by_name["t"].stored_bytes
        assert by_name["more"].new_bytes == by_name["more"].stored_bytes


def test_a_table_of_any_size_takes_little_memory(tmp_path: Path) -> None:
    made = Handmade(tmp_path / "backups")
    make(made.path)
    # 60,000 chunks, of which only the lists are there: as of a table of 30 GB.
    leaves = [[b"%d" % number for number in range(n, n + 250)] for n in range(0, 60_000, 250)]
    made.snapshot({"t": leaves})
    made.write()
    with Repository.open(made.path) as repo:
        repo.catch_up_packs()
        snapshot = repo.snapshot(made.made[0])
        tracemalloc.start()
        try:
            (cost,) = section_costs.section_costs(repo, snapshot)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert cost.stored_bytes > 0
    assert peak < 8_000_000
