"""A folder as a store. Durable, atomic writes: sync the file, rename it, then sync its folder."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from pgsnap import interrupts
from pgsnap.errors import (
    CorruptionError,
    ObjectExists,
    ObjectNotFound,
    StoreChanged,
    StoreError,
    StoreFull,
    StoreRefused,
)
from pgsnap.files import flock, whole
from pgsnap.files.folder import NO_ROOM, Folder, Kind, sync_folder
from pgsnap.files.owned import FOLDER_MODE, way_in
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.patterns import regex
from pgsnap.stores import lease
from pgsnap.stores.base import Data, ObjectInfo
from pgsnap.stores.names import above, checked
from pgsnap.stores.remembered import Listed, Remembered

TEMPORARY = "tmp"
_TEMPORARY_NAME = regex(r"[0-9a-f]+")

CAS_LOCK = "cas.lock"
CAS_LEASES = "cas.leases"

# A compare-and-swap takes milliseconds, a few seconds on a slow network.
_CAS_SECONDS = 120.0
# Only tags are compared and swapped.
_CAS_BYTES_MAX = 1024 * 1024

_REFUSED = (errno.EACCES, errno.EPERM)

# Read-only media, and a folder that vanished meanwhile.
_NOTHING_TO_SETTLE = (errno.EROFS, errno.EACCES, errno.EINVAL, errno.ENOENT)


class LocalStore:
    """Objects as files below *root*. Folders have mode 0700 and files 0600, whatever the umask.

    A write goes to a file below ``tmp/`` first, so a crash leaves nothing under an object's name.
    Links and special files are refused (`files.folder`): UntrustedPath.
    """

    def __init__(
        self, root: Path, trust: Trust = ONLY_OURS, remembered: Remembered | None = None
    ) -> None:
        self.root = root
        self._remembered = remembered
        self.folder = Folder(root, trust)
        # Folders whose own entry this process has made durable.
        self._settled: set[str] = set()

    def make_root(self) -> None:
        """Create the folder itself, private to its owner."""
        try:
            self._make_root()
            self._make_folder(TEMPORARY)
            # It may have existed already, and been open to others.
            with contextlib.suppress(PermissionError):
                self.root.chmod(FOLDER_MODE)
        except OSError as error:
            raise (StoreFull if error.errno in NO_ROOM else StoreError)(
                f'cannot make the folder "{self.root}"',
                detail=f"{error.strerror} ({error.filename or self.root}).",
                hint="Name a place on a disk with room that you may write to: snap init PATH",
            ) from error

    def put(self, name: str, data: Data) -> None:
        with self._errors(name), self._temporary(data) as temporary:
            self._publish(temporary, checked(name))

    def create(self, name: str, data: bytes) -> None:
        with self._errors(name), self._temporary(data) as temporary:
            try:
                self._publish_new(temporary, checked(name), self._exclusive())
            except FileExistsError:
                raise ObjectExists(f'"{name}" exists already') from None

    def replace(self, name: str, data: bytes | None, expected: bytes | None) -> None:
        with self._errors(name), self._exclusive():
            try:
                found: bytes | None = self.folder.read(checked(name), _CAS_BYTES_MAX)
            except FileNotFoundError:
                found = None
            if found != expected:
                raise StoreChanged(f'"{name}" was changed by another process')
            if data is None:
                self.folder.unlink(name, missing_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    self.folder.sync(above(name))
                return
            with self._temporary(data) as temporary:
                if found is not None:
                    self._publish(temporary, name)
                    return
                try:
                    self._publish_new(temporary, name, contextlib.nullcontext())
                except FileExistsError:
                    raise StoreChanged(f'"{name}" was changed by another process') from None

    def get(
        self,
        name: str,
        start: int = 0,
        length: int | None = None,
        *,
        bytes_max: int | None = None,
    ) -> bytes:
        interrupts.check()
        if self._remembered is not None:
            # It is read for a page, which nobody waits for any more once the server ends.
            interrupts.check_left_behind()
        try:
            file, size = self.folder.open_with_size(checked(name))
            try:
                if bytes_max is not None and size > bytes_max:
                    raise CorruptionError(
                        f'"{name}" is damaged',
                        detail=f"It has {size} bytes; none of its kind has more than {bytes_max}.",
                    )
                wanted = size - start if length is None else length
                parts = []
                while wanted:
                    interrupts.check()
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
        except OSError as error:
            raise self._translated(name, error) from error

    def many_reads(self) -> contextlib.AbstractContextManager[None]:
        return self.folder.many_reads()

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        with self._errors(prefix):
            found = self._walk(checked(prefix.removesuffix("/")))
            if not after:
                yield from found
                return
            yield from (info for info in found if info.name > after)

    def names(self, prefix: str) -> set[str]:
        """Return the names that `list` yields: those of tens of thousands of objects in one folder
        in two thirds of the time."""
        interrupts.check()
        found = []
        with self._errors(prefix), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if self._remembered is not None:
                return {info.name for info in self.list(prefix)}
            is_file = stat.S_ISREG
            for name, status in self.folder.statuses(checked(prefix.removesuffix("/"))):
                if not is_file(status.st_mode):
                    # A folder's objects have names too, and all else is refused.
                    return {info.name for info in self.list(prefix)}
                found.append(name)
        return {prefix + name for name in found if name.isascii()}

    def delete(self, *names: str) -> None:
        folders = set()
        for name in names:
            with self._errors(name):
                self.folder.unlink(checked(name), missing_ok=True)
                folders.add(above(name))
        # A sync takes much longer than an unlink, and one is enough per folder.
        for folder in sorted(folders):
            with self._errors(folder), contextlib.suppress(FileNotFoundError):
                self.folder.sync(folder)

    def settle(self, names: Iterable[str]) -> None:
        for folder in sorted({above(checked(name)) for name in names}):
            with self._errors(folder):
                try:
                    self._settle_folder(folder)
                    self.folder.sync(folder)
                except OSError as error:
                    if error.errno not in _NOTHING_TO_SETTLE:
                        raise

    def move(self, name: str, target: str) -> None:
        """Rename an object; the new name must be free."""
        with self._errors(name):
            self._make_folder(above(checked(target)))
            if self.folder.exists(target):
                raise ObjectExists(f'"{target}" exists already')
            self.folder.rename(checked(name), target)
            self.folder.sync(above(target))
            self.folder.sync(above(name))

    def has_leftovers(self) -> bool:
        """Return whether a writer is running, or was killed while writing."""
        with self._errors(TEMPORARY):
            return any(self._leftovers())

    def remove_leftovers(self) -> None:
        """Delete what killed writers left behind, and nothing else that may be there. Only safe
        while nobody else writes."""
        with self._errors(TEMPORARY):
            for name in self._leftovers():
                self.folder.unlink(name, missing_ok=True)

    def _leftovers(self) -> Iterator[str]:
        for entry in self.folder.entries(TEMPORARY):
            if entry.kind is Kind.FILE and _TEMPORARY_NAME.fullmatch(entry.name):
                yield f"{TEMPORARY}/{entry.name}"

    def _walk(self, name: str) -> Iterator[ObjectInfo]:
        try:
            if self._remembered is not None and self._remembered.covers(name):
                listed = self._remembered.listed(self.folder, name, self._listed)
            else:
                listed = self._listed(name)
        except (FileNotFoundError, NotADirectoryError):
            return
        for found in listed:
            interrupts.check()
            if isinstance(found, str):
                yield from self._walk(found)
            else:
                yield found

    def _listed(self, name: str) -> Listed:
        found: Listed = []
        file, folder = Kind.FILE, Kind.FOLDER
        for entry in self.folder.entries(name):
            last, kind = entry.name, entry.kind
            if not last.isascii():
                # Object names are ASCII: a stray file.
                continue
            path = f"{name}/{last}"
            if kind is file:
                found.append(ObjectInfo(path, entry.size))
            elif kind is folder:
                found.append(path)
            else:
                with contextlib.suppress(FileNotFoundError):
                    self.folder.refuse(path)
        return found

    @contextlib.contextmanager
    def _temporary(self, data: Data) -> Iterator[str]:
        """Yield the name of a durable file with *data*; it is deleted afterwards."""
        self.folder.refuse_foreign()
        self._make_folder(TEMPORARY)
        name = f"{TEMPORARY}/{os.urandom(8).hex()}"
        parts = [data] if isinstance(data, bytes) else data
        with whole.draft(self.folder, name, lambda file: whole.write_all(file, parts)):
            yield name

    def _publish(self, temporary: str, target: str) -> None:
        self._make_folder(above(target))
        whole.publish(self.folder, temporary, target)

    def _publish_new(
        self, temporary: str, target: str, alone: contextlib.AbstractContextManager[None]
    ) -> None:
        """Raise FileExistsError if *target* exists; *alone* is the lock used without hard links."""
        self._make_folder(above(target))
        whole.publish_new(self.folder, temporary, target, alone)

    def _make_root(self) -> None:
        """Create the folder itself and its parents, which may be reached through links."""
        missing = [path for path in (self.root, *self.root.parents) if not path.is_dir()]
        for path in reversed(missing):
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=FOLDER_MODE)
                with contextlib.suppress(PermissionError):
                    path.chmod(FOLDER_MODE)
            sync_folder(path.parent)

    def _make_folder(self, name: str) -> None:
        """Create a folder and its parents, each entry durable before anything is put below it."""
        if name:
            self._settled.update(self.folder.make(name))
            self._settle_folder(name)

    def _settle_folder(self, name: str) -> None:
        """Sync the entries of a folder and its parents, up to the root: the process that created
        them may have been killed before doing so."""
        if not name or name in self._settled:
            return
        self._settle_folder(above(name))
        self.folder.sync(above(name))
        self._settled.add(name)

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Serialise compare-and-swap across processes and threads."""
        file = self.folder.open(CAS_LOCK, os.O_RDWR | os.O_CREAT)
        try:
            with contextlib.ExitStack() as stack:
                try:
                    flock.lock(file)
                except OSError as error:
                    if error.errno not in lease.NO_FLOCK:
                        raise
                    stack.enter_context(self._leased())
                yield
        finally:
            os.close(file)

    @contextlib.contextmanager
    def _leased(self) -> Iterator[None]:
        folder = self.folder.below(CAS_LEASES)
        try:
            with lease.hold(folder, alone=True, timeout_seconds=_CAS_SECONDS, anonymous=True):
                yield
        except lease.LeaseTaken:
            raise StoreError(
                "another process does not let go of the repository's tags",
                detail=f"Its lease is in {folder.path}.",
                hint="Run the command again once it ended.",
            ) from None

    @contextlib.contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._translated(name, error) from error

    def _translated(self, name: str, error: OSError) -> StoreError:
        if isinstance(error, FileNotFoundError):
            return ObjectNotFound(f'"{name}" is not in the repository')
        words = f"{error.strerror} ({error.filename or self.root})."
        if error.errno in NO_ROOM:
            return _no_room(error, words)
        kind = StoreRefused if error.errno in _REFUSED else StoreError
        way = way_in(error, self.root)
        return kind(f'cannot access "{name}" in the repository', detail=words, hint=way)


def _no_room(error: OSError, words: str) -> StoreFull:
    if error.errno == errno.EFBIG:
        return StoreFull(
            "a file in the repository would be larger than it may be",
            detail=words,
            hint="Raise the limit (ulimit -f; fsize in /etc/security/limits.conf), or use a file"
            " system that takes larger files.",
        )
    return StoreFull(
        "no space left in the repository",
        detail=words,
        hint="Free space there, then run the command again; or begin a new repository"
        " on another disk: snap init PATH",
    )


def _read_at(file: int, size: int, start: int, name: str) -> bytes:
    try:
        return os.pread(file, size, start)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        # A bad sector is damage to this object, and can be mended like any other.
        raise CorruptionError(
            f'"{name}" cannot be read',
            detail=f"Its disk gives none of its bytes around offset {start}: {error.strerror}.",
        ) from error
