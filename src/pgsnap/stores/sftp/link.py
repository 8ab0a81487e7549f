"""One connection to an SFTP server, and what it is asked; asyncssh's errors become those here."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import stat
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from pgsnap.files.owned import FILE_MODE, FOLDER_MODE
from pgsnap.patterns import regex
from pgsnap.stores.base import Data
from pgsnap.values import dataclass

if TYPE_CHECKING:
    import asyncssh

_T = TypeVar("_T")

TEMPORARY = "tmp"
# The largest request that OpenSSH answers in full.
BLOCK_BYTES = 255 * 1024
# By the server's clock. A process that sleeps for longer makes a new session.
LEFTOVER_SECONDS = 24 * 60 * 60
# Whatever else is there may be somebody's own.
_LEFTOVER = regex(r"[0-9a-f]{16}(-ended)?|cas-[0-9a-f]{16}")


class Lost(Exception):
    """The connection broke. Whether the server did what was asked last is not known."""


class Missing(Exception):
    """The server has no file or folder of this name."""


class Refused(Exception):
    """The server did not do it. *is_bare*: without a reason; *is_full*: for lack of room."""

    def __init__(self, words: str, kind: str) -> None:
        super().__init__(words)
        self.words = words
        self.is_bare = kind == "SFTPFailure"
        self.is_full = kind in ("SFTPNoSpaceOnFilesystem", "SFTPQuotaExceeded")
        self.is_forbidden = kind in ("SFTPPermissionDenied", "SFTPWriteProtect")
        self.is_unsupported = kind == "SFTPOpUnsupported"


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raise Lost, Missing or Refused for what asyncssh raises."""
    import asyncssh

    lost = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.DisconnectError)
    try:
        yield
    except (*lost, ConnectionError) as error:
        raise Lost(str(error)) from error
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath) as error:
        raise Missing(error.reason) from error
    except asyncssh.SFTPError as error:
        raise Refused(error.reason or "Failure", type(error).__name__) from error


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a folder; *modified* by the server's clock, in seconds since 1970."""

    name: str
    is_file: bool
    is_folder: bool
    size: int
    modified: int


@dataclass(frozen=True, slots=True)
class Staged:
    """A durable file that is not an object yet."""

    name: str
    file: asyncssh.SFTPClientFile


