"""Compare-and-swap, which SFTP does not have.

The lock is the folder ``cas.sftp``: held while it holds a folder, free while it is empty or not
there. A process takes it by renaming a folder of its own onto it, in which there is a folder with a
random name, its ticket; a rename onto a folder that is not empty fails. The swap itself renames the
new object out of the ticket, and a deletion renames the old one into it. So a process that lost its
ticket can no longer swap, however late: that is why a lock whose holder is silent can be taken away
by renaming the ticket, without any clock that two hosts would have to share.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time

from pgsnap.errors import CorruptionError, ObjectExists, StoreChanged, StoreError
from pgsnap.stores.names import above
from pgsnap.stores.sftp.link import TEMPORARY, Link, Missing, Refused, Staged
from pgsnap.stores.sftp.writing import Folders, find, link_new

LOCK = "cas.sftp"
# A swap takes a few round trips. Taking the lock from one who still wants it costs no more than
# another attempt of theirs.
SILENT_SECONDS = 20.0
_SWAP_SECONDS = 120.0
_POLL_SECONDS = 0.05
# Only tags are compared and swapped.
_BYTES_MAX = 1024 * 1024

_NEW, _OLD = "new", "old"


class _Withdrawn(Exception):
    """Another process took the lock away before the swap."""


class Swap:
    """Writes (or deletes, if *data* is None) an object that equals *expected*."""

    def __init__(
        self, folders: Folders, name: str, data: bytes | None, expected: bytes | None
    ) -> None:
        self._folders, self._name, self._data, self._expected = folders, name, data, expected
        # The ticket of an attempt whose end is not known, and whether it came to the swap.
        self._ticket = ""
        self._may_be_done = False

    async def __call__(self, link: Link) -> None:
        if self._ticket and await self._is_done(link):
            await link.sync_folder(above(self._name))
            return
        deadline = time.monotonic() + _SWAP_SECONDS
        await self._compare(link)
        if self._data is None and self._expected is None:
            return
        while True:
            await self._folders.make(link, above(self._name))
            try:
                await self._attempt(link, deadline)
            except _Withdrawn:
                # Or else the folder of the object is gone.
                self._folders.forget(above(self._name))
            else:
                return

    async def _compare(self, link: Link) -> None:
        found = await find(link, self._name, _BYTES_MAX + 1)
        if found is not None and len(found) > _BYTES_MAX:
            raise CorruptionError(
                f'"{self._name}" is damaged',
                detail=f"It has more than the {_BYTES_MAX} bytes that any of its kind has.",
            )
        if found != self._expected:
            raise StoreChanged(f'"{self._name}" was changed by another process')

    async def _attempt(self, link: Link, deadline: float) -> None:
        ticket = secrets.token_hex(8)
        prepared = await link.make_in_session(ticket)
        await link.make_folder(f"{prepared}/{ticket}")
        made = await link.stage(self._data or b"", f"{prepared}/{ticket}/{_NEW}")
        try:
            self._ticket, self._may_be_done = ticket, False
            await _take(link, prepared, deadline)
            try:
                await self._compare(link)
                self._may_be_done = True
                await self._swap(link, made)
            finally:
                await _withdraw(link, ticket)
            self._ticket = ""
        finally:
            link.close(made.file)
            link.in_background(link.remove_all(prepared))
            link.in_background(link.remove_all(_withdrawn(ticket)))

    async def _swap(self, link: Link, made: Staged) -> None:
        ours = f"{LOCK}/{self._ticket}"
        try:
            if self._data is None:
                await link.rename(self._name, f"{ours}/{_OLD}")
            elif self._expected is None:
                await link_new(link, f"{ours}/{_NEW}", self._name)
            else:
                await link.rename(f"{ours}/{_NEW}", self._name)
        except Missing:
            raise _Withdrawn from None
        except ObjectExists:
            raise StoreChanged(f'"{self._name}" was changed by another process') from None
        if not await link.sync_folder(above(self._name)):
            await link.sync(made.file)

    async def _is_done(self, link: Link) -> bool:
        """Return whether the attempt on a link that broke did swap; now it no longer can."""
        ticket, self._ticket = self._ticket, ""
        await _withdraw(link, ticket)
        if not self._may_be_done:
            return False
        withdrawn = _withdrawn(ticket)
        if self._data is None:
            is_done = await link.exists(f"{withdrawn}/{_OLD}")
        elif self._expected is None:
            is_done = await find(link, self._name, _BYTES_MAX) == self._data
        else:
            is_done = not await link.exists(f"{withdrawn}/{_NEW}")
        link.in_background(link.remove_all(withdrawn))
        return is_done


async def _take(link: Link, prepared: str, deadline: float) -> None:
    """Hold the lock with the ticket in the folder *prepared*."""
    holder, since = "", 0.0
    refusals = 0
    while time.monotonic() < deadline:
        try:
            await link.rename(prepared, LOCK)
            return
        except Refused:
            # Held, or a server that does not rename onto an empty folder, or something else.
            refusals += 1
            held = await _holder(link)
            if not held:
                with contextlib.suppress(Refused):
                    await link.remove_folder(LOCK)
                if refusals > 100:
                    raise
            elif held != holder:
                holder, since = held, time.monotonic()
                refusals = 0
            elif time.monotonic() - since > SILENT_SECONDS:
                await _withdraw(link, held)
        await asyncio.sleep(random.uniform(_POLL_SECONDS / 5, _POLL_SECONDS))
    raise StoreError(
        "other processes do not let go of the repository's tags",
        detail=f"They hold {LOCK} in the repository one after another.",
        hint="Run the command again once they ended.",
    )


async def _holder(link: Link) -> str:
    """Return the ticket of the process that holds the lock, "" for none."""
    try:
        entries = await link.entries(LOCK)
    except Missing:
        return ""
    return entries[0].name if entries else ""


async def _withdraw(link: Link, ticket: str) -> None:
    """Take a ticket out of the lock, if it is there."""
    with contextlib.suppress(Missing):
        await link.rename(f"{LOCK}/{ticket}", _withdrawn(ticket))


def _withdrawn(ticket: str) -> str:
    return f"{TEMPORARY}/cas-{ticket}"
