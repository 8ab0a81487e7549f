"""A folder as a store. Durable or not written: file synced, renamed, then its folder synced."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pgsnap.errors import (
    CorruptionError,
    ObjectExists,
    ObjectNotFound,
    StoreChanged,
    StoreError,
    StoreFull,
)
from pgsnap.stores import lease
from pgsnap.stores.base import Data, ObjectInfo

FOLDER_MODE = 0o700
FILE_MODE = 0o600
TEMPORARY = "tmp"

_IOV_MAX = 512
# A compare-and-swap takes milliseconds, a few seconds on a slow network.
_CAS_SECONDS = 120.0

# Read-only media, and a folder that went meanwhile.
_NOTHING_TO_SETTLE = (errno.EROFS, errno.EACCES, errno.EINVAL, errno.ENOENT)


class LocalStore:
    """Objects as files below *root*. Folders have mode 0700 and files 0600, whatever the umask.

    A write goes to a file below ``tmp/`` first, so a crash leaves nothing under an object's name.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        # Folders whose own entry this process has made durable.
        self._settled: set[Path] = set()

    def make_root(self) -> None:
        """Make the folder itself, private to its owner."""
        try:
            self._make_folder(self.root / TEMPORARY)
            # It may have been there, and open to others.
            self.root.chmod(0o700)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise (StoreFull if full else StoreError)(
                f'cannot make the folder "{self.root}"',
                detail=f"{error.strerror} ({error.filename or self.root}).",
                hint="Name a place on a disk with room that you may write to: snap init PATH",
            ) from error

    def put(self, name: str, data: Data) -> None:
        with self._errors(name), self._temporary(data) as temporary:
            self._publish(temporary, self._path(name))

    def create(self, name: str, data: bytes) -> None:
        target = self._path(name)
        with self._errors(name), self._temporary(data) as temporary:
            try:
                self._publish_new(temporary, target, self._exclusive())
            except FileExistsError:
                raise ObjectExists(f'"{name}" exists already') from None

    def replace(self, name: str, data: bytes | None, expected: bytes | None) -> None:
        target = self._path(name)
        with self._errors(name), self._exclusive():
            try:
                found: bytes | None = target.read_bytes()
            except FileNotFoundError:
                found = None
            if found != expected:
                raise StoreChanged(f'"{name}" was changed by another process')
            if data is None:
                target.unlink(missing_ok=True)
                if target.parent.exists():
                    sync_folder(target.parent)
                return
            with self._temporary(data) as temporary:
                if found is not None:
                    self._publish(temporary, target)
                    return
                try:
                    self._publish_new(temporary, target, contextlib.nullcontext())
                except FileExistsError:
                    raise StoreChanged(f'"{name}" was changed by another process') from None

    def get(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        with self._errors(name):
            file = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                wanted = os.fstat(file).st_size - start if length is None else length
                parts = []
                while wanted:
                    part = _read_at(file, wanted, start, name) if wanted > 0 else b""
                    if not part:
                        raise CorruptionError(
                            f'"{name}" is cut short',
                            detail=f"It ends before offset {start + max(wanted, 0)}.",
                        )
                    parts.append(part)
                    start += len(part)
                    wanted -= len(part)
                return parts[0] if len(parts) == 1 else b"".join(parts)
            finally:
                os.close(file)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._errors(prefix):
            yield from self._walk(self._path(prefix.rstrip("/")), prefix.rstrip("/"))

    def delete(self, *names: str) -> None:
        folders = set()
        for name in names:
            with self._errors(name):
                target = self._path(name)
                target.unlink(missing_ok=True)
                folders.add(target.parent)
        # A sync takes much longer than an unlink, and one will do for a folder.
        for folder in sorted(folders):
            with self._errors(str(folder.relative_to(self.root))):
                if folder.exists():
                    sync_folder(folder)

    def settle(self, names: Iterable[str]) -> None:
        folders = {self._path(name).parent for name in names}
        for folder in sorted(folders):
            with self._errors(str(folder.relative_to(self.root))):
                try:
                    self._settle_folder(folder)
                    sync_folder(folder)
                except OSError as error:
                    if error.errno not in _NOTHING_TO_SETTLE:
                        raise

    def move(self, name: str, target: str) -> None:
        """Give an object another name, which must be free."""
        with self._errors(name):
            source, there = self._path(name), self._path(target)
            self._make_folder(there.parent)
            if there.exists():
                raise ObjectExists(f'"{target}" exists already')
            source.rename(there)
            sync_folder(there.parent)
            sync_folder(source.parent)

    def has_leftovers(self) -> bool:
        """Tell whether a writer is at work, or was killed at it."""
        with self._errors(TEMPORARY):
            return any((self.root / TEMPORARY).iterdir())

    def remove_leftovers(self) -> None:
        """Delete what writers that were killed left behind. Only while nobody else writes."""
        with self._errors(TEMPORARY):
            for file in (self.root / TEMPORARY).iterdir():
                file.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        parts = name.split("/")
        if not name.isascii() or any(part in ("", ".", "..") for part in parts):
            raise StoreError(f'"{name}" is no object name')
        return self.root.joinpath(*parts)

    def _walk(self, folder: Path, name: str) -> Iterator[ObjectInfo]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        for entry in entries:
            if not entry.name.isascii():
                # No object has such a name: a stray file.
                continue
            path = f"{name}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(folder / entry.name, path)
            else:
                with contextlib.suppress(FileNotFoundError):
                    yield ObjectInfo(path, entry.stat().st_size)

    @contextlib.contextmanager
    def _temporary(self, data: Data) -> Iterator[Path]:
        """Give the path of a durable file that holds *data*; it is gone afterwards."""
        folder = self.root / TEMPORARY
        self._make_folder(folder)
        path = folder / secrets.token_hex(8)
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
            try:
                os.fchmod(file, FILE_MODE)
                _write_all(file, [data] if isinstance(data, bytes) else data)
                os.fsync(file)
            finally:
                os.close(file)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _publish(self, temporary: Path, target: Path) -> None:
        self._make_folder(target.parent)
        temporary.replace(target)
        # Else the rename itself may be lost.
        sync_folder(target.parent)

    def _publish_new(
        self, temporary: Path, target: Path, alone: contextlib.AbstractContextManager[None]
    ) -> None:
        """Raise FileExistsError if *target* is there; *alone* is taken where links are unknown."""
        self._make_folder(target.parent)
        try:
            os.link(temporary, target)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                raise
            # A file system without hard links: whoever makes an object holds the same lock.
            with alone:
                if target.exists():
                    raise FileExistsError(errno.EEXIST, "exists", str(target)) from None
                temporary.replace(target)
        sync_folder(target.parent)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and those above it, each entry durable before anything is put below it."""
        if not folder.is_dir():
            if folder.parent != folder:
                self._make_folder(folder.parent)
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=FOLDER_MODE)
                folder.chmod(FOLDER_MODE)
            sync_folder(folder.parent)
            self._settled.add(folder)
        elif folder != self.root and self.root in folder.parents:
            self._settle_folder(folder)

    def _settle_folder(self, folder: Path) -> None:
        """Sync the entries of a folder and of those above it, up to the root: who made them may
        have been killed before doing so."""
        if folder == self.root or folder in self._settled:
            return
        self._settle_folder(folder.parent)
        sync_folder(folder.parent)
        self._settled.add(folder)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Serialise compare-and-swap between processes and threads."""
        self._make_folder(self.root)
        path = self.root / "cas.lock"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            if stat.S_IMODE(os.fstat(file).st_mode) != FILE_MODE:
                os.fchmod(file, FILE_MODE)
            with contextlib.ExitStack() as stack:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX)
                except OSError as error:
                    if error.errno not in lease.NO_FLOCK:
                        raise
                    stack.enter_context(self._leased())
                yield
        finally:
            os.close(file)

    @contextlib.contextmanager
    def _leased(self) -> Iterator[None]:
        folder = self.root / "cas.leases"
        try:
            with lease.hold(folder, alone=True, timeout_seconds=_CAS_SECONDS):
                yield
        except lease.LeaseTaken:
            raise StoreError(
                "another process does not let go of the repository's tags",
                detail=f"Its lease is in {folder}.",
                hint="Run the command again once it ended.",
            ) from None

    @contextlib.contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ObjectNotFound(f'"{name}" is not in the repository') from error
        except OSError as error:
            words = f"{error.strerror} ({error.filename or self.root})."
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull(
                    "no space left in the repository",
                    detail=words,
                    hint="Free space there, then run the command again; or begin a new repository"
                    " on another disk: snap init PATH",
                ) from error
            raise StoreError(f'cannot access "{name}" in the repository', detail=words) from error


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _read_at(file: int, size: int, start: int, name: str) -> bytes:
    try:
        return os.pread(file, size, start)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        # A bad sector is damage of this object, and can be mended like any other.
        raise CorruptionError(
            f'"{name}" cannot be read',
            detail=f"Its disk gives none of its bytes around offset {start}: {error.strerror}.",
        ) from error


def _write_all(file: int, parts: Sequence[bytes]) -> None:
    """Write *parts* one after another, in as few calls as the kernel takes."""
    views = [memoryview(part) for part in parts if part]
    first = 0
    while first < len(views):
        written = os.writev(file, views[first : first + _IOV_MAX])
        while first < len(views) and written >= len(views[first]):
            written -= len(views[first])
            first += 1
        if written:
            views[first] = views[first][written:]
