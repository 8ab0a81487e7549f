"""A repository on a store, and hosts that each have an index of their own."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pgsnap.errors import StoreError
from pgsnap.format.remote import Publication, decode_publication
from pgsnap.model import SnapshotId
from pgsnap.repository.log.publications import entry_name
from pgsnap.repository.places.remote import RemotePlace
from pgsnap.repository.repository import Repository
from pgsnap.sealing.wrapping_keys import KeyFile
from pgsnap.stores.base import Store
from pgsnap.stores.local import LocalStore
from pgsnap.stores.opening import open_store
from support.dumps.scripted import shop
from support.repositories.encrypted import unlocker
from support.repositories.keys import FIRST
from support.repositories.made import record
from support.repositories.stores import RecordingStore
from support.servers.object_server import ObjectServer
from support.servers.object_stores import QUICK, aws_environ

LISTED = ("snapshots/", "tags/", "gc/notes/forgotten/", "gc/notes/unforgotten/")


class Hosts:
    """A repository on a store, and hosts that each have an index of their own."""

    def __init__(
        self, url: str, store: Callable[[], Store], caches: Path, *, is_encrypted: bool = False
    ) -> None:
        self.url = url
        self.store = store
        self._caches = caches
        self.calls: list[tuple[str, str]] = []
        self._rows = itertools.count(50)
        opener = KeyFile(FIRST) if is_encrypted else None
        Repository.create(RemotePlace(url, store()), opener=opener)

    def open(
        self, host: str, *, whole: bool = False, alone: bool = False, store: Any = None
    ) -> Repository:
        """Open it, and remember in `calls` what that asked of the store, and what comes after."""
        recording = RecordingStore(self.store() if store is None else store)
        place = RemotePlace(self.url, recording)
        self.calls = recording.calls
        return Repository.open(
            place,
            index_folder=self.cache(host),
            whole=whole,
            alone=alone,
            unlock=unlocker(),
        )

    def commit(self, host: str, *tags: str, store: Any = None) -> SnapshotId:
        with self.open(host, store=store) as repo:
            return record(repo, shop(next(self._rows)), tags=tags).snapshot_id

    def seen(self, host: str, *, whole: bool = False) -> set[SnapshotId]:
        with self.open(host, whole=whole) as repo:
            return set(repo.newest(None))

    def is_listed(self) -> bool:
        """Return whether snapshots, tags or notes that forget were listed."""
        return any(call == "list" and name in LISTED for call, name in self.calls)

    def entries(self) -> list[str]:
        return self.store_names("log/")

    def entry(self, number: int) -> Publication:
        with self.open("looking") as repo:
            return decode_publication(repo.store.get(entry_name(number)), number)

    def store_names(self, prefix: str) -> list[str]:
        return sorted(info.name for info in self.store().list(prefix))

    def cache(self, host: str) -> Path:
        return self._caches / host


@contextlib.contextmanager
def hosts_of(kind: str, folder: Path, *, is_encrypted: bool = False) -> Iterator[Hosts]:
    """Make a repository on a store of this *kind*: "local" or "s3"."""
    caches = folder / "caches"
    if kind == "local":
        store = folder / "store"
        store.mkdir()
        yield Hosts(store.as_uri(), lambda: LocalStore(store), caches, is_encrypted=is_encrypted)
        return
    url = "s3://bucket/p"
    with ObjectServer() as server:
        environ = aws_environ(server.endpoint)
        yield Hosts(
            url,
            lambda: open_store(url, environ, pace=QUICK),
            caches,
            is_encrypted=is_encrypted,
        )


class Silent:
    """A store in which no entry of the log is created: as if its writer died before."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def create(self, name: str, data: bytes) -> None:
        if name.startswith("log/"):
            raise StoreError("no answer")
        self._store.create(name, data)
