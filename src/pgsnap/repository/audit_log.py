"""The audit log: one line of JSON per run of a command; append-only. In an encrypted repository
each line is sealed.

It is rotated: a full file becomes `audit.jsonl.1`, the previous one `.2`; the oldest is deleted.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pgsnap.errors import CorruptionError
from pgsnap.files import flock
from pgsnap.files.folder import Folder
from pgsnap.limits import MIB
from pgsnap.repository.layout import AUDIT_FILE
from pgsnap.sealing.keys import Keys
from pgsnap.sealing.lines import open_line, seal_line
from pgsnap.values import dataclass

FILE_BYTES_MAX = 8 * MIB
"""Some 20,000 runs; with its rotated files the log takes at most 64 MiB."""
FILES_MAX = 8

# A line has at most some 100 values of 1,000 characters.
_LINE_BYTES_MAX = 384 * 1024
_BLOCK_BYTES = 1 * MIB
# Stands in for a line that no run can have written: not valid JSON, so it counts as unreadable.
_NO_ENTRY = b"{"
# How much of the log is held in memory, newest first: nearly always all that snap wrote.
_HELD_BYTES_MAX = 48 * MIB
_HELD_LINES_MAX = 150_000


class Entries:
    """Entries of a log, oldest first, each decoded when it is iterated over."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (json.loads(line) for line in self._lines)


@dataclass(frozen=True, slots=True)
class AuditEntries:
    """The entries of a log, oldest first; *unreadable* counts lines that are not entries,
    *left_out* the oldest ones, dropped if there are too many."""

    entries: Entries
    unreadable: int
    left_out: int = 0


def append(
    repository: Folder,
    entry: dict[str, Any],
    keys: Keys | None = None,
    *,
    bytes_max: int = FILE_BYTES_MAX,
) -> None:
    """Append *entry*, sealed if the repository has *keys*; it is durable on return. Raises
    OSError."""
    line = json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode()
    line = (line if keys is None else seal_line(keys, line)) + b"\n"
    with _opened(repository) as file:
        size = os.fstat(file).st_size
        if size and size + len(line) > bytes_max:
            _rotate(repository)
        else:
            _write(file, line)
            return
    with _opened(repository) as file:
        _write(file, line)


def read(
    repository: Folder, since: datetime | None = None, keys: Keys | None = None
) -> AuditEntries:
    """Return the entries logged at or after *since*; with *keys*, of the sealed lines alone. Raises
    OSError, UntrustedPath."""
    found: deque[tuple[datetime, bytes]] = deque()
    unreadable = left_out = held = 0
    for number in range(FILES_MAX - 1, -1, -1):
        for stored in _lines(repository, _name(number)):
            line = stored if keys is None else _opened_line(keys, stored)
            time = _time(line)
            if time is None:
                unreadable += 1
            elif since is None or time >= since:
                found.append((time, line))
                held += len(line)
            while held > _HELD_BYTES_MAX or len(found) > _HELD_LINES_MAX:
                held -= len(found.popleft()[1])
                left_out += 1
    # A run is logged when it ends, but its time is when it began.
    lines = [line for _, line in sorted(found, key=lambda one: one[0])]
    return AuditEntries(Entries(lines), unreadable, left_out)


def _opened_line(keys: Keys, line: bytes) -> bytes:
    try:
        return open_line(keys, line).rstrip()
    except CorruptionError:
        return _NO_ENTRY


def _time(line: bytes) -> datetime | None:
    """Return when a run began, None for a line that is not a run's."""
    try:
        entry = json.loads(line)
        time = datetime.fromisoformat(entry["time"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return time if time.tzinfo is not None and isinstance(entry, dict) else None


def _lines(repository: Folder, name: str) -> Iterator[bytes]:
    """Yield the lines of a file, read in blocks: neither a line nor the file is read beyond the
    size that snap writes, whatever somebody else put there."""
    try:
        file = repository.open(name)
    except FileNotFoundError:
        return
    try:
        left, kept = FILE_BYTES_MAX + _LINE_BYTES_MAX, b""
        while left > 0 and (block := os.read(file, min(_BLOCK_BYTES, left))):
            left -= len(block)
            *lines, kept = (kept + block).split(b"\n")
            for line in filter(None, lines):
                yield line if len(line) <= _LINE_BYTES_MAX else _NO_ENTRY
            if len(kept) > _LINE_BYTES_MAX:
                yield _NO_ENTRY
                kept = b""
        if kept:
            yield kept
    finally:
        os.close(file)


@contextlib.contextmanager
def _opened(repository: Folder) -> Iterator[int]:
    """Yield the log, locked; open it again if it lost its name meanwhile: another process rotated
    it."""
    while True:
        file = repository.open(AUDIT_FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            with contextlib.suppress(OSError):
                # Without flock, the worst case is that two processes write to two different files.
                flock.lock(file)
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
        # The previous writer was killed, or the disk was full.
        line = b"\n" + line
    while line:
        line = line[os.write(file, line) :]
    os.fsync(file)


def _rotate(repository: Folder) -> None:
    """Rename each file to the next number, overwriting the last. The caller holds the lock."""
    for number in range(FILES_MAX - 2, -1, -1):
        with contextlib.suppress(FileNotFoundError):
            repository.rename(_name(number), _name(number + 1))


def _name(number: int) -> str:
    return f"{AUDIT_FILE}.{number}" if number else AUDIT_FILE
