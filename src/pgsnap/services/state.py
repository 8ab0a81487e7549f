"""What is stopped right now, in a file: found again when snap and its supervisor are both dead.

The supervisor holds a lock on its file as long as it lives; a file without a lock is one whose
supervisor died, and what it names may still be stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pgsnap.errors import SnapError
from pgsnap.services.commands import Service

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
    """The file of one supervisor, locked while it is open."""

    def __init__(self, folder: Path) -> None:
        """Make it, empty. Raises OSError."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}.json"
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "r+b")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._since = datetime.now(UTC)

    def write(self, services: Sequence[Service]) -> None:
        """Note durably that exactly *services* are, or are about to be, stopped."""
        value = {
            "since": self._since.isoformat(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "services": [service.as_json() for service in services],
        }
        data = json.dumps(value).encode()
        self._file.seek(0)
        self._file.write(data)
        self._file.truncate()
        self._file.flush()
        os.fsync(self._file.fileno())

    def remove(self) -> None:
        """Note that nothing is stopped any more."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self._file.close()


def find_stopped(folder: Path) -> tuple[Stopped, ...]:
    """Return what the files of *folder* tell, the oldest first; what cannot be read is left out."""
    try:
        paths = sorted(folder.glob("*.json"))
    except OSError:
        return ()
    found = []
    for path in paths:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError), path.open("rb") as file:
            stopped = _read(path, file, is_watched=not _try_lock(file))
            if stopped.services:
                found.append(stopped)
    return tuple(found)


@contextlib.contextmanager
def taken(stopped: Stopped) -> Iterator[Stopped | None]:
    """Hold the file of a dead supervisor; None where somebody else does it or did it."""
    try:
        file = stopped.path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        yield _read(stopped.path, file, is_watched=False) if _try_lock(file) else None


def _try_lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(path: Path, file: IO[bytes], *, is_watched: bool) -> Stopped:
    value: dict[str, Any] = json.loads(file.read())
    return Stopped(
        path=path,
        services=tuple(Service.from_json(item) for item in value["services"]),
        since=datetime.fromisoformat(value["since"]),
        host=str(value["host"]),
        is_watched=is_watched,
    )
