"""The services stopped right now, in a file: found again if snap and its supervisor both die.

The supervisor locks its file as long as it lives; a file without a lock has lost its
supervisor, and the services that it names may still be stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pgsnap import interrupts
from pgsnap.errors import SnapError
from pgsnap.files import flock
from pgsnap.files.folder import Folder
from pgsnap.files.owned import make_folders
from pgsnap.services.commands import Service
from pgsnap.values import dataclass

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
    """Return `state_folder` as a private `Folder`: only its parents may be links."""
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
    """The file of one supervisor, locked as long as this object exists.

    It is never written in place: a file at its path is always complete and locked.
    """

    def __init__(self, folder: Path) -> None:
        """Create the folder; the file is created by the first write. Raises OSError,
        UntrustedPath."""
        self._folder = _files(folder)
        make_folders(self._folder.root)
        self._folder.make("")
        self._since = datetime.now(UTC)
        self.path = folder / f"{self._since:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}.json"
        self._file: IO[bytes] | None = None

    def write(self, services: Sequence[Service]) -> None:
        """Record durably that exactly *services* are, or are about to be, stopped. Raises OSError;
        the previous record is then still in place."""
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
            # Before it becomes visible: without a lock it would look like a dead supervisor's.
            flock.lock(file.fileno())
            file.write(json.dumps(value).encode())
            file.flush()
            os.fsync(file.fileno())
            self._folder.rename(temporary, self.path.name)
        self._close()
        self._file = file
        self._folder.sync()

    def remove(self) -> None:
        """Record that nothing is stopped any more."""
        self._folder.unlink(self.path.name, missing_ok=True)
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def find_stopped(folder: Path) -> tuple[Stopped, ...]:
    """Return the records in *folder*, oldest first; unreadable ones are left out."""
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
    """Hold the file of a dead supervisor; None if another process holds or has removed it."""
    with contextlib.ExitStack() as stack:
        try:
            file, is_locked = stack.enter_context(_tried(stopped.path))
        except FileNotFoundError:
            yield None
            return
        yield _read(stopped.path, file, is_watched=False) if is_locked else None


@contextlib.contextmanager
def _tried(path: Path) -> Iterator[tuple[IO[bytes], bool]]:
    """Open the file at *path* and try to lock it; yield it with whether that succeeded."""
    folder = _files(path.parent)
    while True:
        with os.fdopen(folder.open(path.name), "rb") as file:
            is_locked = _try_lock(file)
            # A file that was replaced meanwhile belongs to nobody, and is out of date.
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
