"""A dump in a file or on standard input: plain, gzip or zstd, told apart by content."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from pgsnap.dump.reader import DumpReader
from pgsnap.errors import DumpIncomplete, Interrupted, UnusableInput, UsageError
from pgsnap.limits import READ_BYTES
from pgsnap.model import DumpEvent, Origin, SourceKind
from pgsnap.sources.base import SourceResult

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
# Every frame's magic number begins like this, skippable ones (0x184D2A50 to 5F) too.
_ZSTD_SKIPPABLE = (b"\x2a\x4d\x18", range(0x50, 0x60))
# What zstd --long=31 may ask for would break our bound of memory; 128 MiB is its default limit.
_ZSTD_WINDOW_BYTES_MAX = 128 * 1024 * 1024
_UNSUPPORTED = {
    b"BZh": "bunzip2 -c",
    b"\xfd7zXZ\x00": "xz -dc",
    b"\x04\x22\x4d\x18": "lz4 -dc",
    b"PK\x03\x04": "unzip -p",
}


class FileSource:
    """Reads a dump from *path*, or from *stream*. `Source` is its contract."""

    def __init__(self, path: Path | None = None, stream: BinaryIO | None = None) -> None:
        if (path is None) == (stream is None):
            raise ValueError("either a path or a stream")
        self._path = path
        self._stream = stream
        self._name = "-" if path is None else str(path)
        self._abandoned = False
        self._complete = False
        self._reader: DumpReader | None = None
        self._origin: Origin | None = None

    def open(self) -> Origin:
        """Raises UsageError when there is no file that can be read."""
        if self._path is not None:
            self._stream = _open(self._path)
        file_name = "" if self._path is None else self._path.name
        self._origin = Origin(kind=SourceKind.FILE, file_name=file_name)
        return self._origin

    def events(self) -> Iterator[DumpEvent]:
        """Raises DumpIncomplete, UnusableInput, Interrupted."""
        assert self._stream is not None, "open comes first"
        reader = self._reader = DumpReader(self._plain())
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
        )
        return SourceResult(origin=origin, volatile=summary.volatile)

    def abandon(self) -> None:
        # The file is closed by the thread that reads it: closing it under a read is not safe.
        self._abandoned = True

    # -- bytes ---------------------------------------------------------------------------------

    def _raw(self) -> Iterator[bytes]:
        """Yield the file as it is, in blocks of READ_BYTES at most."""
        assert self._stream is not None
        try:
            while True:
                if self._abandoned:
                    raise Interrupted("reading the dump was stopped")
                data = self._stream.read(READ_BYTES)
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
        """Yield the file's plain text, in blocks of READ_BYTES at most."""
        raw = self._raw()
        head = b""
        for block in raw:
            head += block
            if len(head) >= 8:
                break
        whole = _chain(head, raw)
        if head.startswith(_GZIP):
            return _gunzip(whole, self._name)
        if head.startswith(_ZSTD) or (
            head[1:4] == _ZSTD_SKIPPABLE[0] and head[0] in _ZSTD_SKIPPABLE[1]
        ):
            return _unzstd(whole, self._name)
        for magic, command in _UNSUPPORTED.items():
            if head.startswith(magic):
                raise UnusableInput(
                    f"{self._name} is compressed in a way that snap does not read",
                    detail="It reads plain SQL, gzip and zstd.",
                    hint=f"Run `{command} {self._name} | snap commit --file -`.",
                )
        return whole

    def _close(self) -> None:
        if self._path is not None and self._stream is not None:
            self._stream.close()


def _open(path: Path) -> BinaryIO:
    try:
        if path.is_dir():
            raise UsageError(
                f"{path} is a folder",
                hint="Name one dump file; a directory dump (-Fd) becomes one with"
                f" `pg_restore -f - {path} | snap commit --file -`.",
            )
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist", hint="Check the name after --file.") from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read",
            detail=f"{error.strerror}.",
            hint=f"Check its rights: `ls -l {path}`.",
        ) from error


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest


def _gunzip(raw: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Expand one or several gzip members. Raises DumpIncomplete."""
    member = zlib.decompressobj(wbits=31)
    try:
        for block in raw:
            data = block
            while data:
                if member.eof:
                    member = zlib.decompressobj(wbits=31)
                plain = member.decompress(data, READ_BYTES)
                if plain:
                    yield plain
                data = member.unused_data if member.eof else member.unconsumed_tail
        while not member.eof and (plain := member.decompress(member.unconsumed_tail, READ_BYTES)):
            yield plain
    except zlib.error as error:
        raise damaged(name, "gzip", f"{error}") from error
    if not member.eof:
        raise damaged(name, "gzip", "the last member has no end")


def _unzstd(raw: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Expand one or several zstd frames. Raises DumpIncomplete."""
    import zstandard

    expander = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES_MAX)
    frame = expander.decompressobj()
    try:
        for block in raw:
            data = block
            while data:
                if frame.eof:
                    frame = expander.decompressobj()
                plain = frame.decompress(data)
                if plain:
                    yield plain
                data = frame.unused_data if frame.eof else b""
    except zstandard.ZstdError as error:
        raise damaged(name, "zstd", f"{error}") from error
    if not frame.eof:
        raise damaged(name, "zstd", "the last frame has no end")


def damaged(name: str, kind: str, why: str) -> DumpIncomplete:
    """Return the error for a compressed file that does not expand to its end."""
    return DumpIncomplete(
        f"{name} is cut short or damaged",
        detail=f"Its {kind} stream does not end as it should: {why}.",
        hint="Copy the file again from where it was made.",
    )
