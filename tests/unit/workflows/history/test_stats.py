"""What stats counts: compared with sets on repositories made by hand, and with the files."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from pgsnap.errors import CorruptionError
from pgsnap.model import ChunkKind
from pgsnap.repository.chunks.usage import Usage
from pgsnap.repository.repository import Repository
from pgsnap.workflows.history.stats import StatsReport, TablesReport, stats, stats_by_table
from pgsnap.workflows.history.tag import set_tag
from support.dumps.scripted import shop
from support.repositories.handmade import Handmade, Tree, name_of
from support.repositories.made import record


def text(seed: int, size: int = 600) -> bytes:
    return random.Random(seed).randbytes(size // 2).hex().encode() + b"\n"


def counted(path: Path) -> StatsReport:
    with Repository.open(path) as repo:
        return stats(repo)


def tables(path: Path, database: str = "shop", snapshot: bytes | None = None) -> TablesReport:
    with Repository.open(path) as repo:
        return stats_by_table(repo, database, snapshot_id=snapshot)


def freed(path: Path) -> dict[bytes, int]:
    return {row.snapshot_id: row.freed_bytes for row in counted(path).snapshots}


def lists(made: Handmade, number: int) -> int:
    """Return the bytes of the lists that one snapshot alone needs."""
    others = set().union(*(needs for n, needs in enumerate(made.needs) if n != number))
    return sum(
        frame.frame_bytes
        for frame, _ in made.frames
        if frame.kind is not ChunkKind.DATA and frame.chunk in made.needs[number] - others
    )


def test_dropping_a_snapshot_frees_what_it_alone_needs_and_no_base_of_another(path: Path) -> None:
    made = Handmade(path)
    base, own, shared, orphan = (made.chunk(text(seed)) for seed in range(4))
    derived = made.delta(base.replace(b"a", b"b", 1), base, 1)
    first = made.snapshot({"t": [base, own, shared]})
    second = made.snapshot({"t": [derived, shared]})
    made.write()
    report = counted(path)
    found = {row.snapshot_id: row.freed_bytes for row in report.snapshots}
    assert found[made.made[first]] == made.size(own) + lists(made, first)
    assert found[made.made[second]] == made.size(derived) + lists(made, second)
    assert report.unneeded_bytes == made.size(orphan)
    assert report.raw_bytes == sum(map(len, (base, own, shared, derived, shared)))
    assert report.unique_bytes == sum(map(len, (base, own, shared, derived)))
    assert report.data_bytes == made.size(base, own, shared, orphan, derived)


def test_a_forgotten_snapshot_counts_as_another_until_it_is_gone(path: Path) -> None:
    made = Handmade(path)
    shared, own = made.chunk(text(1)), made.chunk(text(2))
    kept = made.snapshot({"t": [shared, own]})
    gone = made.snapshot({"t": [shared]})
    made.write()
    before = freed(path)
    with Repository.open(path) as repo:
        repo.forget(made.made[gone], by="test", reason="")
    assert freed(path) == before
    assert before[made.made[kept]] == made.size(own) + lists(made, kept)
    (row,) = (row for row in counted(path).snapshots if row.is_forgotten)
    assert row.snapshot_id == made.made[gone]
    assert tables(path).snapshots == 2


def test_of_a_chunk_with_several_frames_all_count_and_the_nearest_to_plain_is_followed(
    path: Path,
) -> None:
    made = Handmade(path)
    base, other = made.chunk(text(1)), made.chunk(text(2))
    derived = made.delta(base + b"x", other, 4)
    made.delta(derived, base, 1)
    snapshot = made.snapshot({"t": derived})
    made.write(frames_a_pack=1)
    report = counted(path)
    assert report.unneeded_bytes == made.size(other)
    assert freed(path) == {made.made[snapshot]: made.size(base, derived) + lists(made, snapshot)}
    assert report.chunks == len(made.sizes())


def random_repository(path: Path, seed: int) -> Handmade:
    """Return snapshots of two databases that share trees, nodes and chunks; some are deltas."""
    chance = random.Random(seed)
    made = Handmade(path)
    chunks: list[bytes] = []
    depths: dict[bytes, int] = {}
    for number in range(60):
        plain = text(seed * 1000 + number, 200 + number)
        bases = [chunk for chunk in chunks if depths[chunk] < 6]
        if bases and chance.random() < 0.6:
            base = chance.choice(bases)
            depths[plain] = depths[base] + chance.randint(1, 3)
            made.delta(plain, base, depths[plain])
        else:
            depths[plain] = 0
            made.chunk(plain)
        chunks.append(plain)
    nodes = [chance.sample(chunks, chance.randint(1, 5)) for _ in range(20)]
    trees: list[Tree] = [*chunks[:10], *nodes]
    trees += [chance.sample(nodes, chance.randint(1, 4)) for _ in range(6)]
    for number in range(8):
        names = chance.sample([f"t{n}" for n in range(12)], 4)
        made.snapshot(
            {name: chance.choice(trees) for name in names}, database=f"db{number // 2 % 2}"
        )
    made.write()
    return made


@pytest.mark.parametrize(("seed", "kept"), [(0, 0), (1, 40), *((n, None) for n in range(2, 6))])
def test_counts_are_those_of_sets_on_random_repositories(
    path: Path, seed: int, kept: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kept is not None:
        # As where there are too many lists to keep.
        monkeypatch.setattr("pgsnap.repository.chunks.usage._KEPT_MAX", kept)
    made = random_repository(path, seed)
    sizes = made.sizes()
    plain = {f.chunk: f.chunk_bytes for f, _ in made.frames if f.kind is ChunkKind.DATA}
    needs = [made.closed(chunks) for chunks in made.needs]
    report = counted(path)

    def total(chunks: set[bytes]) -> int:
        return sum(sizes[chunk] for chunk in chunks)

    found = {row.snapshot_id: row.freed_bytes for row in report.snapshots}
    for number, snapshot in enumerate(made.made):
        others = set().union(*(n for place, n in enumerate(needs) if place != number))
        assert found[snapshot] == total(needs[number] - others)
    everything = set().union(*needs)
    assert report.unneeded_bytes == total(sizes.keys() - everything)
    listed = set().union(*made.needs)
    assert report.unique_bytes == sum(plain.get(chunk, 0) for chunk in listed)
    by_name: dict[str, set[bytes]] = {}
    for database, chunks in zip(made.databases, needs, strict=True):
        by_name.setdefault(database, set()).update(chunks)
    for row in report.databases:
        others = set().union(*(s for name, s in by_name.items() if name != row.database))
        assert row.stored_bytes == total(by_name[row.database])
        assert row.own_bytes == total(by_name[row.database] - others)
        of_tables = tables(path, row.database)
        assert sum(table.stored_bytes for table in of_tables.tables) == row.stored_bytes
    one = made.made[3]
    assert tables(path, made.databases[3], one).stored_bytes == total(needs[3])


def test_a_table_is_given_its_chunks_and_bases_once_and_its_versions_are_counted(
    path: Path,
) -> None:
    made = Handmade(path)
    old, shared, base, other = (made.chunk(text(seed)) for seed in range(4))
    new = made.delta(base + b"x", base, 1)
    made.snapshot({"users": [old, shared], "gone": other})
    made.snapshot({"users": [new, shared], "copy": shared})
    made.snapshot({"users": [new, shared], "copy": shared})
    made.write()
    report = tables(path)
    found = {table.name.name if table.name else "": table for table in report.tables}
    users, copy, gone = found["users"], found["copy"], found["gone"]
    assert (users.versions, copy.versions, gone.versions) == (2, 1, 1)
    assert (users.plain_bytes, gone.plain_bytes) == (len(new) + len(shared), None)
    assert gone.stored_bytes == made.size(other)
    nodes = sum(f.frame_bytes for f, _ in made.frames if f.kind is ChunkKind.RECIPE)
    both = made.size(old, shared, base, new) + nodes
    assert users.stored_bytes + copy.stored_bytes == both
    # It lists the shared chunk itself; the other table reaches it through a node.
    assert copy.stored_bytes == made.size(shared)
    costs = [table.stored_bytes for table in report.tables]
    assert costs == sorted(costs, reverse=True)


def test_a_list_that_snapshots_share_is_read_once(path: Path) -> None:
    made = Handmade(path)
    nodes = [[made.chunk(text(10 * n + m)) for m in range(3)] for n in range(4)]
    for _ in range(5):
        made.snapshot({"t": nodes, "u": nodes[:2]})
    made.snapshot({"t": nodes, "v": nodes[0]}, database="copy")
    made.write()
    with Repository.open(path) as repo:
        usage = Usage(repo)
        for number, snapshot in enumerate(made.made):
            usage.add([(number, repo.snapshot(snapshot).sections_recipe)], number // 5)
    kinds = [frame.kind for frame, _ in made.frames]
    assert usage.lists_read == len(kinds) - kinds.count(ChunkKind.DATA)


def test_the_total_is_what_du_says_of_the_files(path: Path) -> None:
    with Repository.open(path) as repo:
        made = record(repo, shop(2000)).snapshot_id
        record(repo, shop(300), database="other")
        set_tag(repo, "one", made)
        repo.forget(made, by="test", reason="")
        report = stats(repo)
        files = [file for file in path.rglob("*") if file.is_file()]
        said = subprocess.run(
            ["du", "--apparent-size", "--block-size=1", "--total", "--", *files],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
    found = report.footprint
    assert found.total == int(said.splitlines()[-1].split()[0])
    assert found.packs == sum(f.stat().st_size for f in (path / "packs").rglob("*") if f.is_file())
    assert min(found.packs, found.index, found.manifests, found.notes, found.tags) > 0
    assert found.packs == report.data_bytes + report.list_bytes + report.table_bytes
    assert 0 < report.table_bytes < 0.2 * found.packs


def test_a_missing_chunk_is_told_and_a_missing_list_is_damage(path: Path) -> None:
    made = Handmade(path)
    there, missing = made.chunk(text(1)), text(2)
    made.snapshot({"t": [there, missing]})
    made.write()
    assert counted(path).missing == 1
    (node,) = (name_of(plain) for plain in [there])
    made.frames = [pair for pair in made.frames if pair[0].chunk == node]
    for file in (path / "packs").rglob("*"):
        if file.is_file():
            file.unlink()
    made.write()
    with pytest.raises(CorruptionError):
        counted(path)


def test_an_empty_repository_takes_its_own_files(path: Path) -> None:
    report = counted(path)
    assert report.footprint.total > 0
    assert (report.raw_bytes, report.databases, report.snapshots) == (0, (), ())
