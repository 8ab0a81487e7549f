"""A checkpoint that the server makes while a restore does something else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from pgsnap.errors import ConnectionFailed, QueryFailed
from pgsnap.workflows.restore.ready import early_checkpoint
from pgsnap.workflows.restore.ready.early_checkpoint import checkpoint_meanwhile


class Sessions:
    """Counts what is open, and notes what is executed; *held* is waited for by each statement."""

    def __init__(self) -> None:
        self.open = 0
        self.done: list[str] = []
        self.held = threading.Event()
        self.fails = False

    @contextmanager
    def connect(self) -> Iterator[Any]:
        self.open += 1
        yield SimpleNamespace(execute=self._execute)
        self.open -= 1

    def _execute(self, sql: str) -> None:
        assert self.held.wait(20)
        if self.fails:
            self.open -= 1
            raise QueryFailed("not now")
        self.done.append(sql)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Sessions:
    monkeypatch.setattr(early_checkpoint, "best_way", lambda _: SimpleNamespace(method="files"))
    return Sessions()


def test_it_runs_beside_the_block_and_is_waited_for(sessions: Sessions) -> None:
    with checkpoint_meanwhile(sessions.connect):
        assert sessions.done == []
        sessions.held.set()
    assert (sessions.done, sessions.open) == (["CHECKPOINT"], 0)


def test_none_is_requested_where_changes_cannot_be_told(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_checkpoint, "best_way", lambda _: SimpleNamespace(method=None))
    sessions.held.set()
    with checkpoint_meanwhile(sessions.connect):
        pass
    assert (sessions.done, sessions.open) == ([], 0)


def test_what_goes_wrong_there_is_no_error_of_the_restore(sessions: Sessions) -> None:
    sessions.fails = True
    sessions.held.set()
    with checkpoint_meanwhile(sessions.connect):
        pass
    assert (sessions.done, sessions.open) == ([], 0)

    def refused() -> Any:
        raise ConnectionFailed("no connection left")

    with checkpoint_meanwhile(refused):
        pass


def test_an_error_of_the_block_waits_for_nothing(sessions: Sessions) -> None:
    with pytest.raises(QueryFailed), checkpoint_meanwhile(sessions.connect):
        raise QueryFailed("ANALYZE failed")
    sessions.held.set()