class Link:
    """A connection with a folder of its own below ``tmp/``, its session.

    Whatever changes an object takes it from there or puts it there. So once the folder has another
    name, nothing that is still on its way on this connection can have an effect.
    """

    def __init__(
        self, ssh: asyncssh.SSHClientConnection, sftp: asyncssh.SFTPClient, root: str
    ) -> None:
        self._ssh = ssh
        self._sftp = sftp
        self._root = root
        self.session = f"{TEMPORARY}/{secrets.token_hex(8)}"
        self.has_session = False
        self._making_session = asyncio.Lock()
        self._in_background: set[asyncio.Task[None]] = set()

    # -- reading --------------------------------------------------------------------------------

    async def open(self, name: str) -> asyncssh.SFTPClientFile:
        import asyncssh

        with translated():
            file: asyncssh.SFTPClientFile = await self._sftp.open(
                self._path(name), asyncssh.FXF_READ, encoding=None
            )
            return file

    async def size(self, file: asyncssh.SFTPClientFile) -> int:
        with translated():
            return int((await file.stat()).size or 0)

    async def read(self, file: asyncssh.SFTPClientFile, length: int, start: int) -> bytes:
        """Return at most *length* bytes; fewer only at the end of the file."""
        with translated():
            data: bytes = await file.read(length, start) if length else b""
            return data

    def close(self, file: asyncssh.SFTPClientFile) -> None:
        """Close *file* without waiting for the answer."""

        async def closed() -> None:
            with contextlib.suppress(Lost, Missing, Refused), translated():
                await file.close()

        self.in_background(closed())

    async def entries(self, name: str) -> list[Entry]:
        found = []
        with translated():
            async for entry in self._sftp.scandir(self._path(name)):
                mode = entry.attrs.permissions or 0
                if entry.filename not in (".", ".."):
                    found.append(
                        Entry(
                            str(entry.filename),
                            stat.S_ISREG(mode),
                            stat.S_ISDIR(mode),
                            entry.attrs.size or 0,
                            entry.attrs.mtime or 0,
                        )
                    )
        return found

    async def exists(self, name: str) -> bool:
        try:
            await self._look(name)
        except Missing:
            return False
        return True

    async def _look(self, name: str) -> asyncssh.SFTPAttrs:
        with translated():
            attributes: asyncssh.SFTPAttrs = await self._sftp.lstat(self._path(name))
            return attributes

    async def is_full(self, wanted: int) -> bool:
        """Return whether the server's disk has no room for *wanted* bytes in one more file."""
        with translated():
            disk = await self._sftp.statvfs(self._path(""))
            has_room = disk.bavail * disk.frsize >= max(wanted, disk.frsize)
            return not has_room or bool(disk.files > 0 and disk.favail == 0)

    # -- changing -------------------------------------------------------------------------------

    async def make_session(self) -> str:
        """Make the session's folder; return its name."""
        async with self._making_session:
            if not self.has_session:
                try:
                    await self.make_folder(TEMPORARY)
                except Missing:
                    await self._make_root()
                    await self.make_folder(TEMPORARY)
                await self.make_folder(self.session)
                self.has_session = True
                self.in_background(self._remove_leftovers())
        return self.session

    async def _remove_leftovers(self) -> None:
        """Remove what killed writers left behind long ago."""
        now = (await self._look(self.session)).mtime or 0
        for entry in await self.entries(TEMPORARY):
            is_old = now - entry.modified > LEFTOVER_SECONDS
            if is_old and entry.is_folder and _LEFTOVER.fullmatch(entry.name):
                await self.remove_all(f"{TEMPORARY}/{entry.name}")

    async def stage(self, data: Data, name: str = "") -> Staged:
        """Write a durable file in the session's folder, or with a *name* below it."""
        if name:
            file = await self._create(name)
        else:
            name, file = await self._in_session(secrets.token_hex(8), self._create)
        whole = data if isinstance(data, bytes) else b"".join(data)
        try:
            with translated():
                if whole:
                    await file.write(whole, 0)
                await file.fsync()
        except BaseException as error:
            if isinstance(error, Refused) and error.is_bare:
                # As long as this file takes its room.
                with contextlib.suppress(Lost, Missing, Refused):
                    error.is_full = await self.is_full(len(whole))
            self.close(file)
            self.in_background(self.remove(name))
            raise
        return Staged(name, file)

    async def make_in_session(self, name: str) -> str:
        """Make a folder in the session's folder; return its whole name."""
        return (await self._in_session(name, self.make_folder))[0]

    async def _in_session(self, name: str, make: Callable[[str], Awaitable[_T]]) -> tuple[str, _T]:
        """Make something in the session's folder; return its whole name, and what *make* gave."""
        path = f"{await self.make_session()}/{name}"
        try:
            return path, await make(path)
        except Missing:
            # Taken for left over while this process slept.
            self.has_session = False
        await self.make_session()
        return path, await make(path)

    async def _create(self, name: str) -> asyncssh.SFTPClientFile:
        import asyncssh

        flags = asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_EXCL
        attributes = asyncssh.SFTPAttrs(permissions=FILE_MODE)
        with translated():
            file: asyncssh.SFTPClientFile = await self._sftp.open(
                self._path(name), flags, attributes, encoding=None
            )
            return file

    async def rename(self, name: str, target: str) -> None:
        """Rename, and replace what has the name *target*, in one step."""
        with translated():
            await self._sftp.posix_rename(self._path(name), self._path(target))

    async def link(self, name: str, target: str) -> None:
        """Give a file a second name that must be free."""
        with translated():
            await self._sftp.link(self._path(name), self._path(target))

    async def remove(self, name: str) -> None:
        """Remove a file, if there is one."""
        with contextlib.suppress(Missing), translated():
            await self._sftp.remove(self._path(name))

    async def remove_folder(self, name: str) -> None:
        """Remove a folder, if there is one; it must be empty."""
        with contextlib.suppress(Missing), translated():
            await self._sftp.rmdir(self._path(name))

    async def remove_all(self, name: str) -> None:
        """Remove a folder and what is in it, as far as there is one."""
        with contextlib.suppress(Missing):
            for entry in await self.entries(name):
                if entry.is_folder:
                    await self.remove_all(f"{name}/{entry.name}")
                else:
                    await self.remove(f"{name}/{entry.name}")
            await self.remove_folder(name)

    async def make_folder(self, name: str) -> None:
        """Make a folder, if there is none."""
        try:
            await self._make(self._path(name))
        except Refused:
            # OpenSSH gives no reason. Without the right to make it, it may be there, too.
            if not await self._is_folder(name):
                raise

    async def _is_folder(self, name: str) -> bool:
        try:
            return stat.S_ISDIR((await self._look(name)).permissions or 0)
        except Missing:
            return False

    async def _make_root(self) -> None:
        """Make the folder of the store and its parents, which may be reached through links."""
        parts = self._root.split("/")
        for end in range(1, len(parts) + 1):
            path = "/".join(parts[:end])
            if path:
                try:
                    await self._make(path)
                except Refused:
                    with translated():
                        if not await self._sftp.isdir(path):
                            raise

    async def _make(self, path: str) -> None:
        import asyncssh

        with translated():
            await self._sftp.mkdir(path, asyncssh.SFTPAttrs(permissions=FOLDER_MODE))

    async def sync_folder(self, name: str) -> bool:
        """Make a folder's entries durable; return whether the server can: OpenSSH can, for it opens
        a folder like a file."""
        try:
            folder = await self.open(name)
        except Refused:
            return False
        try:
            await self.sync(folder)
        finally:
            self.close(folder)
        return True

    async def sync(self, file: asyncssh.SFTPClientFile) -> None:
        with translated():
            await file.fsync()

    # -- its end --------------------------------------------------------------------------------

    def in_background(self, work: Any) -> None:
        """Do what nobody waits for; its errors have no consequence."""

        async def quietly() -> None:
            with contextlib.suppress(Lost, Missing, Refused):
                await work

        task = asyncio.create_task(quietly())
        self._in_background.add(task)
        task.add_done_callback(self._in_background.discard)

    async def end(self, *, is_last: bool) -> None:
        """Remove the session's folder, and if it *is_last* what held it; close the connection."""
        with contextlib.suppress(Lost, Missing, Refused):
            if self._in_background:
                await asyncio.wait(self._in_background)
            if self.has_session:
                await self.remove_all(self.session)
                if is_last:
                    await self.remove_folder(TEMPORARY)
        self._ssh.close()

    def abort(self) -> None:
        self._ssh.abort()

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root or "/"
