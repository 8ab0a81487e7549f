"""Leases: locks made of files, for file systems without flock.

Whoever wants the lock first makes a file of its own and then looks at those of the others, so of
two that come at once at least one sees the other. Nothing is ever taken over: a dead holder's
file is ignored, and deleted. Names are never used twice, so no deletion can hit a living lease.
(The idea of announcing oneself before looking is that of L. Lamport's bakery algorithm, 1974.)
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NO_FLOCK = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What flock says on a file system that has none."""

HEARTBEAT_SECONDS = 60.0
# A holder on another host that gave no sign for so long is dead: a suspended machine may be back
# after minutes, a network file system after a reboot of its server.
STALE_SECONDS = 30 * 60.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease. *place* tells hosts, boots and process namespaces apart."""

    host: str
    place: str
    pid: int
    started: str
    since: str


class LeaseTaken(Exception):
    """Others hold the lock; *holders* are those that could be read."""

    def __init__(self, holders: list[Holder]) -> None:
        super().__init__("taken")
        self.holders = holders


class Lease:
    """A lease that is held: `is_held` tells whether nobody took it for dead meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def is_held(self) -> bool:
        return self._path.exists()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            # The file server's clock, which is the same for all who look.
            with contextlib.suppress(OSError):
                os.utime(self._path)


@contextlib.contextmanager
def hold(folder: Path, *, alone: bool, timeout_seconds: float) -> Iterator[Lease]:
    """Hold the lock of *folder*, with others or *alone*. Raises LeaseTaken, OSError.

    Who wants it alone keeps its file while it waits for the others, so newcomers wait behind it.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    deadline = time.monotonic() + timeout_seconds
    while True:
        path = _announce(folder, alone=alone)
        try:
            others = _living(folder, path)
            while alone and others and not any(is_alone for is_alone, _ in others):
                if time.monotonic() >= deadline:
                    break
                time.sleep(_POLL_SECONDS)
                others = _living(folder, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        in_the_way = [holder for is_alone, holder in others if alone or is_alone]
        if not in_the_way:
            break
        path.unlink(missing_ok=True)
        if time.monotonic() >= deadline:
            raise LeaseTaken([holder for holder in in_the_way if holder is not None])
        # Two that came at once gave way to each other: not in step again.
        time.sleep(random.uniform(_POLL_SECONDS / 2, _POLL_SECONDS * 2))
    lease = Lease(path)
    try:
        yield lease
    finally:
        lease.end()


def _announce(folder: Path, *, alone: bool) -> Path:
    """Make a lease of ours; return its path."""
    name = ("alone-" if alone else "shared-") + secrets.token_hex(8)
    pid = os.getpid()
    holder = {
        "host": socket.gethostname(),
        "place": place(),
        "pid": pid,
        "started": _started(pid),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    path = folder / name
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, json.dumps(holder).encode())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)
    return path


def _living(folder: Path, own: Path) -> list[tuple[bool, Holder | None]]:
    """Return the others' leases that may be alive, and delete the others."""
    os.utime(own)
    now = own.stat().st_mtime
    found: list[tuple[bool, Holder | None]] = []
    for path in folder.iterdir():
        kind, _, serial = path.name.partition("-")
        if path == own or kind not in ("alone", "shared") or not serial:
            continue
        try:
            age = now - path.stat().st_mtime
            holder = _read(path)
        except FileNotFoundError:
            continue
        if age > STALE_SECONDS or (holder is not None and _is_dead(holder)):
            path.unlink(missing_ok=True)
        else:
            found.append((kind == "alone", holder))
    return found


def _read(path: Path) -> Holder | None:
    """Return who holds a lease, None where it is not written yet, or cut."""
    try:
        return Holder(**json.loads(path.read_bytes()))
    except (ValueError, TypeError):
        return None


def _is_dead(holder: Holder) -> bool:
    """Tell whether the holder was a process that we could see, and is gone."""
    return holder.place == place() and _started(holder.pid) != holder.started


def place() -> str:
    """Return what tells this host, since its boot, and this process namespace from any other."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    # Without them a process cannot be known again: nobody's place is ours.
    return " ".join(parts) if len(parts) == 3 else secrets.token_hex(8)


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; "" where there is none."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    # A zombie holds nothing any more. (proc(5): state is field 3, starttime field 22.)
    return "" if words[0] in "ZX" else words[19]
