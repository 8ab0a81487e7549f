"""Objects as files on an SFTP server. Durable, atomic writes, as `stores.local` makes them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import TypeVar

from pgsnap import extras, interrupts
from pgsnap.errors import CorruptionError, StoreError, UntrustedPath, UsageError
from pgsnap.stores.address import Address
from pgsnap.stores.base import Data, ObjectInfo
from pgsnap.stores.counting import Counter, Counts, Request
from pgsnap.stores.names import above, checked
from pgsnap.stores.pacing import Pace, Traffic
from pgsnap.stores.sftp import loop
from pgsnap.stores.sftp.connection import Connection
from pgsnap.stores.sftp.link import (
    BLOCK_BYTES,
    Entry,
    Link,
    Missing,
    Refused,
)
from pgsnap.stores.sftp.swap import Swap
from pgsnap.stores.sftp.writing import Create, Delete, Folders, Put

_T = TypeVar("_T")
# Folders that are listed at the same time.
_LISTINGS = 16


class SftpStore:
    """Objects as files below the path of *address*. Folders have mode 0700 and files 0600, and are
    made when something is written.

    All methods may be called from several threads; one connection serves them.
    """

    def __init__(
        self,
        address: Address,
        pace: Pace | None = None,
        counter: Counter | None = None,
        *,
        is_only: bool = False,
    ) -> None:
        """*is_only*: this is no repository, and nobody else writes there. Raises UsageError, and
        StoreError without asyncssh."""
        _require_asyncssh()
        self.address = address
        self._root = root_of(address)
        self._traffic = Traffic(pace or Pace())
        self._counter = counter or Counter()
        self._is_only = is_only
        self._begin()

    def _begin(self) -> None:
        self._loop = loop.shared()
        self._connection = Connection(self.address, self._root, is_only=self._is_only)
        self._folders = Folders()
        self._loop.at_end(self, self._connection.close)

    def put(self, name: str, data: Data) -> None:
        size = len(data) if isinstance(data, bytes) else sum(map(len, data))
        self._run(Put(self._folders, checked(name), data), name, Request.PUT, size)

    def create(self, name: str, data: bytes) -> None:
        self._run(Create(self._folders, checked(name), data), name, Request.PUT, len(data))

    def replace(self, name: str, data: bytes | None, expected: bytes | None) -> None:
        swap = Swap(self._folders, checked(name), data, expected)
        self._run(swap, name, Request.PUT, len(data or b""))

    def get(
        self,
        name: str,
        start: int = 0,
        length: int | None = None,
        *,
        bytes_max: int | None = None,
    ) -> bytes:
        checked(name)
        expected = length or 0
        data = self._run(
            lambda link: _get(link, name, start, length, bytes_max),
            name,
            Request.GET,
            received=expected,
        )
        self._counter.received(len(data))
        self._traffic.passed(len(data) - expected)
        return data

    def many_reads(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below a folder, or if *prefix* is empty all; several of its folders are
        listed at once."""
        waiting = [checked(prefix.removesuffix("/")) if prefix else ""]
        while waiting:
            names, waiting = waiting[:_LISTINGS], waiting[_LISTINGS:]
            listed = self._run(partial(_entries, names), prefix, Request.LIST)
            for folder, entries in zip(names, listed, strict=True):
                for entry in entries:
                    interrupts.check()
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    if not entry.name.isascii():
                        # Object names are ASCII: a stray file.
                        continue
                    if entry.is_folder:
                        waiting.append(name)
                    elif entry.is_file:
                        if name > after:
                            yield ObjectInfo(name, entry.size)
                    else:
                        raise UntrustedPath(
                            f'"{name}" is neither a file nor a folder',
                            detail=f"It is below {self.address}.",
                            hint="Have it removed there: snap never writes such.",
                        )

    def delete(self, *names: str) -> None:
        for name in names:
            checked(name)
        if names:
            self._run(Delete(names), names[0], Request.DELETE)

    def settle(self, names: Iterable[str]) -> None:
        folders = sorted({above(checked(name)) for name in names})

        async def settled(link: Link) -> None:
            for folder in folders:
                # A folder that vanished meanwhile, and an account that may only read.
                with contextlib.suppress(Missing, Refused):
                    await self._folders.make(link, folder)
                    await link.sync_folder(folder)

        if folders:
            self._run(settled, folders[0], Request.PUT)

    def close(self) -> None:
        """Close the connection; the next call makes another one."""
        self._loop.run(self._connection.close())

    def counts(self) -> Counts:
        """Return what was asked of the server so far."""
        return self._counter.counts()

    def _run(
        self,
        task: Callable[[Link], Awaitable[_T]],
        name: str,
        kind: Request,
        sent: int = 0,
        *,
        received: int = 0,
    ) -> _T:
        interrupts.check()
        if self._loop is not loop.shared():
            # In a forked process the thread and its connection are not there.
            self._begin()
        attempts = itertools.count()

        async def counted(link: Link) -> _T:
            is_repeated = next(attempts) > 0
            self._counter.request(kind, is_repeated=is_repeated, sent=sent)
            self._traffic.passed(sent + received if is_repeated else 0)
            return await task(link)

        with self._traffic.of(sent + received):
            return self._loop.run(self._connection.run(counted, name, sent))


async def _get(
    link: Link, name: str, start: int, length: int | None, bytes_max: int | None
) -> bytes:
    file = await link.open(name)
    try:
        # The first request goes out together with the question of the size.
        first = BLOCK_BYTES if length is None else min(length, BLOCK_BYTES)
        if bytes_max is not None:
            first = min(first, bytes_max)
        size, data = await asyncio.gather(link.size(file), link.read(file, first, start))
        if bytes_max is not None and size > bytes_max:
            raise CorruptionError(
                f'"{name}" is damaged',
                detail=f"It has {size} bytes; none of its kind has more than {bytes_max}.",
            )
        wanted = size - start if length is None else length
        if wanted > len(data):
            data += await link.read(file, wanted - len(data), start + len(data))
    except Refused as error:
        # A file that can be opened and not be read is on a bad disk.
        raise CorruptionError(
            f'"{name}" cannot be read', detail=f"The server says: {error.words.rstrip('.')}."
        ) from error
    finally:
        link.close(file)
    if len(data) < wanted or wanted < 0:
        raise CorruptionError(
            f'"{name}" is cut short',
            detail=f"It ends before offset {start + max(wanted, 0)}.",
        )
    return data[:wanted]


async def _entries(names: list[str], link: Link) -> list[list[Entry]]:
    """Return the entries of folders, none of those that do not exist."""

    async def listed(name: str) -> list[Entry]:
        try:
            return await link.entries(name)
        except Missing:
            return []

    return await asyncio.gather(*map(listed, names))


def root_of(address: Address) -> str:
    """Return the path of a store on its server: relative, if it begins below the folder of the
    login ("/~/"). Raises UsageError."""
    path = address.path.rstrip("/")
    if not address.path or ".." in path.split("/") or not path.isprintable():
        raise UsageError(
            f"{address.scheme}://{address.host} needs the path of a folder",
            hint="Write sftp://USER@HOST/PATH, or sftp://USER@HOST/~/PATH for one below the folder"
            " of the login.",
        )
    return "." if path == "/~" else path.removeprefix("/~/")


def _require_asyncssh() -> None:
    if find_spec("asyncssh") is None:
        raise StoreError(
            "SFTP needs a package that is not installed",
            detail="It is asyncssh.",
            hint=extras.hint("sftp"),
        )
