"""A dump in a file or on standard input: plain, gzip or zstd, detected by content; a file may also
be a pg_dump archive."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TypeAlias

from pgsnap import interrupts
from pgsnap.dump.reader import DumpReader
from pgsnap.errors import DumpIncomplete, Interrupted, UnusableInput, UsageError
from pgsnap.limits import READ_BYTES
from pgsnap.model import DumpEvent, Origin, SourceKind
from pgsnap.runners.base import Child
from pgsnap.sources.base import SourceResult
from pgsnap.sources.blocks import blocks
from pgsnap.sources.expand import gunzip, is_gzip, is_zstd, unzstd
from pgsnap.sources.former import FormerOf
from pgsnap.sources.leading import without_messages
from pgsnap.words import how_it_ended

_UNSUPPORTED = {
    b"BZh": "bunzip2 -c",
    b"\xfd7zXZ\x00": "xz -dc",
    b"\x04\x22\x4d\x18": "lz4 -dc",
    b"PK\x03\x04": "unzip -p",
}
_LAYERS_MAX = 3
_PEEKED_BYTES = 512


ArchiveReader: TypeAlias = Callable[[Path], Child]
"""Starts pg_restore on an archive, which writes plain SQL to its standard output."""


class FileSource:
    """Reads a dump from *path*, or from *stream*. Implements `Source`.

    *archives* reads files in pg_dump's custom and tar formats. *notices* lists what was left out.
    """

    def __init__(
        self,
        path: Path | None = None,
        stream: BinaryIO | None = None,
        *,
        archives: ArchiveReader | None = None,
    ) -> None:
        if (path is None) == (stream is None):
            raise ValueError("either a path or a stream")
        self._path = path
        self._stream = stream
        self._name = "-" if path is None else str(path)
        self.notices: list[str] = []
        self._archives = archives
        self._abandoned = False
        self._complete = False
        self._reader: DumpReader | None = None
        self._origin: Origin | None = None

    def open(self, former_of: FormerOf | None = None) -> Origin:
        """Raises UsageError if there is no readable file."""
        if self._path is not None:
            self._stream = _open(self._path)
        file_name = "" if self._path is None else self._path.name
        self._origin = Origin(kind=SourceKind.FILE, file_name=file_name)
        return self._origin

    def events(self) -> Iterator[DumpEvent]:
        """Raises DumpIncomplete, UnusableInput, Interrupted."""
        assert self._stream is not None, "open comes first"
        text = without_messages(self._plain(), self._name, self.notices)
        reader = self._reader = DumpReader(text)
        yield from reader.events()
        self._complete = True

    def finish(self) -> SourceResult:
        if self._abandoned:
            raise Interrupted("reading the dump was stopped")
        if not self._complete or self._reader is None or self._origin is None:
            raise DumpIncomplete("the dump was not read to its end")
        self._close()
        summary = self._reader.summary
        origin = replace(
            self._origin,
            tool=f"pg_dump {summary.dump_version}" if summary.is_pg_dump else "",
            is_pg_dump=summary.is_pg_dump,
            dump_version=summary.dump_version,
            dumped_from=summary.dumped_from,
            owners=summary.owners,
            client_encoding=summary.client_encoding,
            has_meta_commands=summary.has_meta_commands,
            part=summary.part,
            lacks_rights=summary.lacks_rights,
        )
        return SourceResult(origin=origin, volatile=summary.volatile)

    def distrust(self) -> None:
        raise AssertionError("a file is compared with no former snapshot")

    def abandon(self) -> None:
        # The file is closed by the thread that reads it: closing it during a read is not safe.
        self._abandoned = True

    # -- bytes ---------------------------------------------------------------------------------

    def _raw(self) -> Iterator[bytes]:
        """Yield the raw bytes of the file, in blocks of at most READ_BYTES."""
        assert self._stream is not None
        try:
            while True:
                if self._abandoned:
                    raise Interrupted("reading the dump was stopped")
                data = _read(self._stream)
                if not data:
                    return
                yield data
        except OSError as error:
            raise UnusableInput(
                f"{self._name} cannot be read", detail=f"{error.strerror}."
            ) from error
        finally:
            self._close()

    def _plain(self) -> Iterator[bytes]:
        """Yield the plain text of the file, in blocks of at most READ_BYTES."""
        head, whole = _peek(self._raw())
        if is_archive(head) and self._path is not None and self._archives is not None:
            return self._from_archive(self._path, self._archives)
        # Backups of backups are sometimes compressed twice.
        for _ in range(_LAYERS_MAX):
            if is_gzip(head):
                head, whole = _peek(gunzip(whole, self._name))
            elif is_zstd(head):
                head, whole = _peek(unzstd(whole, self._name))
        for magic, command in _UNSUPPORTED.items():
            if head.startswith(magic):
                raise UnusableInput(
                    f"{self._name} is compressed in a way that snap does not read",
                    detail="It reads plain SQL, gzip and zstd.",
                    hint=f"Run `{command} {self._name} | snap commit -m TEXT --file -`.",
                )
        return whole

    def _from_archive(self, path: Path, archives: ArchiveReader) -> Iterator[bytes]:
        """Yield pg_restore's output for an archive. Raises UnusableInput if it fails."""
        self._close()
        child = archives(path.absolute())
        try:
            for block in blocks(child):
                if self._abandoned:
                    raise Interrupted("reading the dump was stopped")
                yield block
            status = child.wait()
        finally:
            child.stop()
        if status != 0:
            raise UnusableInput(
                f"pg_restore cannot read {self._name}: it {how_it_ended(status)}",
                detail=child.stderr_text().strip(),
                hint=f"See what it says by hand (pg_restore -f - {self._name}). A newer one may"
                " read it: name its folder as bindir in snap.toml.",
            )

    def _close(self) -> None:
        if self._path is not None and self._stream is not None:
            self._stream.close()


