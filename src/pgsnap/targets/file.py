"""Writes a dump as a file: complete and durable under its name, or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pgsnap import interrupts
from pgsnap.errors import StoreError, StoreFull, UsageError
from pgsnap.files import whole
from pgsnap.files.folder import NO_ROOM
from pgsnap.limits import ZSTD_LEVEL
from pgsnap.values import dataclass

# gzip's own default.
_GZIP_LEVEL = 6
# Blocks queued for the compressing thread: each at most a chunk's size, so some 8 MiB in all.
_BLOCKS_WAITING = 8


class Encoder(Protocol):
    """Encodes plain blocks into a file's bytes, in sequence."""

    def compress(self, block: bytes) -> bytes: ...
    def flush(self) -> bytes: ...


class _Plain:
    def compress(self, block: bytes) -> bytes:
        return block

    def flush(self) -> bytes:
        return b""


class _Gzip:
    """One gzip member (RFC 1952) with an mtime but no name, so that equal contents with equal times
    give equal bytes."""

    def __init__(self, seconds: int) -> None:
        # Magic, deflate, no flags, mtime, no extra flags, unknown OS.
        time = seconds if 0 <= seconds < 1 << 32 else 0
        self._head = struct.pack("<4sIBB", b"\x1f\x8b\x08\x00", time, 0, 255)
        self._deflate = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
        self._crc = 0
        self._plain_bytes = 0

    def compress(self, block: bytes) -> bytes:
        head, self._head = self._head, b""
        self._crc = zlib.crc32(block, self._crc)
        self._plain_bytes += len(block)
        return head + self._deflate.compress(block)

    def flush(self) -> bytes:
        size = self._plain_bytes & 0xFFFFFFFF
        return self._head + self._deflate.flush() + struct.pack("<II", self._crc, size)


def _zstd() -> Encoder:
    import zstandard

    context = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
    return context.compressobj()


_ENCODERS: dict[str, Callable[[int], Encoder]] = {
    ".sql.gz": lambda seconds: _Gzip(seconds),
    ".sql.zst": lambda seconds: _zstd(),
    ".sql": lambda seconds: _Plain(),
}
ENDINGS = tuple(_ENCODERS)


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that is durable now: *plain_bytes* of input became *file_bytes*."""

    path: Path
    plain_bytes: int
    file_bytes: int


def check_target(path: Path, *, force: bool) -> None:
    """Raise UsageError unless `write_file` may write to *path*."""
    if not path.name.endswith(ENDINGS):
        raise UsageError(
            f'"{path}" does not say what kind of file it is to be',
            hint=f"Let its name end with {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, or name a"
            " folder that is there.",
        )
    check_free(path, force=force)


def check_free(path: Path, *, force: bool) -> None:
    """Raise UsageError unless `write_filled` may make *path*, or with *force* replace it."""
    if not path.parent.is_dir():
        raise UsageError(
            f'there is no folder "{path.parent}"', hint=f"Make it: mkdir -p {path.parent}"
        )
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f'"{path}" is there already, and it is no ordinary file')
    if not force:
        raise exists_already(path)


def write_file(
    path: Path, blocks: Iterable[bytes], *, modified: datetime, force: bool = False
) -> WrittenFile:
    """Write *blocks* to *path*, compressed according to its suffix, readable only by its owner.

    The file's mtime is *modified*. If *blocks* raises, there is no file, and an existing one is
    unchanged. Raises UsageError, StoreFull, StoreError.
    """
    check_target(path, force=force)
    ending = next(ending for ending in ENDINGS if path.name.endswith(ending))
    encoder = _ENCODERS[ending](int(modified.timestamp()))
    plain_bytes = 0

    def fill(file: int) -> None:
        nonlocal plain_bytes
        for size, data in _encoded(encoder, blocks):
            plain_bytes += size
            whole.write_all(file, [data])
        nanoseconds = round(modified.timestamp() * 1000) * 1_000_000
        os.utime(file, ns=(nanoseconds, nanoseconds))

    file_bytes = write_filled(path, fill, force=force)
    return WrittenFile(path, plain_bytes, file_bytes)


def write_filled(path: Path, fill: Callable[[int], object], *, force: bool = False) -> int:
    """Make a file that *fill* writes, given its descriptor, readable only by its owner; with
    *force* one that is there is replaced. Return its size. If *fill* raises, there is no file, and
    an existing one is unchanged. Raises UsageError, StoreFull, StoreError."""
    check_free(path, force=force)
    folder = whole.chosen_folder(path.parent)
    unfinished = whole.unfinished_name(path.name)
    with file_errors(path), whole.draft(folder, unfinished, fill):
        file_bytes = folder.status(unfinished).st_size
        if force:
            whole.publish(folder, unfinished, path.name)
        else:
            try:
                whole.publish_new(folder, unfinished, path.name)
            except FileExistsError:
                raise exists_already(path) from None
    return file_bytes


def _encoded(encoder: Encoder, blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield plain size and compressed bytes of each block, in order; a thread compresses while the
    next blocks are read."""
    with ThreadPoolExecutor(1, thread_name_prefix="snap-compress") as pool:
        waiting: deque[tuple[int, Future[bytes]]] = deque()
        try:
            for block in blocks:
                waiting.append((len(block), pool.submit(encoder.compress, block)))
                if len(waiting) > _BLOCKS_WAITING:
                    size, done = waiting.popleft()
                    yield size, interrupts.result(done)
            for size, done in waiting:
                yield size, interrupts.result(done)
            yield 0, encoder.flush()
        finally:
            for _, left in waiting:
                left.cancel()


def exists_already(path: Path) -> UsageError:
    """Return the error for a file that is there."""
    return UsageError(f'"{path}" exists already', hint="Name another file, or add --force.")


@contextlib.contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into StoreFull or StoreError."""
    try:
        yield
    except OSError as error:
        words = f"{error.strerror or error}."
        if error.errno in NO_ROOM:
            raise StoreFull(
                f'there is no room for "{path}"',
                detail=words,
                hint="Free space there, or name a file elsewhere.",
            ) from error
        raise StoreError(f'"{path}" cannot be written', detail=words) from error
