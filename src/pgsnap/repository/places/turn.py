"""The turn of a process at a remote store that honours too few conditions for several writers.

A process that wants to write first puts an object of its own, whose name was never used before, and
then looks at those of others: of two that come at once at least one sees the other, and gives way.
(Announcing oneself before looking is the idea of L. Lamport's bakery algorithm, 1974.) No condition
is needed.

The holder puts its object again every few seconds, each time with other bytes. Another process
deletes it only after it saw the same bytes for `STALE_SECONDS` of its own clock. A holder that
could not renew for half of that time gives up for good, so that it writes nothing once it wakes.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

from pgsnap import interrupts
from pgsnap.errors import ObjectNotFound, RepositoryLocked, StoreError
from pgsnap.repository.layout import TURNS
from pgsnap.repository.lock import Held
from pgsnap.repository.places import lease
from pgsnap.stores.base import Store

_BYTES_MAX = 64 * 1024


class StoreTurn:
    """The turn at *store*, taken by the first write."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._timeout_seconds = 0.0
        self._name = ""
        # None: not taken.
        self._data: bytes | None = None
        self._confirmed = 0.0
        self._lost = False
        self._taking = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def during(self, timeout_seconds: float, *, alone: bool) -> Iterator[Held]:
        """Let it be taken until the end of the block, at once if *alone*. Raises RepositoryLocked,
        StoreError."""
        self._timeout_seconds = timeout_seconds
        self._lost = False
        try:
            if alone:
                self.hold()
            yield Held(self)
        finally:
            self._end()

    def hold(self) -> None:
        """Take it, unless it is held. Raises RepositoryLocked, StoreError."""
        with self._taking:
            if self._data is None:
                self._take()
        Held(self).check()

    def is_held(self) -> bool:
        """Return whether no other process can have it: it was not taken yet, or not long ago
        confirmed."""
        if self._data is not None and _is_long_ago(self._confirmed):
            self._lost = True
        return not self._lost

    def _take(self) -> None:
        deadline = lease.now() + self._timeout_seconds
        seen: dict[str, tuple[bytes, float]] = {}
        while True:
            if self._announced(seen):
                return
            # Without an own object, so that of those who wait nobody keeps out another.
            while found := self._others(seen):
                if lease.now() >= deadline:
                    raise RepositoryLocked(
                        "the repository is locked by another process",
                        detail="Its store takes one writer at a time, and the turn is that of the"
                        f" object {sorted(found)[0]}. It lapses after {lease.STALE_SECONDS:.0f} s"
                        " without a sign of life.",
                        hint="Wait for it, or wait longer with: --lock-timeout 1h",
                    )
                interrupts.sleep(lease.POLL_SECONDS)
            # Two that came at once gave way to each other. Imported here, since few ever do.
            import random

            interrupts.sleep(random.uniform(0.0, 2 * lease.POLL_SECONDS))

    def _announced(self, seen: dict[str, tuple[bytes, float]]) -> bool:
        """Announce this process, and return whether there is no other; else withdraw."""
        asked = lease.now()
        name, data = f"{TURNS}{os.urandom(16).hex()}", lease.new_data(_time())
        with contextlib.ExitStack() as withdrawn:
            withdrawn.callback(self._withdraw, name)
            self._store.put(name, data)
            if self._others(seen, name) or _is_long_ago(asked):
                return False
            withdrawn.pop_all()
        self._name, self._data, self._confirmed = name, data, asked
        self._thread = threading.Thread(target=self._beat, name="turn", daemon=True)
        self._thread.start()
        return True

    def _others(self, seen: dict[str, tuple[bytes, float]], own: str = "") -> set[str]:
        """Return the objects of others that may be alive, and delete dead ones. *seen* is what
        they held when they were first seen so."""
        found = set()
        for info in list(self._store.list(TURNS)):
            if info.name == own:
                continue
            data = self._read(info.name)
            if data is None:
                continue
            before = seen.get(info.name)
            if before is None or before[0] != data:
                seen[info.name] = data, lease.now()
            elif lease.now() - before[1] >= lease.STALE_SECONDS:
                self._store.delete(info.name)
                continue
            found.add(info.name)
        return found

    def _read(self, name: str) -> bytes | None:
        try:
            return self._store.get(name, bytes_max=_BYTES_MAX)
        except ObjectNotFound:
            return None

    def _beat(self) -> None:
        # Once the main thread was stopped, nobody waits for a renewal.
        with contextlib.suppress(interrupts.Stopped):
            while not self._ended.wait(lease.BEAT_SECONDS) and self.is_held():
                # It may be renewed by the next one.
                with contextlib.suppress(StoreError):
                    self._renew()

    def _renew(self) -> None:
        asked = lease.now()
        assert self._data is not None
        if self._read(self._name) != self._data:
            self._lost = True
            return
        data = lease.new_data(json.loads(self._data)["since"])
        self._store.put(self._name, data)
        # Later than that another process may have deleted it, and this put have brought it back.
        if self.is_held():
            self._data, self._confirmed = data, asked

    def _end(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._withdraw(self._name)
        self._thread, self._data, self._ended = None, None, threading.Event()

    def _withdraw(self, name: str) -> None:
        # What is left lapses.
        with contextlib.suppress(StoreError):
            self._store.delete(name)


def turn_since(store: Store) -> datetime | None:
    """Return since when a process has had the turn, None if none has."""
    try:
        names = [info.name for info in store.list(TURNS)]
    except StoreError:
        return None
    since = (lease.lease_since(store, name) for name in names)
    return min((time for time in since if time is not None), default=None)


def _is_long_ago(moment: float) -> bool:
    return lease.now() - moment > lease.STALE_SECONDS / 2


def _time() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
