"""Stores for tests: one that records its calls, one that fails at the n-th."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

from pgsnap.errors import StoreFull
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.tags import Tags
from pgsnap.stores.base import Data, ObjectInfo, Store

WRITES = frozenset({"put", "create", "replace", "delete"})


class RecordingStore:
    """Passes every call on, and remembers it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: list[tuple[str, str]] = []
        self.bytes_written = 0

    def names(self, call: str, prefix: str = "") -> list[str]:
        return [name for made, name in self.calls if made == call and name.startswith(prefix)]

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [made for made in self.calls if made[0] in WRITES]

    def _hear(self, call: str, name: str) -> None:
        self.calls.append((call, name))

    def put(self, name: str, data: Data) -> None:
        self._hear("put", name)
        self.bytes_written += len(data) if isinstance(data, bytes) else sum(map(len, data))
        self._store.put(name, data)

    def create(self, name: str, data: bytes) -> None:
        self._hear("create", name)
        self._store.create(name, data)

    def replace(self, name: str, data: bytes | None, expected: bytes | None) -> None:
        self._hear("replace", name)
        self._store.replace(name, data, expected)

    def get(
        self,
        name: str,
        start: int = 0,
        length: int | None = None,
        *,
        bytes_max: int | None = None,
    ) -> bytes:
        self._hear("get", name)
        return self._store.get(name, start, length, bytes_max=bytes_max)

    def many_reads(self) -> AbstractContextManager[None]:
        return self._store.many_reads()

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        self._hear("list", prefix)
        return self._store.list(prefix, after)

    def delete(self, *names: str) -> None:
        for name in names:
            self._hear("delete", name)
            self._store.delete(name)

    def settle(self, names: Iterable[str]) -> None:
        self._store.settle(names)


class FailingStore(RecordingStore):
    """Raises StoreFull at its n-th call (from 0) and at every later one.

    With *afterwards* the failing call is carried out first: the answer is what gets lost.
    """

    def __init__(self, store: Store, fail_at: int, *, afterwards: bool = False) -> None:
        super().__init__(store)
        self._fail_at = fail_at
        self._afterwards = afterwards

    @property
    def has_failed(self) -> bool:
        return len(self.calls) > self._fail_at

    def _hear(self, call: str, name: str) -> None:
        number = len(self.calls)
        super()._hear(call, name)
        if number > self._fail_at or (number == self._fail_at and not self._afterwards):
            raise StoreFull("no space left in the repository")

    def put(self, name: str, data: Data) -> None:
        super().put(name, data)
        self._lose_answer()

    def replace(self, name: str, data: bytes | None, expected: bytes | None) -> None:
        super().replace(name, data, expected)
        self._lose_answer()

    def _lose_answer(self) -> None:
        if self._afterwards and len(self.calls) - 1 == self._fail_at:
            raise StoreFull("no space left in the repository")


def use_store(repo: Repository, store: Store) -> None:
    """Let an open repository use *store* from now on."""
    repo.store = store  # type: ignore[assignment]
    repo.tags = Tags(store)
    repo.chunks = ChunkReader(store, repo.index, repo.chunks.scheme, repo.chunks.transfers)