def _read(stream: BinaryIO) -> bytes:
    """Return the next READ_BYTES, fewer only at the end. Raises Stopped: a pipe may block for
    long."""
    parts: list[bytes] = []
    left = READ_BYTES
    while left:
        with contextlib.suppress(io.UnsupportedOperation):
            interrupts.readable(stream.fileno())
        # `read1` on a buffered stream, such as standard input, waits only for the first part.
        data = (stream.read1 if isinstance(stream, io.BufferedReader) else stream.read)(left)
        if not data:
            break
        parts.append(data)
        left -= len(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _open(path: Path) -> BinaryIO:
    try:
        if path.is_dir():
            raise UsageError(
                f"{path} is a folder",
                hint="Name one dump file; a directory dump (-Fd) becomes one with"
                f" `pg_restore -f - {path} | snap commit -m TEXT --file -`.",
            )
        # Opening a named pipe blocks until there is a writer, and cannot be interrupted.
        return interrupts.on_thread(
            lambda: path.open("rb", buffering=0), forget=lambda late: late.close()
        )
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist", hint="Check the name after --file.") from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read",
            detail=f"{error.strerror}.",
            hint=f"Check its rights: `ls -l {path}`.",
        ) from error


def content_digest(path: Path) -> bytes:
    """Return a digest of the plain text of the dump at *path*; for an archive, of its bytes. Raises
    DumpIncomplete, UnusableInput, UsageError."""
    source = FileSource(path)
    source.open()
    found = hashlib.blake2b()
    for block in source._plain():
        found.update(block)
    return found.digest()


def is_archive(head: bytes) -> bool:
    """Return whether a file that begins with *head* is in pg_dump's custom or tar format."""
    return head.startswith(b"PGDMP") or (
        head.startswith(b"toc.dat\0") and head[257:262] == b"ustar"
    )


def _peek(stream: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return enough of a stream to detect its format, and the whole stream."""
    head = b""
    for block in stream:
        head += block
        if len(head) >= _PEEKED_BYTES:
            break
    return head, _chain(head, stream)


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest
