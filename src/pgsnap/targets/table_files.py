"""Where files of tables go: a folder, in which all of them appear at the end or none, or a store,
where each table is a folder of parts and the mark of the end is written last."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from pgsnap.errors import StoreError, UsageError
from pgsnap.files import whole
from pgsnap.files.folder import Folder
from pgsnap.stores.base import Store
from pgsnap.targets.file import exists_already, file_errors
from pgsnap.values import dataclass

PART_BYTES = 32 * 1024 * 1024
"""About how large a part in a store is: it is held in memory, and sent as a whole."""
END_MARK = "_SUCCESS"
"""As Spark calls it; readers of data sets skip names that begin so."""
_CONFIG = "config"
# Of 255 bytes that a file system allows, less what the time until a file is complete adds.
_STEM_BYTES_MAX = 200
_SHOWN = 3


class TableFiles(Protocol):
    """The files of one table. *names* and *file_bytes* are those that are complete."""

    part_bytes: int | None
    names: list[str]

    @property
    def file_bytes(self) -> int: ...

    def open(self) -> BinaryIO: ...


class Output(Protocol):
    """Takes the files of all tables."""

    def check(self, stems: list[str], ending: str) -> None:
        """Raise UsageError if files that are there would be replaced without --force."""

    def files(self, stem: str, ending: str) -> TableFiles:
        """Return what opens the files of the table with this name."""

    def publish(self, modified: datetime, about: Mapping[str, object]) -> None:
        """Let all files appear as what they are."""

    def abandon(self) -> None:
        """Remove what was written."""


def stem_of(schema: str, table: str) -> str:
    """Return the name of a table's files: letters, digits, "_" and "-" of ASCII as they are,
    others by the numbers of their bytes."""
    stem = ".".join("".join(map(_spelled, part)) for part in (schema, table))
    return stem[:_STEM_BYTES_MAX]


def _spelled(character: str) -> str:
    if character.isascii() and (character.isalnum() or character in "_-"):
        return character
    return "".join(f"={byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))


class _SyncedFile(io.FileIO):
    """A file that is durable once it is closed."""

    def close(self) -> None:
        if not self.closed:
            os.fsync(self.fileno())
        super().close()


class FolderOutput:
    """Files in a folder of this host: hidden until all of them are complete."""

    def __init__(self, path: Path, *, force: bool) -> None:
        self._path = path
        self._force = force
        self._is_new = False
        self._drafts: list[tuple[str, str]] = []
        if not path.is_dir() and not path.parent.is_dir():
            raise UsageError(
                f'there is no folder "{path.parent}"', hint=f"Make it: mkdir -p {path.parent}"
            )
        if path.exists() and not path.is_dir():
            raise UsageError(f'"{path}" is no folder', hint="Name a folder for the tables' files.")

    def check(self, stems: list[str], ending: str) -> None:
        for stem in stems:
            path = self._path / f"{stem}{ending}"
            if path.is_symlink() or (path.exists() and not path.is_file()):
                raise UsageError(f'"{path}" is there already, and it is no ordinary file')
            if path.exists() and not self._force:
                raise exists_already(path)

    def files(self, stem: str, ending: str) -> TableFiles:
        return _FolderFiles(self, f"{stem}{ending}")

    def draft(self, name: str) -> tuple[Path, int]:
        """Create the file that is to be *name*; return where it is until then, and its
        descriptor."""
        with file_errors(self._path):
            if not self._path.is_dir():
                self._path.mkdir()
                self._is_new = True
            unfinished = whole.unfinished_name(name)
            opened = self._folder().open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            self._drafts.append((unfinished, name))
            return self._path / unfinished, opened

    def publish(self, modified: datetime, about: Mapping[str, object]) -> None:
        folder = self._folder()
        nanoseconds = round(modified.timestamp() * 1000) * 1_000_000
        while self._drafts:
            unfinished, name = self._drafts[0]
            with file_errors(self._path / name):
                os.utime(self._path / unfinished, ns=(nanoseconds, nanoseconds))
                if self._force:
                    whole.publish(folder, unfinished, name)
                else:
                    try:
                        whole.publish_new(folder, unfinished, name)
                        folder.unlink(unfinished, missing_ok=True)
                    except FileExistsError:
                        raise exists_already(self._path / name) from None
            self._drafts.pop(0)

    def abandon(self) -> None:
        with contextlib.suppress(OSError):
            for unfinished, _ in self._drafts:
                self._folder().unlink(unfinished, missing_ok=True)
            if self._is_new:
                self._path.rmdir()

    def _folder(self) -> Folder:
        return whole.chosen_folder(self._path)


@dataclass(slots=True)
class _FolderFiles:
    output: FolderOutput
    name: str
    part_bytes: int | None = None
    names: list[str] = field(default_factory=list)
    _path: Path | None = None

    def open(self) -> BinaryIO:
        self._path, opened = self.output.draft(self.name)
        self.names.append(self.name)
        return io.BufferedWriter(_SyncedFile(opened, "wb"), 1024 * 1024)

    @property
    def file_bytes(self) -> int:
        return self._path.stat().st_size if self._path is not None else 0


class StoreOutput:
    """Parts in a *folder* of a store, or if that is empty in the store itself. Those of an earlier
    export are removed at the end, with *force*; then *close* is called."""

    def __init__(
        self,
        store: Store,
        folder: str,
        shown: str,
        *,
        force: bool,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._folder = f"{folder}/" if folder else ""
        self._close = close
        self._shown = shown
        self._force = force
        self._written: list[str] = []
        self._old: set[str] = set()

    def check(self, stems: list[str], ending: str) -> None:
        listed = self._store.list(self._folder)
        there = [info.name.removeprefix(self._folder) for info in listed]
        if _CONFIG in there:
            raise UsageError(
                f"{self._shown} is a repository",
                hint="Name another place for the tables.",
            )
        if there and not self._force:
            raise UsageError(
                f"{self._shown} is not empty",
                detail=f"It holds {', '.join(there[:_SHOWN])}{' …' * (len(there) > _SHOWN)}.",
                hint="Name another prefix, or add --force: the tables in it are replaced.",
            )
        folders = tuple(f"{stem}/" for stem in stems)
        self._old = {name for name in there if name.startswith(folders) or name == END_MARK}
        if END_MARK in self._old:
            self._store.delete(self._folder + END_MARK)

    def files(self, stem: str, ending: str) -> TableFiles:
        return _StoreFiles(self, stem, ending)

    def put(self, name: str, data: bytes) -> None:
        """Write one part."""
        self._store.put(self._folder + name, data)
        self._written.append(name)

    def publish(self, modified: datetime, about: Mapping[str, object]) -> None:
        left = self._old.difference(self._written) - {END_MARK}
        if left:
            self._delete(left)
        self._store.put(self._folder + END_MARK, json.dumps(about).encode("utf-8"))
        self._close()

    def abandon(self) -> None:
        with contextlib.suppress(StoreError):
            if self._written:
                self._delete(self._written)
            self._close()

    def _delete(self, names: Iterable[str]) -> None:
        self._store.delete(*(self._folder + name for name in names))


@dataclass(slots=True)
class _StoreFiles:
    output: StoreOutput
    stem: str
    ending: str
    part_bytes: int | None = PART_BYTES
    names: list[str] = field(default_factory=list)
    file_bytes: int = 0

    def open(self) -> BinaryIO:
        return _Part(self)

    def put(self, data: bytes) -> None:
        name = f"{self.stem}/part-{len(self.names):05}{self.ending}"
        self.output.put(name, data)
        self.names.append(name)
        self.file_bytes += len(data)


class _Part(io.BytesIO):
    """A part that is sent once it is closed."""

    def __init__(self, files: _StoreFiles) -> None:
        super().__init__()
        self._files = files

    def close(self) -> None:
        if not self.closed:
            self._files.put(self.getvalue())
        super().close()


@contextlib.contextmanager
def kept_or_gone(output: Output) -> Iterator[None]:
    """Remove what was written if the block raises."""
    try:
        yield
    except BaseException:
        output.abandon()
        raise
