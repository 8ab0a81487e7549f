"""What was asked of a store: requests by class and bytes, as providers charge for them."""

from __future__ import annotations

import enum
import threading
from dataclasses import field
from typing import Protocol, runtime_checkable

from pgsnap.values import dataclass


class Request(enum.Enum):
    """Kinds of requests. Providers charge most for the first two, and nothing for deleting."""

    PUT = "put"
    LIST = "list"
    GET = "get"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Counts:
    """*repeated*: how many of the requests were made again after a fault."""

    put: int = 0
    list: int = 0
    get: int = 0
    delete: int = 0
    repeated: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0

    @property
    def requests(self) -> int:
        return self.put + self.list + self.get + self.delete


@runtime_checkable
class Counted(Protocol):
    """A store that counts what is asked of it."""

    def counts(self) -> Counts:
        """Return what was asked so far."""


@dataclass(slots=True)
class Counter:
    """Counts what is asked of a store; used by many threads."""

    _counted: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def request(self, kind: Request, *, is_repeated: bool = False, sent: int = 0) -> None:
        with self._lock:
            self._add(kind.value, 1)
            self._add("repeated", int(is_repeated))
            self._add("sent_bytes", sent)

    def received(self, count: int) -> None:
        with self._lock:
            self._add("received_bytes", count)

    def counts(self) -> Counts:
        """Return what was counted so far."""
        with self._lock:
            return Counts(**self._counted)

    def _add(self, name: str, count: int) -> None:
        self._counted[name] = self._counted.get(name, 0) + count
