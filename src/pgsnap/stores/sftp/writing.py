"""Writes and deletions, each of which can be called again after its connection broke.

A write renames or links a file out of the session's folder, a deletion renames into it. After a
loss the folder has another name (`Connection`), so the outcome is settled, and is looked up there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

from pgsnap.errors import ObjectExists
from pgsnap.stores.base import Data
from pgsnap.stores.names import above
from pgsnap.stores.sftp.connection import ended
from pgsnap.stores.sftp.link import Link, Missing, Refused, Staged


class Folders:
    """The folders of a store, of which those in *settled* are known to be durable."""

    def __init__(self) -> None:
        self._settled: set[str] = set()

    async def make(self, link: Link, name: str) -> None:
        """Make a folder and its parents, each entry durable before anything is put below it. One
        that is there may have been made by a process that was killed before it did so."""
        if not name or name in self._settled:
            return
        # With it the root is made.
        await link.make_session()
        await self.make(link, above(name))
        await link.make_folder(name)
        await link.sync_folder(above(name))
        self._settled.add(name)

    def forget(self, name: str) -> None:
        """Make a folder and its parents again when they are needed: one of them is gone."""
        self._settled -= {one for one in self._settled if f"{name}/".startswith(f"{one}/")}


@asynccontextmanager
async def staged(link: Link, data: Data, ready: Awaitable[None]) -> AsyncIterator[Staged]:
    """Yield a durable file with *data*, which is removed afterwards; meanwhile do *ready*."""
    made, _ = await asyncio.gather(link.stage(data), ready)
    try:
        yield made
    finally:
        link.close(made.file)
        link.in_background(link.remove(made.name))


async def publish(link: Link, made: Staged, name: str, step: Awaitable[None]) -> None:
    """Do *step*, which gives a staged file the name of an object, and make that durable."""
    await step
    if not await link.sync_folder(above(name)):
        # File systems with a journal write a file's new name with it.
        await link.sync(made.file)


class Put:
    """Writes or replaces an object."""

    def __init__(self, folders: Folders, name: str, data: Data) -> None:
        self._folders, self._name, self._data = folders, name, data
        # Where the file is unless it became the object.
        self._doubt = ""

    async def __call__(self, link: Link) -> None:
        if self._doubt and not await link.exists(self._doubt):
            await link.sync_folder(above(self._name))
            return
        folder = above(self._name)
        async with staged(link, self._data, self._folders.make(link, folder)) as made:
            self._doubt = doubtful(link, made)
            rename = partial(link.rename, made.name, self._name)
            await publish(link, made, self._name, _in_folder(self._folders, link, folder, rename))


class Create:
    """Writes an object that must not exist."""

    def __init__(self, folders: Folders, name: str, data: bytes) -> None:
        self._folders, self._name, self._data = folders, name, data
        self._is_in_doubt = False

    async def __call__(self, link: Link) -> None:
        if self._is_in_doubt and await link.exists(self._name):
            # Linked by this process, or by another one. Objects of one name and one content are
            # the same object.
            if await read_whole(link, self._name, len(self._data) + 1) != self._data:
                raise ObjectExists(f'"{self._name}" exists already')
            await link.sync_folder(above(self._name))
            return
        folder = above(self._name)
        async with staged(link, self._data, self._folders.make(link, folder)) as made:
            self._is_in_doubt = True
            new_name = partial(link_new, link, made.name, self._name)
            await publish(link, made, self._name, _in_folder(self._folders, link, folder, new_name))


async def link_new(link: Link, name: str, target: str) -> None:
    """Link *target*, which must not exist. Raises ObjectExists."""
    try:
        await link.link(name, target)
    except Refused:
        # OpenSSH gives no reason.
        if await link.exists(target):
            raise ObjectExists(f'"{target}" exists already') from None
        raise


class Delete:
    """Deletes objects, in their order."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._done = 0

    async def __call__(self, link: Link) -> None:
        try:
            async with staged(link, b"", _nothing()) as made:
                await self._delete(link, made.name)
        except Refused:
            # Where a disk is full no file can be written; deleting is what helps.
            await self._delete(link, "")
        for folder in sorted({above(name) for name in self._names}):
            with suppress(Missing):
                await link.sync_folder(folder)

    async def _delete(self, link: Link, place: str) -> None:
        """Delete what is left. Each object takes the *place* of the one before, and so deletes it;
        a folder cannot take the place of a file."""
        while self._done < len(self._names):
            name = self._names[self._done]
            try:
                if not place:
                    raise Missing
                await link.rename(name, place)
            except Missing:
                # Either the object is gone, or the session's folder is.
                await link.remove(name)
            self._done += 1


async def read_whole(link: Link, name: str, bytes_max: int) -> bytes:
    """Return the first *bytes_max* bytes of an object. Raises Missing."""
    file = await link.open(name)
    try:
        return await link.read(file, bytes_max, 0)
    finally:
        link.close(file)


async def find(link: Link, name: str, bytes_max: int) -> bytes | None:
    """Return the first *bytes_max* bytes of an object, None if it does not exist."""
    try:
        return await read_whole(link, name, bytes_max)
    except Missing:
        return None


def doubtful(link: Link, made: Staged) -> str:
    """Return where a staged file is after its link broke, unless it was renamed before."""
    return made.name.replace(link.session, ended(link.session), 1)


async def _in_folder(
    folders: Folders, link: Link, folder: str, step: Callable[[], Awaitable[None]]
) -> None:
    """Do *step*; once more if the folder is gone, which another process may remove when empty."""
    try:
        await step()
    except Missing:
        folders.forget(folder)
        await folders.make(link, folder)
        await step()


async def _nothing() -> None:
    pass
