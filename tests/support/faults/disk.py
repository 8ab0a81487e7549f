"""Every effect on the disk, seen from inside the process that has it: counted, logged, killed at.

The effects are those of the calls that Python makes of the operating system (module os) and the
statements that SQLite runs. So every step there is can be killed at, also one that is added later;
the program itself has no switch for it.
"""

from __future__ import annotations

import os
import pickle
import signal
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

from support.faults.power import UNLOGGED


class Watcher(Protocol):
    def before(self, effect: str, path: str) -> None:
        """Hear of an effect that is about to happen."""

    def torn(self, file: int, views: list[Any]) -> None:
        """Hear of a write that is about to happen; it may do a part of it."""

    def after(self, record: tuple[Any, ...]) -> None:
        """Hear of an effect that happened, as `support.faults.power` replays it."""


class KillAt:
    """Kills its process at the n-th effect (from 0), and in the middle of it if it is a write."""

    def __init__(self, kill_at: int | None, *, names: Path | None = None) -> None:
        self._kill_at = kill_at
        self._names = names
        self._lock = threading.Lock()
        self.count = 0

    def before(self, effect: str, path: str) -> None:
        with self._lock:
            number, self.count = self.count, self.count + 1
            if self._names is not None:
                with self._names.open("a") as file:
                    file.write(f"{effect} {path}\n")
        if number == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def torn(self, file: int, views: list[Any]) -> None:
        self.before("half of a write", str(file))

    def after(self, record: tuple[Any, ...]) -> None:
        pass


class Log:
    """Appends every effect to a file, for `support.faults.power`; dies at the n-th if asked to.

    With *in_doubt* only those count that come right after an entry of a folder was made: there an
    object can be seen that a power cut may still take.
    """

    def __init__(self, path: Path, kill_at: int | None = None, *, in_doubt: bool = False) -> None:
        self._file = path.open("ab", buffering=0)
        self._kill_at = kill_at
        self._in_doubt = in_doubt
        self._count = 0
        self._last = ""

    def before(self, effect: str, path: str) -> None:
        counts = not self._in_doubt or self._last in ("replace", "link", "mkdir")
        self._last = effect
        if not counts:
            return
        if self._count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._count += 1

    def torn(self, file: int, views: list[Any]) -> None:
        pass

    def after(self, record: tuple[Any, ...]) -> None:
        self._file.write(pickle.dumps(record))

    def mark(self, label: str) -> None:
        self.after(("mark", label))


def read_log(path: Path) -> list[tuple[Any, ...]]:
    """Return the effects that a `Log` wrote."""
    records = []
    with path.open("rb") as file:
        while True:
            try:
                records.append(pickle.load(file))
            except EOFError:
                return records


