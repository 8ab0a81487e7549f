"""The lease of a gc on a remote store: one object, changed by compare-and-swap alone.

The holder writes it again every few seconds, each time with other bytes. Another process takes it
over only after it saw the same bytes for `STALE_SECONDS` of its own clock: no two hosts' clocks are
compared. A holder that slept for so long finds other bytes, and stops.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from pgsnap import interrupts
from pgsnap.errors import ObjectNotFound, RepositoryLocked, StoreChanged, StoreError
from pgsnap.repository.layout import LEASE
from pgsnap.repository.lock import Held
from pgsnap.stores.base import Store

BEAT_SECONDS = 20.0
STALE_SECONDS = 300.0
POLL_SECONDS = 1.0
_BYTES_MAX = 64 * 1024


class RemoteLease:
    """The held lease. It is lost once this process gave no sign of life for `STALE_SECONDS`."""

    def __init__(self, store: Store, data: bytes) -> None:
        self._store = store
        self._data = data
        self._seen = now()
        self._lost = False
        self._changing = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def is_held(self) -> bool:
        """Return whether nobody can have taken it over: it was confirmed not long ago."""
        if now() - self._seen > STALE_SECONDS / 2:
            self._renew()
        return not self._lost and now() - self._seen <= STALE_SECONDS / 2

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(StoreError):
            self._store.replace(LEASE, None, self._data)

    def _beat(self) -> None:
        # Once the main thread was stopped, nobody waits for a renewal.
        with contextlib.suppress(interrupts.Stopped):
            while not self._ended.wait(BEAT_SECONDS):
                self._renew()

    def _renew(self) -> None:
        with self._changing:
            since, asked = json.loads(self._data)["since"], now()
            data = new_data(since)
            try:
                self._store.replace(LEASE, data, self._data)
            except StoreChanged:
                self._lost = True
            except StoreError:
                # What the store has now is not known: the next one finds out.
                self._find_out(data, asked)
            else:
                self._data, self._seen = data, asked

    def _find_out(self, data: bytes, asked: float) -> None:
        with contextlib.suppress(StoreError):
            found = _read(self._store)
            if found == data:
                self._data, self._seen = data, asked
            elif found != self._data:
                self._lost = True


@contextlib.contextmanager
def held_lease(store: Store, timeout_seconds: float) -> Iterator[Held]:
    """Hold the lease. Raises RepositoryLocked, StoreError."""
    lease = RemoteLease(store, _take(store, timeout_seconds))
    try:
        yield Held(lease)
    finally:
        lease.end()


def lease_since(store: Store, name: str = LEASE) -> datetime | None:
    """Return since when the lease has been held, None if it is not."""
    try:
        found = _read(store, name)
        return datetime.fromisoformat(json.loads(found)["since"]) if found is not None else None
    except (StoreError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _take(store: Store, timeout_seconds: float) -> bytes:
    """Take the lease and return its content."""
    began = now()
    seen, seen_since = _read(store), began
    while True:
        if seen is None or now() - seen_since >= STALE_SECONDS:
            data = new_data(datetime.now(UTC).isoformat(timespec="seconds"))
            with contextlib.suppress(StoreChanged):
                store.replace(LEASE, data, seen)
                return data
        elif now() - began >= timeout_seconds:
            raise RepositoryLocked(
                "the repository is locked by another process",
                detail=f"Its lease is the object {LEASE}."
                f" It lapses after {STALE_SECONDS:.0f} s without a sign of life.",
                hint="Wait for it, or wait longer with: --lock-timeout 1h",
            )
        else:
            interrupts.sleep(min(POLL_SECONDS, max(timeout_seconds, 0.01)))
        found = _read(store)
        if found != seen:
            seen, seen_since = found, now()


def _read(store: Store, name: str = LEASE) -> bytes | None:
    try:
        return store.get(name, bytes_max=_BYTES_MAX)
    except ObjectNotFound:
        return None


def new_data(since: str) -> bytes:
    """Return the content of a lease that has been held *since*, unlike any other."""
    # No names of hosts or users: whoever can list the store can read it.
    return json.dumps({"holder": os.urandom(16).hex(), "since": since}).encode()


def now() -> float:
    """Return the time of a clock that nobody sets."""
    # Unlike the monotonic clock it goes on while the host is suspended.
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)
