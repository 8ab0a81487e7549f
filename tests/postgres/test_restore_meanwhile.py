"""What goes on beside a load, and while statistics are gathered."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.sources.changes.ways import Way, best_way
from pgsnap.targets.load.analyzing import analyze
from pgsnap.targets.load.feeder import is_load_idle
from pgsnap.targets.naming import application_name
from pgsnap.workflows.restore.plan import RestoreOptions
from support.restoring.clients import commit_database, restore_now, server_of
from support.servers.databases import Database


def test_a_load_is_not_stuck_while_one_of_its_sessions_works(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgsnap.targets.load.feeder.STUCK_AFTER_SECONDS", 0)
    server, name = server_of(database), application_name("stuck")
    works = threading.Thread(
        target=lambda: database.psql(f"SET application_name = '{name}'; SELECT pg_sleep(3)")
    )
    with server.connect() as looking, server.connect(database.name, name) as waiting:
        waiting.query("SELECT 1")
        time.sleep(0.05)
        assert is_load_idle(looking, "stuck", database.name)
        works.start()
        active = (
            f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{name}' AND state = 'active'"
        )
        while not looking.query(active):
            time.sleep(0.01)
        assert not is_load_idle(looking, "stuck", database.name)
        works.join()
        assert not is_load_idle(looking, "another", database.name)


def test_the_checkpoint_for_the_next_commit_is_made_while_statistics_are_gathered(
    repo: Repository, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    begun = threading.Event()

    def noted(session: Session) -> Way:
        asked.append(session.query("SELECT current_database()")[0][0] or "")
        begun.set()
        return best_way(session)

    def waiting(*args: Any, **options: Any) -> tuple[str, ...]:
        assert begun.wait(20)
        return analyze(*args, **options)

    monkeypatch.setattr("pgsnap.workflows.restore.ready.early_checkpoint.best_way", noted)
    server = server_of(database)
    database.psql("CREATE TABLE items AS SELECT generate_series(1, 9000) id")
    snapshot = commit_database(repo, server)
    restore_now(repo, snapshot, server, RestoreOptions(discard_old=True))
    assert asked == []
    monkeypatch.setattr("pgsnap.workflows.restore.filling.analyze", waiting)
    restore_now(repo, snapshot, server, RestoreOptions(discard_old=True, baseline=True))
    assert asked == [server.maintenance_database()]
    assert database.psql("SELECT count(*) FROM items").strip() == "9000"
