"""Power cuts: what a disk may hold when the current goes in the middle of logged effects.

The model is the least that POSIX promises. Of each file, the writes since its last fsync are there
or not, each 512 bytes on its own, and its length with or without them. Of each folder, the entries
made, replaced and removed since its last fsync are there or not, each on its own: a rename may be
found done in one folder and not in the other. A folder whose own entry is lost is lost with all in
it. Nothing that was synced is lost.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECTOR = 512
UNLOGGED = ("index.sqlite", ".probe", "lock", "cas.")
"""How the names of files begin that no log tells of: the index has a journal of its own, and the
others hold nothing."""
_FOLDER = -1


@dataclass
class _File:
    durable: bytes = b""
    pending: list[tuple[int, bytes]] = field(default_factory=list)


@dataclass
class _Folder:
    """Entries by name: the serial of a file, _FOLDER, or absent."""

    durable: dict[str, int] = field(default_factory=dict)
    now: dict[str, int] = field(default_factory=dict)
    pending: list[tuple[str, int | None]] = field(default_factory=list)

    def change(self, name: str, what: int | None) -> None:
        self.pending.append((name, what))
        _apply(self.now, name, what)


class Disk:
    """What is in the page cache and on the platter, after some of the logged effects."""

    def __init__(self) -> None:
        self._folders: dict[str, _Folder] = {"": _Folder()}
        self._files: dict[int, _File] = {}
        self._serials: dict[int, int] = {}

    @classmethod
    def holding(cls, folder: Path) -> Disk:
        """Return a disk on which all that is in *folder* is durable."""
        disk = cls()
        disk._take(folder, "")
        return disk

    def _take(self, folder: Path, name: str) -> None:
        for path in folder.iterdir():
            if path.is_dir():
                self._mkdir(name, path.name)
                self._take(path, f"{name}/{path.name}")
            elif not path.name.startswith(UNLOGGED):
                inode = path.stat().st_ino
                self._create(name, path.name, inode)
                self._write(inode, 0, path.read_bytes())
                self._sync(inode)
        self._sync_folder(name)

    def do(self, record: Sequence[Any]) -> None:
        """Carry out one effect of a log."""
        kind, *words = record
        getattr(self, "_" + kind.replace(" ", "_"))(*words)

    def _mark(self, label: str) -> None:
        pass

    def _mkdir(self, folder: str, name: str) -> None:
        self._folders[folder].change(name, _FOLDER)
        self._folders[f"{folder}/{name}"] = _Folder()

    def _create(self, folder: str, name: str, inode: int) -> None:
        # A deleted file's inode is used again.
        serial = self._serials[inode] = len(self._files)
        self._files[serial] = _File()
        self._folders[folder].change(name, serial)

    def _write(self, inode: int, offset: int, data: bytes) -> None:
        self._files[self._serials[inode]].pending.append((offset, data))

    def _sync(self, inode: int) -> None:
        file = self._files[self._serials[inode]]
        for offset, data in file.pending:
            file.durable = _written(file.durable, offset, data)
        file.pending.clear()

    def _sync_folder(self, folder: str) -> None:
        found = self._folders[folder]
        found.durable = dict(found.now)
        found.pending.clear()

    def _unlink(self, folder: str, name: str) -> None:
        self._folders[folder].change(name, None)

    def _replace(self, folder: str, name: str, new_folder: str, new_name: str) -> None:
        self._link(folder, name, new_folder, new_name)
        self._unlink(folder, name)

    def _link(self, folder: str, name: str, new_folder: str, new_name: str) -> None:
        if new_folder not in self._folders:
            # Made by a process that was killed before it could tell: there, and not synced.
            self._mkdir(*new_folder.rsplit("/", 1))
        self._folders[new_folder].change(new_name, self._folders[folder].now[name])

    def cut(self, target: Path, chance: random.Random) -> None:
        """Write into *target* what may be found after a power cut now."""
        keep = chance.choice((0.0, 0.0, 0.3, 0.7, 1.0))
        self._put("", target, chance, keep)

    def _put(self, folder: str, target: Path, chance: random.Random, keep: float) -> None:
        target.mkdir(mode=0o700, exist_ok=True)
        found = self._folders[folder]
        entries = dict(found.durable)
        for name, what in found.pending:
            if chance.random() < keep:
                _apply(entries, name, what)
        for name, what in entries.items():
            if what == _FOLDER:
                self._put(f"{folder}/{name}", target / name, chance, keep)
            else:
                (target / name).write_bytes(self._content(what, chance, keep))

    def _content(self, serial: int, chance: random.Random, keep: float) -> bytes:
        file = self._files[serial]
        data = file.durable
        for offset, written in file.pending:
            for start in range(0, len(written), SECTOR):
                if chance.random() < keep:
                    data = _written(data, offset + start, written[start : start + SECTOR])
            if chance.random() < keep:
                # The length reached the disk, some of the bytes did not.
                data = data.ljust(offset + len(written), b"\0")
        return data


def _apply(entries: dict[str, int], name: str, what: int | None) -> None:
    if what is None:
        entries.pop(name, None)
    else:
        entries[name] = what


def _written(data: bytes, offset: int, new: bytes) -> bytes:
    data = data.ljust(offset, b"\0")
    return data[:offset] + new + data[offset + len(new) :]
