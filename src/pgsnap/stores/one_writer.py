"""A store that ignores conditions, used by one process at a time.

Whoever writes has the turn, so to look and then to write is as good as a condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from pgsnap.errors import CorruptionError, ObjectExists, ObjectNotFound, StoreChanged
from pgsnap.stores.base import Data, ObjectInfo, Store


class Turn(Protocol):
    """The right to write."""

    def hold(self) -> None:
        """Take it, unless it is held. Raises RepositoryLocked if another process has it, or took
        it."""


class OneWriter:
    """*inner*, which is written only while *turn* is held."""

    def __init__(self, inner: Store, turn: Turn) -> None:
        self.inner = inner
        self._turn = turn

    def put(self, name: str, data: Data) -> None:
        self._turn.hold()
        self.inner.put(name, data)

    def create(self, name: str, data: bytes) -> None:
        self._turn.hold()
        if self._is_there(name):
            raise ObjectExists(f'"{name}" exists already')
        self._turn.hold()
        self.inner.put(name, data)

    def replace(self, name: str, data: bytes | None, expected: bytes | None) -> None:
        self._turn.hold()
        try:
            found = self.inner.get(name)
        except ObjectNotFound:
            found = None
        if found != expected:
            raise StoreChanged(f'"{name}" was changed by another process')
        self._turn.hold()
        if data is not None:
            self.inner.put(name, data)
        elif found is not None:
            self.inner.delete(name)

    def get(
        self,
        name: str,
        start: int = 0,
        length: int | None = None,
        *,
        bytes_max: int | None = None,
    ) -> bytes:
        return self.inner.get(name, start, length, bytes_max=bytes_max)

    def many_reads(self) -> AbstractContextManager[None]:
        return self.inner.many_reads()

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        return self.inner.list(prefix, after)

    def delete(self, *names: str) -> None:
        self._turn.hold()
        self.inner.delete(*names)

    def settle(self, names: Iterable[str]) -> None:
        self.inner.settle(names)

    def _is_there(self, name: str) -> bool:
        try:
            self.inner.get(name, 0, 1)
        except ObjectNotFound:
            return False
        except CorruptionError:
            # It is empty.
            return True
        return True


def bare(store: Store) -> Store:
    """Return the store itself, for what is to be tried out with it."""
    return store.inner if isinstance(store, OneWriter) else store
