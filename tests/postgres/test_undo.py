"""Undo on a real server: the replaced database comes back, and that can be undone too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pgsnap.errors import Interrupted, RestoreFailed, TargetRefused
from pgsnap.repository.repository import Repository
from pgsnap.targets.swap import swap as swapping
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from pgsnap.workflows.restore.restore import _Restore, restore
from pgsnap.workflows.undo.undo import discard, kept_databases, plan_undo, undo
from support.restoring.clients import (
    LABEL,
    commit_database,
    databases_like,
    restore_now,
    server_of,
    tables_now,
)
from support.servers.databases import Database


@pytest.fixture
def shop(database: Database) -> Iterator[Database]:
    database.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
    yield database
    for name in databases_like(database, "%\\_\\_snap\\_%"):
        database.cluster.drop_database(name)


def value(database: Database) -> str:
    return database.psql("SELECT a FROM t")


def test_undo_puts_the_replaced_database_back_and_is_itself_undone(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    shop.psql(f"UPDATE t SET a = 2; ALTER DATABASE \"{shop.name}\" SET work_mem = '7MB'")
    restore_now(repo, snapshot, server)
    assert value(shop) == "1"
    safety: list[bytes] = []

    def record() -> bytes:
        safety.append(commit_database(repo, server, "safety"))
        return safety[-1]

    report = undo(repo, plan_undo(repo, server, LABEL), server, safety=record)
    assert value(shop) == "2"
    assert shop.psql("SHOW work_mem") == "7MB"
    assert report.safety == safety[0]
    (kept,) = kept_databases(repo, server, LABEL)
    assert (kept.name, kept.action, kept.safety) == (report.kept, "undo", safety[0])
    undo(repo, plan_undo(repo, server, LABEL), server)
    assert value(shop) == "1"
    assert len(databases_like(shop, "%\\_\\_snap\\_%")) == 1


def test_undo_gives_the_name_back_when_the_live_database_is_gone(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    restore_now(repo, snapshot, server)
    shop.cluster.drop_database(shop.name)
    plan = plan_undo(repo, server, LABEL)
    assert plan.live is None
    assert undo(repo, plan, server).kept is None
    assert value(shop) == "1"


def test_discard_drops_the_kept_database_and_notes_it(repo: Repository, shop: Database) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    kept = restore_now(repo, snapshot, server).kept
    report = discard(repo, server, LABEL)
    assert report.name == kept
    assert report.size_bytes
    assert databases_like(shop, "%\\_\\_snap\\_%") == []
    (note,) = repo.notes("discarded", LABEL)
    assert note.body["kept"] == kept
    with pytest.raises(TargetRefused, match="no kept database"):
        plan_undo(repo, server, LABEL)
    with pytest.raises(TargetRefused, match="no kept database"):
        discard(repo, server, LABEL)


def test_an_undo_whose_databases_changed_after_the_plan_does_nothing(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    restore_now(repo, snapshot, server)
    plan = plan_undo(repo, server, LABEL)
    shop.cluster.drop_database(plan.kept.name)
    with pytest.raises(RestoreFailed, match="not what they were"):
        undo(repo, plan, server)
    assert value(shop) == "1"


def test_undo_and_discard_are_never_about_another_database_than_the_dsn_names(
    repo: Repository, shop: Database
) -> None:
    """Two databases of one server may stand under one label."""
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    kept = restore_now(repo, snapshot, server).kept
    other = server_of(Database(shop.cluster, "postgres"))
    assert kept_databases(repo, other, LABEL) == ()
    with pytest.raises(TargetRefused, match="no kept database") as caught:
        plan_undo(repo, other, LABEL)
    assert shop.name in caught.value.hint
    with pytest.raises(TargetRefused, match="no kept database"):
        discard(repo, other, LABEL)
    assert databases_like(shop, "%\\_\\_snap\\_%") == [kept]


@contextmanager
def told_to_end() -> Iterator[None]:
    """Services whose start is interrupted."""
    yield
    raise KeyboardInterrupt


def test_a_signal_as_services_start_again_says_that_it_is_done_already(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    snapshot = commit_database(repo, server)
    shop.psql("UPDATE t SET a = 2")
    plan = plan_restore(repo, snapshot, server, RestoreOptions())
    with pytest.raises(Interrupted, match="renamed already") as told:
        restore(repo, plan, server, aside=told_to_end)
    assert "snap undo" in told.value.hint
    assert value(shop) == "1"
    with pytest.raises(Interrupted, match="renamed already"):
        undo(repo, plan_undo(repo, server, LABEL), server, aside=told_to_end)
    assert value(shop) == "2"
    (kept,) = kept_databases(repo, server, LABEL)
    assert kept.action == "undo"


def test_a_signal_right_behind_the_swap_says_that_it_is_done_already(
    repo: Repository, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who runs an undo again that was done takes it back."""

    def interrupted(*words: object, **more: object) -> None:
        raise KeyboardInterrupt

    server = server_of(shop)
    snapshot = commit_database(repo, server)
    shop.psql("UPDATE t SET a = 2")
    # In the block that ends the swap's own sessions.
    real = swapping._end_backends_until_done

    def late(*words: Any) -> None:
        real(*words)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(swapping, "_end_backends_until_done", late)
        plan = plan_restore(repo, snapshot, server, RestoreOptions())
        with pytest.raises(Interrupted, match="already"):
            restore(repo, plan, server)
    assert value(shop) == "1"
    # As its own session is closed.
    whole = _Restore._swap

    def swap_and_be_interrupted(*words: Any) -> None:
        whole(*words)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_Restore, "_swap", swap_and_be_interrupted)
        plan = plan_restore(repo, snapshot, server, RestoreOptions(discard_old=True))
        with pytest.raises(Interrupted, match="done already"):
            restore(repo, plan, server)
    discard(repo, server, LABEL)
    with monkeypatch.context() as patch:
        patch.setattr("pgsnap.workflows.undo.undo.note_end", interrupted)
        with pytest.raises(Interrupted, match="renamed already"):
            undo(repo, plan_undo(repo, server, LABEL), server)
    assert value(shop) == "2"


