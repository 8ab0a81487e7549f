"""Snapshots of which only changed blocks were read have no digest of all bytes, and are checked and
compared all the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.errors import CorruptionError
from pgsnap.format.sections import SectionTable
from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import SectionKind, SnapshotId, same_contents
from pgsnap.repository.chunks.ingest import Ingest
from pgsnap.repository.repository import Repository
from pgsnap.workflows.commit.commit import CommitReport
from pgsnap.workflows.diff.diff import diff
from pgsnap.workflows.history.cat import cat
from support.dumps.scripted import Dump, ScriptedSource, dump, rows, table
from support.repositories.made import day, make, record


def version(number: int) -> Dump:
    lines = rows(8_000, seed=5, width=200)
    lines[4000] = b"4000\tnumber %d" % number
    return dump(table("public", "orders", lines), table("public", "small", lines[:5]))


def stripped(
    repo: Repository, made: CommitReport, number: int, *, digest: bool = False, leaf: bool = False
) -> SnapshotId:
    """Publish a snapshot again, the large table without its *digest*, or all without their *leaf*
    digests, as an older version stored it."""
    table_of = SectionTable(repo.chunks.scheme.piece_naming)
    for section in repo.sections(made.snapshot):
        if leaf:
            section = replace(section, leaf_digest=None, leaves=None)
        elif digest and section.digest != section.leaf_digest:
            section = replace(section, digest=None)
        table_of.add(section)
    with Ingest(repo.chunk_store) as ingest:
        root = ingest.store_table(table_of)
    snapshot = replace(
        made.snapshot,
        time=day(number),
        root=table_of.roots.root,
        leaf_root=table_of.roots.leaf_root,
        sections_recipe=root,
    )
    return repo.publish(snapshot)[0]


def without_digest(repo: Repository, made: CommitReport, number: int) -> SnapshotId:
    return stripped(repo, made, number, digest=True)


def test_one_without_digest_is_checked_by_its_leaves(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "r")) as repo:
        made = record(repo, version(1), at=day(1))
        found = without_digest(repo, made, 2)
        snapshot = repo.snapshot(found)
        assert snapshot.root is None
        assert snapshot.leaf_root == made.snapshot.leaf_root is not None
        assert b"".join(cat(repo, found)) == b"".join(cat(repo, made.snapshot_id))
        assert verify(repo, data=True).findings == ()


def test_a_wrong_leaf_digest_is_damage(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "r")) as repo:
        made = record(repo, version(1), at=day(1))
        table_of = SectionTable(repo.chunks.scheme.piece_naming)
        for section in repo.sections(made.snapshot):
            if section.name.name == "orders":
                section = replace(section, digest=None, leaf_digest=bytes(32))
            table_of.add(section)
        with Ingest(repo.chunk_store) as ingest:
            root = ingest.store_table(table_of)
        roots = table_of.roots
        wrong, _ = repo.publish(
            replace(
                made.snapshot,
                time=day(2),
                root=roots.root,
                leaf_root=roots.leaf_root,
                sections_recipe=root,
            )
        )
        with pytest.raises(CorruptionError):
            b"".join(cat(repo, wrong))
        (damage,) = verify(repo, data=True).findings
        assert (damage.kind, damage.name) == ("section", "data public.orders")
        assert damage.snapshots == (wrong,)


def test_those_with_no_digest_in_common_are_compared_by_reading(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "r")) as repo:
        first, second = (record(repo, version(n), at=day(n)) for n in (1, 2))
        older = stripped(repo, first, 3, leaf=True)
        same, changed = (
            without_digest(repo, made, number) for number, made in ((4, first), (5, second))
        )
        before, after = repo.snapshot(older), repo.snapshot(same)
        assert same_contents(before, after) is None
        assert same_contents(first.snapshot, after) is True
        assert same_contents(second.snapshot, after) is False
        assert not diff(repo, older, same).contents_differ
        assert not diff(repo, same, first.snapshot_id).contents_differ
        for one, other in ((older, changed), (same, changed), (changed, older)):
            report = diff(repo, one, other)
            ((name, counts),) = [
                (found.table, (found.removed, found.added)) for found in report.tables
            ]
            assert (name, counts) == (("public", "orders"), (1, 1))
            assert not report.before.digest(SectionKind.GLOBALS)


def test_one_without_digest_is_compared_with_a_source_by_its_leaves(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "r")) as repo:
        made = record(repo, version(1), at=day(1))
        found = without_digest(repo, made, 2)
        assert not diff(repo, found, ScriptedSource(version(1))).contents_differ
        report = diff(repo, found, ScriptedSource(version(2)))
        assert [(one.removed, one.added) for one in report.tables] == [(1, 1)]


def test_a_commit_after_one_without_digest_finds_that_nothing_changed(tmp_path: Path) -> None:
    with Repository.open(make(tmp_path / "r")) as repo:
        made = record(repo, version(1), at=day(1))
        found = without_digest(repo, made, 2)
        again = record(repo, version(1), skip_unchanged=True)
        assert (again.recorded, again.snapshot_id) == (False, found)
        assert record(repo, version(2), skip_unchanged=True).recorded
