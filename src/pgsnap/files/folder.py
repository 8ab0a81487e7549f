"""Folders owned by snap: everything in them is accessed without following symbolic links.

A repository may have been written by somebody else, who can put a link, a pipe or a file of their
own wherever snap looks. So each part of a name is opened relative to the folder before it, never by
path, and anything but a folder or a regular file of a trusted owner is refused.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
import stat
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

from pgsnap.errors import SnapError, UntrustedPath
from pgsnap.files.open_folders import OpenFolders
from pgsnap.files.owned import FILE_MODE, FOLDER_MODE, give, is_open_to_others, open_new
from pgsnap.files.trust import (
    ONLY_OURS,
    Trust,
    foreign_warning,
    is_foreign,
    is_link,
    is_no_file,
)
from pgsnap.values import dataclass

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Otherwise opening a pipe would block.
_FILE_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK
# O_PATH (Linux only) gives a descriptor that reads nothing and holds no locks.
_LOOK_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The errors if nothing more can be written: disk full, quota, or the maximum file size of the file
system or a limit (ulimit -f)."""

_MAY_BE_A_LINK = (errno.ENOTDIR, errno.ELOOP, errno.EEXIST)


class Kind(enum.Enum):
    """The type of an entry. OTHER is what snap never creates: links, pipes, sockets, devices."""

    FILE = enum.auto()
    FOLDER = enum.auto()
    OTHER = enum.auto()


_KINDS = {stat.S_IFREG: Kind.FILE, stat.S_IFDIR: Kind.FOLDER}


@dataclass(slots=True)
class Entry:
    """An entry of a folder; *size* in bytes, for files."""

    name: str
    kind: Kind
    size: int


