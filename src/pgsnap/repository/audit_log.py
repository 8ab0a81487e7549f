"""The audit log: a line of JSON for each run of a command, appended and never changed.

It is bounded: a file that is full becomes `audit.jsonl.1`, the one before `.2`, and the last goes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pgsnap.limits import MIB
from pgsnap.repository.layout import AUDIT_FILE

FILE_BYTES_MAX = 8 * MIB
"""Some 20,000 runs; with the older ones the log takes at most 64 MiB."""
FILES_MAX = 8

_MODE = 0o600


@dataclass(frozen=True, slots=True)
class AuditEntries:
    """The entries of a log, oldest first; *unreadable* counts lines that are none."""

    entries: tuple[dict[str, Any], ...]
    unreadable: int


def append(repository: Path, entry: dict[str, Any], *, bytes_max: int = FILE_BYTES_MAX) -> None:
    """Append *entry*; it is durable on return. Raises OSError."""
    line = json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
    with _opened(repository) as file:
        size = os.fstat(file).st_size
        if size and size + len(line) > bytes_max:
            _rotate(repository)
        else:
            _write(file, line)
            return
    with _opened(repository) as file:
        _write(file, line)


def read(repository: Path, since: datetime | None = None) -> AuditEntries:
    """Return what was logged at or after *since*. Raises OSError."""
    found: list[tuple[datetime, dict[str, Any]]] = []
    unreadable = 0
    for number in range(FILES_MAX - 1, -1, -1):
        try:
            data = _file(repository, number).read_bytes()
        except FileNotFoundError:
            continue
        for line in filter(None, data.split(b"\n")):
            try:
                entry = json.loads(line)
                time = datetime.fromisoformat(entry["time"])
                wanted = since is None or time >= since
            except (ValueError, KeyError, TypeError):
                unreadable += 1
                continue
            if wanted:
                found.append((time, entry))
    # A run stands in the log when it ends.
    found.sort(key=lambda one: one[0])
    return AuditEntries(tuple(entry for _, entry in found), unreadable)


@contextlib.contextmanager
def _opened(repository: Path) -> Iterator[int]:
    """Give the log, locked, and still under its name once it is: else another process rotated."""
    path = _file(repository, 0)
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
        try:
            with contextlib.suppress(OSError):
                # Where there is no flock, lines of two processes at worst stand in two files.
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                same = os.stat(path).st_ino == os.fstat(file).st_ino  # noqa: PTH116
            except FileNotFoundError:
                same = False
            if same:
                if os.fstat(file).st_mode & 0o777 != _MODE:
                    with contextlib.suppress(PermissionError):
                        os.fchmod(file, _MODE)
                yield file
                return
        finally:
            os.close(file)


def _write(file: int, line: bytes) -> None:
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        # Its last writer was killed, or the disk was full.
        line = b"\n" + line
    while line:
        line = line[os.write(file, line) :]
    os.fsync(file)


def _rotate(repository: Path) -> None:
    """Let each file take the next number; the last is replaced. The log is locked meanwhile."""
    for number in range(FILES_MAX - 2, -1, -1):
        with contextlib.suppress(FileNotFoundError):
            _file(repository, number).replace(_file(repository, number + 1))


def _file(repository: Path, number: int) -> Path:
    return repository / (f"{AUDIT_FILE}.{number}" if number else AUDIT_FILE)
