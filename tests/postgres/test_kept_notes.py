"""Kept databases in `snap log`, by notes alone: what comes, goes, and never was."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pgsnap.errors import RestoreFailed, TargetRefused
from pgsnap.model import Note
from pgsnap.repository import layout
from pgsnap.repository.repository import Repository
from pgsnap.targets.swap import swap as swapping
from pgsnap.workflows.history.log import kept
from pgsnap.workflows.restore import restore as restoring
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from pgsnap.workflows.undo.undo import discard, plan_discard, plan_undo, undo
from support.faults.damaging import flip
from support.restoring.clients import (
    LABEL,
    commit_database,
    databases_like,
    restore_now,
    server_of,
)
from support.running.commandline import CommandLine
from support.servers.databases import Database


@pytest.fixture
def shop(database: Database) -> Database:
    database.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    return database


def names(repo: Repository) -> list[str]:
    return [entry.name for entry in kept(repo, database=LABEL)]


def test_the_notes_follow_restore_undo_and_discard(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    assert names(repo) == []
    first = restore_now(repo, snapshot, server).kept
    (entry,) = kept(repo, database=None)
    assert (entry.name, entry.live, entry.action) == (first, shop.name, "restore")
    assert entry.size_bytes is not None
    assert entry.size_bytes > 1_000_000
    assert kept(repo, database="other") == []
    second = undo(repo, plan_undo(repo, server, LABEL), server).kept
    assert names(repo) == [second]
    # With nothing there to be replaced, an undo keeps nothing.
    shop.cluster.drop_database(shop.name)
    undo(repo, plan_undo(repo, server, LABEL), server)
    assert names(repo) == []
    third = restore_now(repo, snapshot, server).kept
    fourth = restore_now(repo, snapshot, server, RestoreOptions(discard_old=True)).kept
    assert third != fourth
    assert names(repo) == [fourth]
    discard(repo, server, LABEL)
    assert names(repo) == []


def test_a_database_that_was_dropped_by_hand_is_shown_until_the_next_restore(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    first = restore_now(repo, snapshot, server).kept
    assert first is not None
    shop.cluster.drop_database(first)
    assert names(repo) == [first]
    second = restore_now(repo, snapshot, server).kept
    assert names(repo) == [second]


def test_a_swap_that_fails_keeps_nothing(
    repo: Repository, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    broken = swapping.swap_message

    def failing(renames: object, statements: object) -> str:
        return broken(renames, statements) + "; SELECT 1/0"  # type: ignore[arg-type]

    def never(renames: object, statements: object) -> str:
        return "SELECT 1/0; " + broken(renames, statements)  # type: ignore[arg-type]

    monkeypatch.setattr(swapping, "swap_message", never)
    with pytest.raises(RestoreFailed):
        restore_now(repo, snapshot, server)
    assert names(repo) == []
    assert [note.body["why"] for note in repo.notes("discarded")] == ["never made"]
    # An error after the renames were committed is no proof of anything: the server is asked.
    monkeypatch.setattr(swapping, "swap_message", failing)
    with pytest.raises(RestoreFailed):
        restore_now(repo, snapshot, server)
    assert len(names(repo)) == 1
    monkeypatch.undo()
    before = names(repo)
    monkeypatch.setattr(swapping, "swap_message", never)
    with pytest.raises(RestoreFailed):
        undo(repo, plan_undo(repo, server, LABEL), server)
    assert names(repo) == before


def test_one_damaged_note_is_told_and_stops_neither_undo_nor_restore(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    first = restore_now(repo, snapshot, server).kept
    assert first is not None
    (damaged,) = (repo.path / layout.NOTES / "swapped").iterdir()
    second = restore_now(repo, snapshot, server, RestoreOptions(discard_old=True)).kept
    assert second != first
    flip(damaged, 60)
    plan = plan_undo(repo, server, LABEL)
    assert plan.kept.name == second
    for warnings in (
        plan.warnings,
        plan_restore(repo, snapshot, server, RestoreOptions()).warnings,
    ):
        assert [text for text in warnings if damaged.name in text and "damaged" in text]
    undo(repo, plan, server)
    assert names(repo) != []
    assert restoring.restore(
        repo, plan_restore(repo, snapshot, server, RestoreOptions(discard_old=True)), server
    ).kept


def test_log_shows_them_below_the_snapshots(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    shop: Database,
) -> None:
    snap = CommandLine(tmp_path, monkeypatch, capfd)
    snap.setenv("DATABASE_URL", shop.dsn)
    snap.ok("init")
    snap.ok("commit", "-m", "one", "--tag", "one")
    assert "kept" not in snap.ok("log").out
    found = snap.ok("restore", "one", "--yes", "--json").json["kept"]
    # No server is asked.
    snap.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")
    *_, last, advice = snap.ok("log").out.splitlines()
    assert last.startswith(f"kept: {found}  replaced just now  ")
    assert last.endswith(" MB")
    assert advice == "      put back: snap undo --whole  drop: snap undo --discard"
    short = snap.ok("log", "--oneline")
    assert len(short.out.splitlines()) == 1
    assert f"kept: {found}" in short.err
    entries = snap.ok("log", "--json").json
    assert [len(entry["kept"]) for entry in entries] == [1, 0]
    assert entries[0]["kept"][0]["name"] == found
    assert entries[0]["kept"][0]["bytes"] > 1_000_000


def test_a_plan_names_an_unknown_kept_database_of_its_own_alone(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    own, other = (f"{name}__snap_kept_0123456789" for name in (shop.name, "other"))
    for name in (own, other):
        shop.cluster.create_database(name)
    try:
        told = " ".join(plan_restore(repo, snapshot, server, RestoreOptions()).warnings)
    finally:
        for name in (own, other):
            shop.cluster.drop_database(name)
    assert own in told
    assert other not in told


@pytest.mark.parametrize("ending", ["", "__snap_kept_0123456789", "__snap_0123456789"])
def test_a_note_that_somebody_else_wrote_has_no_other_database_put_back_or_dropped(
    repo: Repository, shop: Database, ending: str
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    other = f"billing_{shop.name}{ending}"
    shop.cluster.create_database(other)
    Database(shop.cluster, other).psql("CREATE TABLE t (a int)")
    try:
        body = {"action": "restore", "live": shop.name, "kept": other, "safety": snapshot.hex()}
        repo.add_note(Note("swapped", LABEL, datetime.now(UTC), snapshot, body))
        assert names(repo) == []
        for plan in (plan_undo, plan_discard):
            with pytest.raises(TargetRefused, match="no kept database"):
                plan(repo, server, LABEL)
        with pytest.raises(TargetRefused, match="is not kept"):
            discard(repo, server, LABEL, name=other)
        options = RestoreOptions(discard_old=True)
        told = plan_restore(repo, snapshot, server, options).warnings
        assert [text for text in told if other in text and "somebody else" in text]
        for _ in range(2):
            restore_now(repo, snapshot, server, options)
        assert databases_like(shop, other.replace("_", "\\_")) == [other]
        assert len(names(repo)) == 1
    finally:
        shop.cluster.drop_database(other)
