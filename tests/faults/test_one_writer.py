"""Stores that honour too few conditions take one writer at a time, and say so."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pgsnap.errors import ObjectExists, RepositoryLocked, StoreChanged, StoreError
from pgsnap.maintenance.repair.repair import repair
from pgsnap.repository.places import lease
from pgsnap.repository.places.remote import RemotePlace
from pgsnap.repository.places.turn import StoreTurn
from pgsnap.repository.repository import Repository
from pgsnap.sealing.wrapping_keys import KeyFile
from pgsnap.stores.one_writer import OneWriter
from pgsnap.workflows.history.tag import set_tag
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy
from support.repositories.collecting import sound_versions_in, version
from support.repositories.encrypted import unlocker
from support.repositories.keys import FIRST
from support.repositories.made import record
from support.servers.object_server import Fault, ObjectServer
from support.servers.object_stores import SERVERS, Running, aws_environ

KEEP_TWO = Policy(last=2)


@pytest.fixture(params=["localbucket", "nanio"])
def half(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    with SERVERS[request.param](tmp_path) as running:
        yield running


@pytest.fixture
def deaf() -> Iterator[tuple[ObjectServer, Running]]:
    """A server that ignores every condition."""
    with ObjectServer(if_none_match=False, if_match=False, delete_if_match=False) as server:
        yield server, Running(server.endpoint, aws_environ(server.endpoint))


def place(running: Running, prefix: str = "p") -> RemotePlace:
    return RemotePlace(running.url(prefix), running.store(prefix))


def opened(running: Running, *, timeout: float = 0.0, alone: bool = False) -> Repository:
    return Repository.open(place(running), lock_timeout_seconds=timeout, alone=alone)


def together(*tasks: Callable[[], object]) -> list[BaseException | None]:
    """Do all of *tasks* at once, each on a thread; return what each raised."""
    raised: list[BaseException | None] = [None] * len(tasks)
    barrier = threading.Barrier(len(tasks))

    def run(number: int) -> None:
        barrier.wait(60)
        try:
            tasks[number]()
        except Exception as error:  # noqa: BLE001 - it is what is asked for
            raised[number] = error

    threads = [threading.Thread(target=run, args=[number]) for number in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_two_writers_on_a_real_server_take_turns_and_nothing_is_lost(half: Running) -> None:
    Repository.create(place(half))

    def commit(number: int) -> None:
        with opened(half, timeout=60.0) as repo:
            assert repo.config.one_writer
            record(repo, version(number), message=str(number), tags=["newest"], force_tags=True)

    assert together(*[lambda n=n: commit(n) for n in range(4)]) == [None] * 4  # type: ignore[misc]
    with opened(half, timeout=60.0, alone=True) as repo:
        gc(repo, KEEP_TWO, grace=timedelta(0), pack_grace=timedelta(0))
    with opened(half) as repo:
        assert len(sound_versions_in(repo)) >= 2
        (tag,) = repo.tags.all()
        assert tag.snapshot in repo.newest(None)
    # All gave back their turns.
    assert list(half.store("p").list("turns/")) == []


def test_of_two_writers_at_once_one_goes_on_and_the_other_is_refused(
    deaf: tuple[ObjectServer, Running],
) -> None:
    server, running = deaf
    Repository.create(place(running))
    with opened(running) as first, opened(running) as second, opened(running) as reader:
        record(first, version(0), message="0")
        for write in (
            lambda: record(second, version(1), message="1"),
            lambda: opened(running, alone=True),
        ):
            with pytest.raises(RepositoryLocked) as caught:
                write()
            assert "takes one writer at a time" in caught.value.detail
            assert caught.value.exit_code == 11
        # Readers do not wait, and the first one goes on.
        assert reader.place.held_since() is not None
        record(first, version(2), message="2")
    with opened(running) as repo:
        assert sound_versions_in(repo) == {0, 2}
        record(repo, version(1), message="1")
    assert server.data("p/turns/") == {}


def test_of_many_that_come_at_once_never_do_two_have_the_turn(
    deaf: tuple[ObjectServer, Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, running = deaf
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.05)
    inside: list[int] = []
    most: list[int] = []

    def take() -> None:
        turn = StoreTurn(running.store("p"))
        with turn.during(120.0, alone=True):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    assert together(*[take] * 8) == [None] * 8
    assert most == [1] * 8


def test_conditions_are_met_by_looking_while_nobody_else_writes(
    deaf: tuple[ObjectServer, Running],
) -> None:
    _, running = deaf
    turn = StoreTurn(running.store("p"))
    store = OneWriter(running.store("p"), turn)
    with turn.during(0.0, alone=False):
        store.create("tags/a", b"1")
        store.create("tags/empty", b"")
        for name in ("tags/a", "tags/empty"):
            with pytest.raises(ObjectExists):
                store.create(name, b"2")
        for data, expected in ((b"2", b"0"), (b"2", None), (None, b"0")):
            with pytest.raises(StoreChanged):
                store.replace("tags/a", data, expected)
        with pytest.raises(StoreChanged):
            store.replace("tags/b", b"1", b"0")
        store.replace("tags/a", b"2", b"1")
        assert store.get("tags/a") == b"2"
        store.replace("tags/a", None, b"2")
        store.replace("tags/b", None, None)
        store.replace("tags/b", b"1", None)
        assert {info.name for info in store.list("tags/")} == {"tags/b", "tags/empty"}


def stops_beating(repo: Repository) -> None:
    """Let the process that has the turn give no sign of life any more, as one that sleeps."""
    assert isinstance(repo.place, RemotePlace)
    turn = repo.place._turn
    assert turn is not None
    turn._ended.set()
    assert turn._thread is not None
    turn._thread.join()


def test_a_dead_holders_turn_lapses_and_a_sleeper_that_wakes_publishes_nothing(
    deaf: tuple[ObjectServer, Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, running = deaf
    Repository.create(place(running))
    with opened(running) as sleeper:
        record(sleeper, version(0), message="0")
        stops_beating(sleeper)
        monkeypatch.setattr(lease, "STALE_SECONDS", 1.0)
        monkeypatch.setattr(lease, "POLL_SECONDS", 0.05)
        monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
        with opened(running, timeout=30.0) as other:
            record(other, version(1), message="1")
            before = server.data("p/")
            for write in (
                lambda: record(sleeper, version(2), message="2"),
                lambda: set_tag(sleeper, "late", sleeper.newest(None)[0]),
                lambda: sleeper.forget(sleeper.newest(None)[0], by="it", reason=""),
            ):
                with pytest.raises(RepositoryLocked, match="lease of the repository was lost"):
                    write()
            after = server.data("p/")
            assert _without_turns(after) == _without_turns(before)
            # Its end takes nothing away from the other.
            sleeper.close()
            set_tag(other, "mine", other.newest(None)[0])
    with opened(running, timeout=30.0) as repo:
        assert sound_versions_in(repo) == {0, 1}


def _without_turns(objects: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in objects.items() if not name.startswith("turns/")}


def test_a_holder_that_was_taken_for_dead_finds_out_by_its_next_beat(
    deaf: tuple[ObjectServer, Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clock stood still, as that of a virtual machine that is moved."""
    server, running = deaf
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    turn = StoreTurn(running.store("p"))
    with turn.during(0.0, alone=True) as held:
        held.check()
        time.sleep(0.5)
        held.check()
        (name,) = server.data("p/turns/")
        with server.lock:
            del server.objects[f"p/turns/{name}"]
        deadline = time.monotonic() + 60
        while turn.is_held() and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(RepositoryLocked):
            held.check()
        assert server.data("p/turns/") == {}


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_a_repository_that_was_made_without_turns_takes_them_once_it_was_repaired(
    deaf: tuple[ObjectServer, Running], is_encrypted: bool
) -> None:
    server, running = deaf
    server.if_none_match = server.if_match = server.delete_if_match = True
    Repository.create(place(running), opener=KeyFile(FIRST) if is_encrypted else None)
    with Repository.open(place(running), unlock=unlocker()) as repo:
        record(repo, version(0), message="0")
    # Where the store honours all nothing is mended.
    assert repair(place(running), unlock=unlocker()).mended == ()
    server.if_none_match = server.if_match = server.delete_if_match = False
    with Repository.open(place(running), unlock=unlocker()) as repo:
        before = repo.config
        assert not before.one_writer
    (mended,) = repair(place(running), unlock=unlocker()).mended
    assert (mended.kind, mended.name) == ("config", "config")
    assert repair(place(running), unlock=unlocker()).mended == ()
    with Repository.open(place(running), unlock=unlocker(), lock_timeout_seconds=0.0) as repo:
        assert repo.config == replace(before, one_writer=True)
        record(repo, version(1), message="1")
        with (
            Repository.open(place(running), unlock=unlocker(), lock_timeout_seconds=0.0) as other,
            pytest.raises(RepositoryLocked),
        ):
            record(other, version(2), message="2")
    with Repository.open(place(running), unlock=unlocker()) as repo:
        assert sound_versions_in(repo) == {0, 1}
    assert not server.data("p/turns/")
    assert not server.data("p/probe/")


def test_what_could_not_be_announced_leaves_nothing(
    deaf: tuple[ObjectServer, Running],
) -> None:
    server, running = deaf
    server.plan = lambda seen: Fault.DENIED if "prefix" in seen.query else None
    turn = StoreTurn(running.store("p"))
    with pytest.raises(StoreError), turn.during(0.0, alone=True):
        pass
    assert server.data("p/turns/") == {}


def test_a_store_that_cannot_be_relied_on_gets_no_repository(tmp_path: Path) -> None:
    with SERVERS["rclone"](tmp_path) as running:
        with pytest.raises(StoreError, match="cannot be relied on") as caught:
            Repository.create(place(running))
        assert "an object that exists is overwritten" in caught.value.detail.lower()


def test_a_store_that_honours_all_takes_many_writers(tmp_path: Path) -> None:
    with ObjectServer() as server:
        running = Running(server.endpoint, aws_environ(server.endpoint))
        Repository.create(place(running))
        with opened(running) as one, opened(running) as two, contextlib.ExitStack():
            record(one, version(0), message="0")
            record(two, version(1), message="1")
        with opened(running) as repo:
            assert not repo.config.one_writer
            assert sound_versions_in(repo) == {0, 1}
