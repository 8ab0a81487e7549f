"""Leases: locks in the form of files, for file systems without flock.

A process that wants the lock first creates its own file and then looks at those of others, so of
two that come at once at least one sees the other. No lease is ever taken over: a dead holder's file
is ignored, and deleted. Names are never reused, so no deletion can hit a live lease. (Announcing
oneself before looking is the idea of L. Lamport's bakery algorithm, 1974.)
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from blake3 import blake3

from pgsnap import interrupts
from pgsnap.files.folder import Folder
from pgsnap.patterns import regex
from pgsnap.values import dataclass

NO_FLOCK = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What flock fails with on a file system that does not support it."""

HEARTBEAT_SECONDS = 60.0
# A holder on another host without a heartbeat for this long is dead: a suspended machine may be
# back after minutes, a network file system after a reboot of its server.
STALE_SECONDS = 30 * 60.0
_POLL_SECONDS = 0.1

# Nothing else in the folder is ever deleted.
_NAME = regex(r"(alone|shared)-[0-9a-f]{16}")
_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of a lease. *place* distinguishes hosts, boots and process namespaces. *host* is
    "" if the holder keeps it to itself."""

    host: str
    place: str
    pid: int
    started: str
    since: str


class LeaseTaken(Exception):
    """Others hold the lock; *holders* are those whose leases could be read."""

    def __init__(self, holders: list[Holder]) -> None:
        super().__init__("taken")
        self.holders = holders


class Lease:
    """A held lease: `is_held` is false once somebody took it for dead."""

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def is_held(self) -> bool:
        return self._folder.exists(self._name)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._folder.unlink(self._name, missing_ok=True)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            # By the file server's clock, which is the same for all processes.
            with contextlib.suppress(OSError):
                self._folder.touch(self._name)


@contextlib.contextmanager
def hold(
    folder: Folder, *, alone: bool, timeout_seconds: float, anonymous: bool = False
) -> Iterator[Lease]:
    """Hold the lock of *folder*, shared or (*alone*) exclusive; *anonymous*: without naming this
    host. Raises LeaseTaken, OSError.

    A process that wants it alone keeps its file while waiting for the others, so that newcomers
    queue behind it.
    """
    folder.make("")
    deadline = time.monotonic() + timeout_seconds
    while True:
        name = _announce(folder, alone=alone, anonymous=anonymous)
        with contextlib.ExitStack() as withdrawn:
            withdrawn.callback(folder.unlink, name, missing_ok=True)
            others = _living(folder, name)
            while alone and others and not any(is_alone for is_alone, _ in others):
                if time.monotonic() >= deadline:
                    break
                interrupts.sleep(_POLL_SECONDS)
                others = _living(folder, name)
            in_the_way = [holder for is_alone, holder in others if alone or is_alone]
            if not in_the_way:
                withdrawn.pop_all()
                break
        if time.monotonic() >= deadline:
            raise LeaseTaken([holder for holder in in_the_way if holder is not None])
        # Imported here, since it would slow down every start.
        import random

        # Two that came at once gave way to each other: a random delay keeps them out of step.
        interrupts.sleep(random.uniform(_POLL_SECONDS / 2, _POLL_SECONDS * 2))
    lease = Lease(folder, name)
    try:
        yield lease
    finally:
        lease.end()


def _announce(folder: Folder, *, alone: bool, anonymous: bool) -> str:
    """Create this process's own lease; return its name."""
    name = ("alone-" if alone else "shared-") + os.urandom(8).hex()
    pid = os.getpid()
    holder = {
        "host": "" if anonymous else socket.gethostname(),
        "place": hidden_place() if anonymous else place(),
        "pid": pid,
        "started": _started(pid),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    with contextlib.ExitStack() as withdrawn:
        file = folder.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        withdrawn.callback(folder.unlink, name, missing_ok=True)
        try:
            os.write(file, json.dumps(holder).encode())
        finally:
            os.close(file)
        withdrawn.pop_all()
    return name


def _living(folder: Folder, own: str) -> list[tuple[bool, Holder | None]]:
    """Return the others' leases that may be alive, and delete dead ones."""
    now = folder.touch(own)
    found: list[tuple[bool, Holder | None]] = []
    for entry in folder.entries():
        leased = _NAME.fullmatch(entry.name)
        if entry.name == own or leased is None:
            continue
        try:
            age = now - folder.status(entry.name).st_mtime
            holder = _read(folder.read(entry.name, _BYTES_MAX))
        except FileNotFoundError:
            continue
        # One from far in the future was written when the file server's clock was wrong.
        if abs(age) > STALE_SECONDS or (holder is not None and _is_dead(holder)):
            folder.unlink(entry.name, missing_ok=True)
        else:
            found.append((leased[1] == "alone", holder))
    return found


def _read(data: bytes) -> Holder | None:
    """Return the holder of a lease, None if it is not written yet, or truncated."""
    try:
        holder = Holder(**json.loads(data))
    except (ValueError, TypeError, RecursionError):
        return None
    words = (holder.host, holder.place, holder.started, holder.since)
    is_sound = type(holder.pid) is int and all(isinstance(word, str) for word in words)
    return holder if is_sound else None


def _is_dead(holder: Holder) -> bool:
    """Return whether the holder was a process visible from here, and is gone."""
    is_here = holder.place in (place(), hidden_place())
    return is_here and _started(holder.pid) != holder.started


def place() -> str:
    """Return a string that identifies this host, its current boot, and this process namespace."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    # Without these a process cannot be recognised: a random place, equal to nobody's.
    return " ".join(parts) if len(parts) == 3 else os.urandom(8).hex()


def hidden_place() -> str:
    """Return `place` as a hash. A boot's id is random, so the host's name cannot be guessed."""
    return blake3(place().encode()).hexdigest()


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; "" if there is none."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    # A zombie no longer holds anything. (proc(5): state is field 3, starttime field 22.)
    return "" if words[0] in "ZX" else words[19]