def test_a_swap_that_a_signal_left_in_doubt_is_asked_of_the_server(
    repo: Repository, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = swapping.swap

    def swap_and_be_interrupted(*words: Any, **more: Any) -> None:
        real(*words, **more)
        raise KeyboardInterrupt

    server = server_of(shop)
    snapshot = commit_database(repo, server)
    shop.psql("UPDATE t SET a = 2")
    monkeypatch.setattr(swapping, "swap", swap_and_be_interrupted)
    with pytest.raises(Interrupted, match="renamed already"):
        restore(repo, plan_restore(repo, snapshot, server, RestoreOptions()), server)
    assert value(shop) == "1"


def test_tables_that_were_restored_by_themselves_since_are_told_before_the_whole_is_undone(
    repo: Repository, shop: Database
) -> None:
    server = server_of(shop)
    shop.psql("CREATE TABLE x__replaced_2099 (); CREATE TABLE x__replaced_99999999_999999_999 ()")
    snapshot = commit_database(repo, server)
    tables_now(repo, snapshot, server, "t", replace=True)
    before = commit_database(repo, server)
    restore_now(repo, before, server)
    assert plan_undo(repo, server, LABEL, with_safety=True).warnings == ()
    tables_now(repo, snapshot, server, "t", replace=True)
    later = shop.psql("SELECT max(relname) FROM pg_class WHERE relname LIKE 't\\_\\_replaced%'")
    (told,) = plan_undo(repo, server, LABEL, with_safety=True).warnings
    assert told.startswith("tables were restored by themselves since then")
    assert told.endswith(f"still there, as public.{later.strip()}")
