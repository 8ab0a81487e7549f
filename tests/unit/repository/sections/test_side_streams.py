"""Side streams travel with their snapshots, and no snapshot needs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.errors import CorruptionError
from pgsnap.format.baseline import encode_baseline
from pgsnap.maintenance.reindex import reindex
from pgsnap.maintenance.repair.repair import repair
from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import ChunkId, RecipeRoot, Section
from pgsnap.repository import layout
from pgsnap.repository.chunks.recipes import walk
from pgsnap.repository.repository import Repository
from pgsnap.repository.sections.leaf_lists import leaves_of
from pgsnap.repository.sections.side_streams import read_baseline, read_block_map
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy
from pgsnap.workflows.sync.transfer import transfer
from support.documents.values import BASELINE
from support.dumps.scripted import Dump, dump, rows, table, texts
from support.repositories.collecting import AT_ONCE
from support.repositories.encrypted import make_encrypted, opened
from support.repositories.made import day, make, record


def version(number: int) -> Dump:
    lines = rows(8_000, seed=5, width=200)
    lines[4000 : 4000 + number] = [b"%d\tchanged" % number] * number
    made = dump(table("public", "orders", lines, rows_in_block=30))
    return Dump(made.parts, made.volatile, made.origin, BASELINE)


def orders(repo: Repository, number: int = -1) -> Section:
    """Return the table's section in the n-th snapshot."""
    snapshot = repo.snapshot(repo.newest("shop")[::-1][number])
    return next(s for s in repo.sections(snapshot) if s.name.name == "orders")


def sides_are_there(repo: Repository, number: int, changed: int) -> bool:
    """Return whether all side streams of the n-th snapshot are read as they were stored."""
    snapshot = repo.snapshot(repo.newest("shop")[::-1][number])
    section = orders(repo, number)
    return (
        read_baseline(repo.chunks, snapshot) == encode_baseline(BASELINE)
        and read_block_map(repo.chunks, section) == version(changed).parts[2].end.block_map
        and sum(leaf.plain_bytes for leaf in leaves_of(repo.chunks, section)) == section.plain_bytes
    )


def chunks_of(repo: Repository, root: RecipeRoot | None) -> list[ChunkId]:
    assert root is not None
    return [entry.chunk for entry in walk(root, repo.chunks.read)]


def damage(path: Path, repo: Repository, root: RecipeRoot | None) -> None:
    """Damage the frames of a side stream."""
    for chunk in chunks_of(repo, root):
        for location in repo.index.locations([chunk])[chunk]:
            file = path / layout.pack_name(location.pack)
            data = bytearray(file.read_bytes())
            data[location.offset + location.frame.frame_bytes // 2] ^= 0xFF
            file.chmod(0o600)
            file.write_bytes(data)


SIDES: dict[str, Callable[[Section], RecipeRoot | None]] = {
    "leaves": lambda section: section.leaves,
    "block map": lambda section: section.block_map,
}


def test_a_change_adds_little_to_them(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "r")) as repo:
        record(repo, version(0), at=day(1))
        record(repo, version(3), at=day(2))
        assert sides_are_there(repo, 0, 0)
        assert sides_are_there(repo, 1, 3)
        first, second = orders(repo, 0), orders(repo, 1)
        assert first.leaves != second.leaves
        assert first.block_map != second.block_map
        assert sum(repo.frame_sizes(chunks_of(repo, second.block_map)).values()) < 400


def test_a_gc_keeps_them_and_a_reindex_finds_them(tmp_path: Path) -> None:
    path = make(tmp_path / "r")
    with Repository.open(path) as repo:
        for number in range(3):
            record(repo, version(number), at=day(number + 1))
    with Repository.open(path, alone=True) as repo:
        gc(repo, Policy(last=2), grace=AT_ONCE)
    for file in path.glob("index.sqlite*"):
        file.unlink()
    reindex(path)
    with Repository.open(path) as repo:
        assert sides_are_there(repo, 0, 1)
        assert sides_are_there(repo, 1, 2)
        assert verify(repo, data=True).findings == ()


def test_they_travel_also_to_other_keys_and_back(tmp_path: Path) -> None:
    plain, other = make(tmp_path / "plain"), make_encrypted(tmp_path / "encrypted")
    back = make(tmp_path / "back")
    with Repository.open(plain) as source, opened(other) as target, Repository.open(back) as third:
        record(source, version(0), at=day(1))
        record(source, version(2), at=day(2))
        transfer(source, target)
        transfer(target, third)
        for repo in (target, third):
            assert sides_are_there(repo, 0, 0)
            assert sides_are_there(repo, 1, 2)
            assert verify(repo, data=True).findings == ()
        assert third.newest("shop") == source.newest("shop")


@pytest.mark.parametrize("which", SIDES)
def test_a_damaged_one_is_a_finding_of_its_own_and_hurts_no_snapshot(
    which: str, tmp_path: Path
) -> None:
    path, copy = make(tmp_path / "r"), make(tmp_path / "copy")
    with Repository.open(path) as repo:
        record(repo, version(0), at=day(1))
        with Repository.open(copy) as other:
            transfer(repo, other)
        damage(path, repo, SIDES[which](orders(repo)))
    with Repository.open(path) as repo:
        found = verify(repo, data=True)
        assert {finding.kind for finding in found.findings} == {"pack", "side-stream"}
        (side,) = [finding for finding in found.findings if finding.kind == "side-stream"]
        assert (side.name, len(side.snapshots)) == ("data public.orders", 1)
        assert "The dump itself is whole" in side.problem
        # The verdict is about what a restore needs.
        assert repo.notes("verdict")[-1].body["findings"] == 0
        assert texts(repo, repo.newest("shop")[0]) == version(0).texts
        assert read_block_map(repo.chunks, orders(repo)) is None or which != "block map"
    # It takes what is sound out of the damaged pack.
    repair(path)
    with Repository.open(path, alone=True) as repo:
        gc(repo, Policy(last=5), grace=AT_ONCE)
        assert {finding.kind for finding in verify(repo).findings} == {"side-stream"}
        assert texts(repo, repo.newest("shop")[0]) == version(0).texts
    repair(path, source=copy)
    with Repository.open(path) as repo:
        assert verify(repo, data=True).findings == ()
        assert sides_are_there(repo, 0, 0)


def test_a_damaged_one_is_stored_again_by_the_next_commit_that_reads_everything(
    tmp_path: Path,
) -> None:
    path = make(tmp_path / "r")
    with Repository.open(path) as repo:
        record(repo, version(0), at=day(1))
        damage(path, repo, orders(repo).block_map)
    with Repository.open(path) as repo:
        verify(repo, data=True)
        record(repo, version(0), at=day(2))
        assert {one.kind for one in verify(repo).findings} <= {"pack"}
        assert sides_are_there(repo, 0, 0)


def test_a_list_of_leaves_of_another_text_is_not_taken(tmp_path: Path) -> None:
    """What its chunks say is sound, yet not of this section."""
    with Repository.open(make(tmp_path / "r")) as repo:
        record(repo, version(0), at=day(1))
        record(repo, version(3), at=day(2))
        first, second = orders(repo, 0), orders(repo, 1)
        mixed = replace(second, leaves=first.leaves)
        with pytest.raises(CorruptionError):
            list(leaves_of(repo.chunks, mixed))
        unlisted = replace(second, leaves=None)
        assert list(leaves_of(repo.chunks, unlisted)) == list(leaves_of(repo.chunks, second))