class Folder:
    """A folder and what is below it, by relative names with "/" between their parts.

    Its own path may lead through links; nothing below it may, except for those that *trust* names.
    Trusted owners are root, the caller, the owner of the folder, and those of *trust*. Files of
    others are read with a warning; from then on nothing is written. Raises OSError, UntrustedPath.
    """

    def __init__(self, path: Path, trust: Trust = ONLY_OURS, *, below: str = "") -> None:
        """*below*: all names are relative to the folder of this name, which need not exist."""
        self.root = path
        self.trust = trust
        self.path = path / below
        self._prefix = below + "/" if below else ""
        # The first file of an untrusted owner that was found, and its owner.
        self._foreign: tuple[Path, int] | None = None
        self._open_folders = OpenFolders(self._descend)

    def below(self, name: str) -> Folder:
        """Return the subfolder *name* of this folder, with the same trust."""
        return Folder(self.root, self.trust, below=self._prefix + name)

    # -- reaching -----------------------------------------------------------------------------

    def _descend(self, folders: str) -> tuple[int, int]:
        """Return a descriptor of the folder with the full name *folders* ("": the root), and the
        owner of the root."""
        at = os.open(self.root, _FOLDER_FLAGS)
        try:
            owner = os.fstat(at).st_uid
            done = ""
            for part in folders.split("/") if folders else ():
                done = f"{done}/{part}" if done else part
                below = self._step(at, part, done)
                os.close(at)
                at = below
                self._meet(done, os.fstat(at), owner)
        except (OSError, SnapError):
            os.close(at)
            raise
        return at, owner

    def _step(self, at: int, part: str, full: str) -> int:
        try:
            return os.open(part, _FOLDER_FLAGS | self._no_follow(full), dir_fd=at)
        except OSError as error:
            raise self._explained(error, at, part, full) from None

    @contextlib.contextmanager
    def _parent(self, name: str) -> Iterator[tuple[int, str, int]]:
        """Yield a descriptor of the folder that *name* is in, its last part, and the owner of the
        root."""
        above, _, last = (self._prefix + name).rpartition("/")
        at, owner = self._descend(above)
        try:
            yield at, last, owner
        finally:
            os.close(at)

    def _no_follow(self, full: str) -> int:
        if self.trust.links and absolute(self.root / full) in self.trust.links:
            return 0
        return os.O_NOFOLLOW

    def _explained(self, error: OSError, at: int, part: str, full: str) -> Exception:
        """Return *error* with the path, or a better error that says what is wrong with the path."""
        path = self.root / full
        if error.errno == errno.ENXIO:
            # A socket, or a pipe without a reader.
            return is_no_file(path)
        if error.errno in _MAY_BE_A_LINK:
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISLNK(os.stat(part, dir_fd=at, follow_symlinks=False).st_mode):
                    return is_link(path)
        error.filename = str(path)
        return error

    def many_reads(self) -> contextlib.AbstractContextManager[None]:
        """Keep the folders of the files that are opened open until the end of the block."""
        return self._open_folders.keep()

    # -- owners -------------------------------------------------------------------------------

    def _meet(self, full: str, found: os.stat_result, of_root: int) -> None:
        """Check the owner; warn about the first file of an untrusted one."""
        owner = found.st_uid
        trusted = self.trust.anyone or owner in self.trust.owners
        if trusted or owner in (of_root, 0, os.geteuid()):
            return
        if self._foreign is None:
            self._foreign = self.root / full, owner
            if self.trust.warn is not None:
                self.trust.warn(foreign_warning(*self._foreign))

    @property
    def has_foreign(self) -> bool:
        """Return whether a file of an untrusted owner was found, so that nothing may be written."""
        return self._foreign is not None

    def refuse_foreign(self) -> None:
        """Raise UntrustedPath if a file of an untrusted owner was found."""
        if self._foreign is not None:
            raise is_foreign(*self._foreign)

    # -- reading ------------------------------------------------------------------------------

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Return a descriptor of the regular file *name*; a new one gets mode 0600, whatever the
        umask."""
        return self.open_with_size(name, flags)[0]

    def open_with_size(self, name: str, flags: int = os.O_RDONLY) -> tuple[int, int]:
        """Return the same as `open`, and the size of the file in bytes."""
        full = self._prefix + name
        above, _, last = full.rpartition("/")
        at, owner, stays = self._open_folders.reach(above)
        try:
            all_flags = flags | _FILE_FLAGS | self._no_follow(full)
            if flags & os.O_CREAT:
                file = open_new(last, all_flags, FILE_MODE, at, owner)
            else:
                file = os.open(last, all_flags, dir_fd=at)
        except OSError as error:
            raise self._explained(error, at, last, full) from None
        finally:
            if not stays:
                os.close(at)
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise is_no_file(self.root / full)
            if found.st_uid != owner:
                self._meet(full, found, owner)
            if flags & os.O_CREAT and is_open_to_others(found):
                with contextlib.suppress(PermissionError):
                    os.fchmod(file, FILE_MODE)
        except (OSError, SnapError):
            os.close(file)
            raise
        return file, found.st_size

    def read(self, name: str, bytes_max: int) -> bytes:
        """Return at most the first *bytes_max* bytes of a file."""
        file = self.open(name)
        try:
            parts = []
            while bytes_max > 0 and (part := os.read(file, bytes_max)):
                parts.append(part)
                bytes_max -= len(part)
            return b"".join(parts)
        finally:
            os.close(file)

    def status(self, name: str) -> os.stat_result:
        """Return the status of a regular file, without opening it."""
        full = self._prefix + name
        with self._parent(name) as (at, last, owner):
            follow = not self._no_follow(full)
            found = os.stat(last, dir_fd=at, follow_symlinks=follow)
        if stat.S_ISLNK(found.st_mode):
            raise is_link(self.root / full)
        if not stat.S_ISREG(found.st_mode):
            raise is_no_file(self.root / full)
        self._meet(full, found, owner)
        return found

    def close_to_others(self, name: str) -> os.stat_result:
        """Set a regular file's mode to 0600 without opening it: closing it again would release the
        locks that this process has on it. Returns its status."""
        found = self.status(name)
        if is_open_to_others(found):
            with self._parent(name) as (at, last, _):
                # It may have been replaced by now: a link is not followed here either.
                file = os.open(last, _LOOK_FLAGS | self._no_follow(self._prefix + name), dir_fd=at)
            try:
                if stat.S_ISREG(os.fstat(file).st_mode):
                    with contextlib.suppress(PermissionError):
                        Path(f"/proc/self/fd/{file}").chmod(FILE_MODE)
            finally:
                os.close(file)
        return found

    def exists(self, name: str) -> bool:
        """Return whether anything of this name exists."""
        try:
            with self._parent(name) as (at, last, _):
                return _is_there(at, last)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def folds_case(self, name: str) -> bool:
        """Return whether the file system treats names that differ only in case as the same, tested
        with an existing file *name*."""
        try:
            return os.path.samestat(self.status(name), self.status(name.swapcase()))
        except (OSError, UntrustedPath):
            return False

    def entries(self, name: str = "") -> list[Entry]:
        """Return the entries of a folder, sorted by name, but those that vanish meanwhile."""
        kinds, type_of, other, file = _KINDS, stat.S_IFMT, Kind.OTHER, Kind.FILE
        found = []
        for last, status in self.statuses(name):
            kind = kinds.get(type_of(status.st_mode), other)
            found.append(Entry(last, kind, status.st_size if kind is file else 0))
        found.sort(key=attrgetter("name"))
        return found

    def statuses(self, name: str) -> Iterator[tuple[str, os.stat_result]]:
        """Yield the names of a folder's entries, in no certain order, each with its status."""
        full = (self._prefix + name).rstrip("/")
        inside = full + "/" if full else ""
        at, owner = self._descend(full)
        has_links = bool(self.trust.links)
        try:
            with os.scandir(at) as scanned:
                # Tens of thousands in a folder of snapshots: nothing expensive in here.
                for entry in scanned:
                    last = entry.name
                    follow = has_links and not self._no_follow(inside + last)
                    try:
                        status = entry.stat(follow_symlinks=follow)
                    except FileNotFoundError:
                        continue
                    if status.st_uid != owner:
                        self._meet(inside + last, status, owner)
                    yield last, status
        finally:
            os.close(at)

    def refuse(self, name: str) -> None:
        """Raise UntrustedPath for an entry that is neither a file nor a folder."""
        full = self._prefix + name
        with self._parent(name) as (at, last, _):
            status = os.stat(last, dir_fd=at, follow_symlinks=False)
        raise (is_link if stat.S_ISLNK(status.st_mode) else is_no_file)(self.root / full)

    # -- writing ------------------------------------------------------------------------------

    def make(self, name: str) -> list[str]:
        """Create the folder *name* and its parents, with mode 0700, each entry durable before
        anything is put below it. Returns those created."""
        made = []
        done = ""
        for part in filter(None, (self._prefix + name).split("/")):
            above, done = done, f"{done}/{part}" if done else part
            at, owner = self._descend(above)
            try:
                if not _is_there(at, part):
                    self.refuse_foreign()
                    self._make_last(at, part, done, owner)
                    made.append(done)
            finally:
                os.close(at)
        os.close(self._descend(done)[0])
        return made

    def _make_last(self, at: int, part: str, full: str, owner: int) -> None:
        try:
            os.mkdir(part, FOLDER_MODE, dir_fd=at)
        except FileExistsError:
            return
        try:
            folder = self._step(at, part, full)
        except PermissionError:
            # The umask removes even the owner's permissions.
            os.chmod(part, FOLDER_MODE, dir_fd=at)
            folder = self._step(at, part, full)
        try:
            # Some file systems (FAT) do not support modes.
            with contextlib.suppress(PermissionError):
                os.fchmod(folder, FOLDER_MODE)
            give(folder, owner)
        finally:
            os.close(folder)
        os.fsync(at)

    def sync(self, name: str = "") -> None:
        """Make the entries of a folder durable."""
        at, _ = self._descend((self._prefix + name).rstrip("/"))
        try:
            os.fsync(at)
        finally:
            os.close(at)

    def touch(self, name: str) -> float:
        """Set a file's time to now by its file system's clock, and return that."""
        with self._parent(name) as (at, last, _):
            os.utime(last, dir_fd=at, follow_symlinks=False)
            return os.stat(last, dir_fd=at, follow_symlinks=False).st_mtime

    def unlink(self, name: str, *, missing_ok: bool = False, is_folder: bool = False) -> None:
        """Delete a file, or an empty folder; for a link, only the link itself."""
        try:
            with self._parent(name) as (at, last, _):
                self.refuse_foreign()
                (os.rmdir if is_folder else os.unlink)(last, dir_fd=at)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def rename(self, source: str, target: str) -> None:
        """Rename a file, replacing the target."""
        with self._parent(source) as (old_at, old, _), self._parent(target) as (at, last, _):
            self.refuse_foreign()
            os.replace(old, last, src_dir_fd=old_at, dst_dir_fd=at)

    def link(self, source: str, target: str) -> None:
        """Create a hard link to a file; its name must be free."""
        with self._parent(source) as (old_at, old, _), self._parent(target) as (at, last, _):
            self.refuse_foreign()
            os.link(old, last, src_dir_fd=old_at, dst_dir_fd=at, follow_symlinks=False)


def absolute(path: Path) -> Path:
    """Return *path* as an absolute path, without resolving links."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _is_there(at: int, part: str) -> bool:
    try:
        os.stat(part, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable."""
    file = os.open(folder, _FOLDER_FLAGS)
    try:
        os.fsync(file)
    finally:
        os.close(file)
