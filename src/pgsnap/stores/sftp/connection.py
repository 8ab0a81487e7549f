"""A connection that is made again when it broke."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pgsnap.errors import ObjectNotFound, SnapError, StoreError, StoreFull, StoreRefused
from pgsnap.stores.address import Address
from pgsnap.stores.sftp.link import Link, Lost, Missing, Refused, translated
from pgsnap.stores.sftp.login import NotReached, log_in

_T = TypeVar("_T")

# A server that is restarted is back by then.
RECONNECT_SECONDS = 60.0
# sshd turns away a part of those who come at once (MaxStartups).
_FIRST_CONNECT_SECONDS = 15.0
# What is cut so often will not get through.
_LOSSES_MAX = 5


class Connection:
    """Runs tasks on a link to the server, and again on another one where it broke."""

    def __init__(self, address: Address, root: str, *, is_only: bool = False) -> None:
        """*is_only*: nobody else writes there, so at the end nothing temporary stays."""
        self.address = address
        self._root = root
        self._is_only = is_only
        self._connecting = asyncio.Lock()
        self._link: Link | None = None
        # The sessions of broken links, of which something may still be on its way.
        self._broken: list[str] = []
        # What is left of sessions before them.
        self._ended: list[str] = []
        self._was_connected = False

    async def run(self, task: Callable[[Link], Awaitable[_T]], name: str, size: int = 0) -> _T:
        """Return what *task* returns, which concerns the object *name* of *size* bytes.

        It is called again after a loss, with a link on which nothing that it asked for before can
        still happen. Raises StoreError.
        """
        losses = 0
        while True:
            link = await self._linked()
            try:
                return await task(link)
            except Lost as loss:
                self._forget(link)
                losses += 1
                if losses == _LOSSES_MAX:
                    raise StoreError(
                        f"the connection to {self.address} breaks again and again",
                        detail=f'It broke {losses} times in a row while "{name}" was transferred:'
                        f" {str(loss).rstrip('.')}.",
                        hint="Run the command again: it goes on where this one stopped.",
                    ) from loss
            except Missing as error:
                raise ObjectNotFound(f'"{name}" is not in the repository') from error
            except Refused as error:
                raise await self._explained(link, error, name, size) from error

    async def close(self) -> None:
        """Remove what is temporary, and close."""
        link, self._link = self._link, None
        if link is not None:
            with contextlib.suppress(Lost, Missing, Refused):
                while self._ended:
                    await link.remove_all(self._ended.pop())
            await link.end(is_last=self._is_only)

    def _forget(self, link: Link) -> None:
        link.abort()
        if self._link is link:
            self._link = None
            if link.has_session:
                self._broken.append(link.session)

    async def _linked(self) -> Link:
        async with self._connecting:
            if self._link is None:
                self._link = await self._connected()
            return self._link

    async def _connected(self) -> Link:
        limit = RECONNECT_SECONDS if self._was_connected else _FIRST_CONNECT_SECONDS
        deadline = time.monotonic() + limit
        delay = 0.2
        while True:
            try:
                link = await self._new_link()
                try:
                    await self._end_broken(link)
                except BaseException:
                    link.abort()
                    raise
            except (NotReached, Lost) as error:
                # An address that is wrong from the start is reported at once.
                is_turned_away = isinstance(error, Lost) or _is_turned_away(error)
                may_wait = self._was_connected or is_turned_away
                if not may_wait or time.monotonic() + delay > deadline:
                    if isinstance(error, NotReached):
                        raise
                    raise NotReached(
                        f"cannot reach {self.address}", detail=f"{str(error).rstrip('.')}."
                    ) from error
            else:
                self._was_connected = True
                return link
            await asyncio.sleep(random.uniform(delay / 2, delay))
            delay = min(delay * 2, 8.0)

    async def _new_link(self) -> Link:
        import asyncssh

        ssh = await log_in(self.address)
        try:
            with translated():
                # Names that are not UTF-8 are passed over, like others that are no object's.
                sftp = await ssh.start_sftp_client(path_errors="surrogateescape")
                return Link(ssh, sftp, self._root)
        except (Lost, Refused, asyncssh.ChannelOpenError) as error:
            if ssh.is_closed():
                raise Lost(
                    "The server closed the connection right after the login; its log says why"
                ) from error
            ssh.abort()
            raise StoreError(
                f"no SFTP on {self.address}",
                detail=f"The login works, but SFTP does not: {str(error).rstrip('.')}.",
            ) from error
        except BaseException:
            ssh.abort()
            raise

    async def _end_broken(self, link: Link) -> None:
        """Give the sessions of broken links another name: nothing that is still on its way there
        can find a file of theirs, or put one there."""
        try:
            while self._broken:
                with contextlib.suppress(Missing):
                    await link.rename(self._broken[0], ended(self._broken[0]))
                self._ended.append(ended(self._broken.pop(0)))
        except Refused as error:
            raise StoreError(
                f"the account of {self.address} may not rename what it wrote",
                detail=f"The server says: {error.words}.",
            ) from error

    async def _explained(self, link: Link, error: Refused, name: str, size: int) -> SnapError:
        """Return the error for what the server did not do."""
        words = f"The server says: {error.words.rstrip('.')}."
        is_full = error.is_full
        if error.is_bare and not is_full:
            with contextlib.suppress(Lost, Missing, Refused):
                is_full = await link.is_full(size)
        if is_full:
            return StoreFull(
                f"no space left on {self.address}",
                detail=words,
                hint="Free space there, or raise the account's quota; then run the command again.",
            )
        if error.is_unsupported:
            return StoreError(
                f"the server of {self.address} lacks what a repository needs",
                detail=f"{words} Needed are OpenSSH's extensions fsync, hardlink and posix-rename.",
                hint="Use the SFTP server of OpenSSH.",
            )
        if error.words == "Failure":
            # OpenSSH says no more, whatever the reason.
            words += " It gives no reason; the quota of the account may be used up."
        hint = (
            f"The account must own {self.address}, or may only read." if error.is_forbidden else ""
        )
        kind = StoreRefused if error.is_forbidden else StoreError
        return kind(f'cannot access "{name}" in the repository', detail=words, hint=hint)


def ended(session: str) -> str:
    """Return the name of the folder of a session whose link broke."""
    return f"{session}-ended"


def _is_turned_away(error: BaseException) -> bool:
    """Return whether the server broke off the login, as it does with many at once."""
    import asyncssh

    return isinstance(error.__cause__, asyncssh.ConnectionLost | ConnectionResetError)