class _Calls:
    """The calls of module os that are watched, below *base*."""

    def __init__(self, base: Path, watcher: Watcher) -> None:
        self.base = str(base.resolve())
        self.watcher = watcher
        self.whole = {name: getattr(os, name) for name in _WATCHED}
        # Whoever kills the process must hold it, or an effect could be there that no log tells of.
        self.lock = threading.RLock()
        self.offsets: dict[int, int] = {}

    def place(self, path: Any, folder: int | None = None) -> tuple[str, str] | None:
        """Return folder and name of a path below the base, None for any other. A relative one is
        meant in the open *folder*, where one is given."""
        try:
            path = os.fspath(path)
            if folder is not None:
                path = str(Path(f"/proc/self/fd/{folder}").readlink() / path)
            text = os.path.abspath(path)  # noqa: PTH100 - resolve would follow links
        except TypeError:
            return None
        if isinstance(text, bytes) or not text.startswith(self.base + "/"):
            return None
        folder, _, name = text[len(self.base) :].rpartition("/")
        if name.startswith(UNLOGGED):
            return None
        return folder, name

    def name_of(self, file: int) -> tuple[str, str] | None:
        try:
            return self.place(str(Path(f"/proc/self/fd/{file}").readlink()))
        except OSError:
            return None

    def open(self, path: Any, flags: int, *words: Any, **more: Any) -> int:
        place = self.place(path, more.get("dir_fd"))
        if place is None or not flags & os.O_CREAT:
            return int(self.whole["open"](path, flags, *words, **more))
        with self.lock:
            self.watcher.before("create", place[1])
            file = int(self.whole["open"](path, flags, *words, **more))
            self.offsets[file] = 0
            self.watcher.after(("create", *place, os.fstat(file).st_ino))
        return file

    def writev(self, file: int, views: list[Any]) -> int:
        place = self.name_of(file)
        if place is None:
            return int(self.whole["writev"](file, views))
        with self.lock:
            self.watcher.before("write", place[1])
        half = b"".join(views)[: sum(map(len, views)) // 2]
        if isinstance(self.watcher, KillAt):
            # What the kernel may do too: take a part, and let us ask again.
            written = os.write(file, half) if half else 0
            self.watcher.torn(file, views)
            if written:
                return written
        with self.lock:
            written = int(self.whole["writev"](file, views))
            at = self.offsets.get(file, 0)
            self.offsets[file] = at + written
            data = b"".join(views)[:written]
            self.watcher.after(("write", os.fstat(file).st_ino, at, data))
        return written

    def fsync(self, file: int) -> None:
        info = os.fstat(file)
        path = str(Path(f"/proc/self/fd/{file}").readlink())
        is_folder = stat.S_ISDIR(info.st_mode)
        if not path.startswith(self.base) or not (is_folder or self.place(path)):
            return self.whole["fsync"](file)  # type: ignore[no-any-return]
        with self.lock:
            self.watcher.before("sync", path.rpartition("/")[2])
            # The effects count, not the disk: a real sync would only take time.
            if is_folder:
                self.watcher.after(("sync folder", path[len(self.base) :]))
            else:
                self.watcher.after(("sync", info.st_ino))
        return None

    def mkdir(self, path: Any, *words: Any, **more: Any) -> None:
        place = self.place(path, more.get("dir_fd"))
        with self.lock:
            if place is not None:
                self.watcher.before("mkdir", place[1])
            self.whole["mkdir"](path, *words, **more)
            if place is not None:
                self.watcher.after(("mkdir", *place))

    def unlink(self, path: Any, *words: Any, **more: Any) -> None:
        place = self.place(path, more.get("dir_fd"))
        with self.lock:
            if place is not None:
                self.watcher.before("unlink", place[1])
            self.whole["unlink"](path, *words, **more)
            if place is not None:
                self.watcher.after(("unlink", *place))

    def replace(self, source: Any, target: Any, **more: Any) -> None:
        self._two("replace", source, target, **more)

    def rename(self, source: Any, target: Any, **more: Any) -> None:
        self._two("replace", source, target, **more)

    def link(self, source: Any, target: Any, **more: Any) -> None:
        self._two("link", source, target, **more)

    def _two(self, call: str, source: Any, target: Any, **more: Any) -> None:
        old = self.place(source, more.get("src_dir_fd"))
        new = self.place(target, more.get("dst_dir_fd"))
        if old is None or new is None:
            self.whole[call](source, target, **more)
            return
        with self.lock:
            self.watcher.before(call, new[1])
            self.whole[call](source, target, **more)
            self.watcher.after((call, *old, *new))


_WATCHED = ("open", "writev", "fsync", "mkdir", "unlink", "replace", "rename", "link")


@contextmanager
def watched(base: Path, watcher: Watcher) -> Iterator[None]:
    """Let *watcher* hear of every effect below *base*, and of every statement of SQLite."""
    calls = _Calls(base, watcher)
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def connect_watched(*words: Any, **more: Any) -> sqlite3.Connection:
        made = connect(*words, **more)
        made.set_trace_callback(before_statement)
        return made

    def before_statement(sql: str) -> None:
        with calls.lock:
            watcher.before("sql", sql[:24])

    with (
        mock.patch.multiple(os, **{name: getattr(calls, name) for name in _WATCHED}),
        mock.patch.object(sqlite3, "connect", connect_watched),
    ):
        yield
