"""What is stopped right now, in a file: found again when snap and its supervisor are both dead.

The supervisor holds a lock on its file as long as it lives; a file without a lock is one whose
supervisor died, and what it names may still be stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pgsnap import interrupts
from pgsnap.errors import SnapError
from pgsnap.files import flock
from pgsnap.files.folder import Folder
from pgsnap.services.commands import Service

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, RecursionError)
_BYTES_MAX = 4 * 1024 * 1024
START_COMMAND = "snap doctor --start-services"


def state_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of these files: in the user's state folder. Raises SnapError."""
    named = environ.get("XDG_STATE_HOME")
    try:
        base = Path(named) if named else Path("~/.local/state").expanduser()
    except RuntimeError as error:
        raise SnapError(
            "there is no folder to note in which services are stopped",
            hint="Name one: export XDG_STATE_HOME=/var/lib/snap",
        ) from error
    return base / "pgsnap" / "services"


def _files(folder: Path) -> Folder:
    """Return `state_folder` as one whose files are ours: only what is above it may be a link."""
    above = folder.parent
    return Folder(above.parent, below=f"{above.name}/{folder.name}")


@dataclass(frozen=True, slots=True)
class Stopped:
    """Services that were stopped and, as far as is known, not started again.

    *is_watched*: their supervisor is alive and will start them.
    """

    path: Path
    services: tuple[Service, ...]
    since: datetime
    host: str
    is_watched: bool

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(service.name for service in self.services)


class StateFile:
    """The file of one supervisor, locked as long as this object has it.

    It is never written in place: what is at its path is whole, and locked, whenever it is there.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder; there is no file until something is written. Raises OSError,
        UntrustedPath."""
        self._folder = _files(folder)
        self._folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.make("")
        self._since = datetime.now(UTC)
        self.path = folder / f"{self._since:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}.json"
        self._file: IO[bytes] | None = None

    def write(self, services: Sequence[Service]) -> None:
        """Note durably that exactly *services* are, or are about to be, stopped. Raises OSError;
        then what was noted before still is."""
        value = {
            "since": self._since.isoformat(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "services": [service.as_json() for service in services],
        }
        temporary = self.path.with_suffix(".new").name
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        file = os.fdopen(self._folder.open(temporary, flags), "r+b")

        def throw_away() -> None:
            file.close()
            self._folder.unlink(temporary, missing_ok=True)

        with interrupts.undone_by(throw_away):
            # Before anybody can find it: without a lock it would be a dead supervisor's.
            flock.lock(file.fileno())
            file.write(json.dumps(value).encode())
            file.flush()
            os.fsync(file.fileno())
            self._folder.rename(temporary, self.path.name)
        self._close()
        self._file = file
        self._folder.sync()

    def remove(self) -> None:
        """Note that nothing is stopped any more."""
        self._folder.unlink(self.path.name, missing_ok=True)
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def find_stopped(folder: Path) -> tuple[Stopped, ...]:
    """Return what the files of *folder* tell, the oldest first; what cannot be read is left out."""
    try:
        names = [entry.name for entry in _files(folder).entries() if entry.name.endswith(".json")]
    except OSError:
        return ()
    found = []
    for name in names:
        path = folder / name
        with contextlib.suppress(*_UNREADABLE), _tried(path) as tried:
            file, is_locked = tried
            stopped = _read(path, file, is_watched=not is_locked)
            if stopped.services:
                found.append(stopped)
    return tuple(found)


def forget(stopped: Stopped) -> None:
    """Delete the file of a dead supervisor, whose services run again."""
    _files(stopped.path.parent).unlink(stopped.path.name, missing_ok=True)


@contextlib.contextmanager
def taken(stopped: Stopped) -> Iterator[Stopped | None]:
    """Hold the file of a dead supervisor; None where somebody else does it or did it."""
    with contextlib.ExitStack() as stack:
        try:
            file, is_locked = stack.enter_context(_tried(stopped.path))
        except FileNotFoundError:
            yield None
            return
        yield _read(stopped.path, file, is_watched=False) if is_locked else None


@contextlib.contextmanager
def _tried(path: Path) -> Iterator[tuple[IO[bytes], bool]]:
    """Open the file at *path* and try to lock it; tell whether that went well."""
    folder = _files(path.parent)
    while True:
        with os.fdopen(folder.open(path.name), "rb") as file:
            is_locked = _try_lock(file)
            # A file that was replaced meanwhile is nobody's, and tells what is no longer so.
            if os.path.samestat(os.fstat(file.fileno()), folder.status(path.name)):
                yield file, is_locked
                return


def _try_lock(file: IO[bytes]) -> bool:
    return flock.try_to_lock(file.fileno())


def _read(path: Path, file: IO[bytes], *, is_watched: bool) -> Stopped:
    value: dict[str, Any] = json.loads(file.read(_BYTES_MAX))
    return Stopped(
        path=path,
        services=tuple(Service.from_json(item) for item in value["services"]),
        since=datetime.fromisoformat(value["since"]),
        host=str(value["host"]),
        is_watched=is_watched,
    )
