"""The Store protocol: storage of named objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeAlias

Data: TypeAlias = "bytes | list[bytes]"
"""The bytes of an object, or parts that are concatenated."""


class ObjectInfo(NamedTuple):
    """An object's name and size: of tens of thousands a tuple is made in two thirds of the time."""

    name: str
    object_bytes: int


class Store(Protocol):
    """Named objects. Every implementation passes tests/contract/store_contract.py.

    Names are ASCII, relative, with "/" between parts. A write returns only when the object is
    durable and complete; a reader sees the old object, the new one or none, never a part. Errors:
    `ObjectNotFound`, `ObjectExists`, `StoreFull`, `StoreChanged`, `CorruptionError` (an object
    shorter than requested, or that the disk cannot read), else `StoreError`.
    """

    def put(self, name: str, data: Data) -> None:
        """Write or replace an object."""

    def create(self, name: str, data: bytes) -> None:
        """Like `put`, but raise ObjectExists if the object exists; atomic between processes."""

    def replace(self, name: str, data: bytes | None, expected: bytes | None) -> None:
        """Compare-and-swap: write *data* (None: delete) if the object now equals *expected* (None:
        does not exist), else raise StoreChanged; atomic between processes."""

    def get(
        self,
        name: str,
        start: int = 0,
        length: int | None = None,
        *,
        bytes_max: int | None = None,
    ) -> bytes:
        """Return exactly *length* bytes from *start* (None: to the end), or raise. An object of
        more than *bytes_max* bytes is damage, and none of it is read."""

    def many_reads(self) -> AbstractContextManager[None]:
        """Return a context manager for reading many objects: what is expensive to look up may be
        cached until its end."""

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects whose name starts with *prefix* (a folder, ending in "/"), only those
        with a name greater than *after*."""

    def delete(self, *names: str) -> None:
        """Delete objects, in no certain order; one that is already gone is not an error."""

    def settle(self, names: Iterable[str]) -> None:
        """Make durable what a reader sees of these objects, including their absence: the process
        that created or deleted them may have been killed before it did so. A no-op if nothing can
        be written."""
