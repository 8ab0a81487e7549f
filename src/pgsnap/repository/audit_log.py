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
from typing import Any

from pgsnap.files.folder import Folder
from pgsnap.limits import MIB
from pgsnap.repository.layout import AUDIT_FILE

FILE_BYTES_MAX = 8 * MIB
"""Some 20,000 runs; with the older ones the log takes at most 64 MiB."""
FILES_MAX = 8

# A line has at most some 100 values of 1,000 characters.
_LINE_BYTES_MAX = 1 * MIB
_BLOCK_BYTES = 1 * MIB
# What a line that no run wrote is taken for: unreadable.
_TOO_LONG = b"{"


@dataclass(frozen=True, slots=True)
class AuditEntries:
    """The entries of a log, oldest first; *unreadable* counts lines that are none."""

    entries: tuple[dict[str, Any], ...]
    unreadable: int


def append(repository: Folder, entry: dict[str, Any], *, bytes_max: int = FILE_BYTES_MAX) -> None:
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


def read(repository: Folder, since: datetime | None = None) -> AuditEntries:
    """Return what was logged at or after *since*. Raises OSError, UntrustedPath."""
    found: list[tuple[datetime, dict[str, Any]]] = []
    unreadable = 0
    for number in range(FILES_MAX - 1, -1, -1):
        for line in _lines(repository, _name(number)):
            try:
                entry = json.loads(line)
                time = datetime.fromisoformat(entry["time"])
                wanted = since is None or time >= since
            except (ValueError, KeyError, TypeError, RecursionError):
                unreadable += 1
                continue
            if wanted:
                found.append((time, entry))
    # A run stands in the log when it ends.
    found.sort(key=lambda one: one[0])
    return AuditEntries(tuple(entry for _, entry in found), unreadable)


def _lines(repository: Folder, name: str) -> Iterator[bytes]:
    """Yield the lines of a file, read in pieces: none is longer than a run's may be, and no file
    larger than two of ours, whatever somebody wrote there."""
    try:
        file = repository.open(name)
    except FileNotFoundError:
        return
    try:
        left, kept = 2 * FILE_BYTES_MAX, b""
        while left > 0 and (block := os.read(file, min(_BLOCK_BYTES, left))):
            left -= len(block)
            *lines, kept = (kept + block).split(b"\n")
            yield from filter(None, lines)
            if len(kept) > _LINE_BYTES_MAX:
                yield _TOO_LONG
                kept = b""
        if kept:
            yield kept
    finally:
        os.close(file)


@contextlib.contextmanager
def _opened(repository: Folder) -> Iterator[int]:
    """Give the log, locked, and still under its name once it is: else another process rotated."""
    while True:
        file = repository.open(AUDIT_FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            with contextlib.suppress(OSError):
                # Where there is no flock, lines of two processes at worst stand in two files.
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                same = repository.status(AUDIT_FILE).st_ino == os.fstat(file).st_ino
            except FileNotFoundError:
                same = False
            if same:
                repository.refuse_foreign()
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


def _rotate(repository: Folder) -> None:
    """Let each file take the next number; the last is replaced. The log is locked meanwhile."""
    for number in range(FILES_MAX - 2, -1, -1):
        with contextlib.suppress(FileNotFoundError):
            repository.rename(_name(number), _name(number + 1))


def _name(number: int) -> str:
    return f"{AUDIT_FILE}.{number}" if number else AUDIT_FILE
