"""Decompresses gzip and zstd streams in bounded memory; a truncated stream is an error.

The gzip format is RFC 1952, the zstd format RFC 8878.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from pgsnap.errors import DumpIncomplete
from pgsnap.limits import READ_BYTES

_GZIP = b"\x1f\x8b"
_ZSTD_MAGIC = 0xFD2FB528
_SKIPPABLE_MAGIC = 0x184D2A50
_SKIPPABLE_MASK = 0xFFFFFFF0
# The maximum decompressed size of a zstd block (RFC 8878, 3.1.1.2.3); its header has three bytes.
_BLOCK_BYTES_MAX = 128 * 1024
_BLOCKS_AT_ONCE = READ_BYTES // _BLOCK_BYTES_MAX
# The window is held in memory. 128 MiB is the zstd program's own limit for --decompress.
_WINDOW_BYTES_MAX = 128 * 1024 * 1024


def is_gzip(head: bytes) -> bool:
    """Return whether a stream that begins with *head* is a gzip stream."""
    return head.startswith(_GZIP)


def is_zstd(head: bytes) -> bool:
    """Return whether a stream that begins with *head* is a zstd stream."""
    magic = int.from_bytes(head[:4], "little")
    return magic == _ZSTD_MAGIC or magic & _SKIPPABLE_MASK == _SKIPPABLE_MAGIC


def gunzip(raw: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Yield the plain bytes of one or several gzip members, at most READ_BYTES at a time.

    Zero bytes after the last member are padding (gzip's manual, on tapes and fixed blocks). Raises
    DumpIncomplete for a truncated member, and for anything else after the last one.
    """
    member = zlib.decompressobj(wbits=31)
    try:
        for block in raw:
            data = block
            while data:
                if member.eof:
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    member = zlib.decompressobj(wbits=31)
                plain = member.decompress(data, READ_BYTES)
                if plain:
                    yield plain
                data = member.unused_data if member.eof else member.unconsumed_tail
        while not member.eof and (plain := member.decompress(b"", READ_BYTES)):
            yield plain
    except zlib.error as error:
        raise _damaged(name, "gzip", f"{error}") from error
    if not member.eof:
        raise _damaged(name, "gzip", "the last member has no end")


def unzstd(raw: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Yield the plain bytes of one or several zstd frames, at most READ_BYTES at a time.

    The decoder itself has no limit on the output of one call, and expands up to 128 KiB from four
    bytes; so it is fed a limited number of blocks at a time. Raises DumpIncomplete for a truncated
    frame, and for anything after the last one.
    """
    import zstandard

    expander = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES_MAX)
    pieces = _Pieces(raw, name)
    try:
        while pieces.more():
            frame = expander.decompressobj()
            for piece in pieces.frame():
                plain = frame.decompress(piece)
                if plain:
                    yield plain
    except zstandard.ZstdError as error:
        raise _damaged(name, "zstd", f"{error}") from error


class _Pieces:
    """Cuts a zstd stream at block boundaries, without decoding the blocks."""

    def __init__(self, raw: Iterator[bytes], name: str) -> None:
        self._raw = raw
        self._name = name
        self._buffer = b""
        self._at = 0

    def more(self) -> bool:
        """Return whether any input is left."""
        return self._fill(1)

    def frame(self) -> Iterator[bytes]:
        """Yield one frame in pieces of at most _BLOCKS_AT_ONCE blocks."""
        magic = self._take(4)
        number = int.from_bytes(magic, "little")
        if number & _SKIPPABLE_MASK == _SKIPPABLE_MAGIC:
            self._skip(int.from_bytes(self._take(4), "little"))
            return
        if number != _ZSTD_MAGIC:
            raise _damaged(self._name, "zstd", "something else follows it")
        descriptor = self._take(1)
        parts = [magic, descriptor, self._take(_header_bytes(descriptor[0]))]
        blocks = 0
        last = False
        while not last:
            header = self._take(3)
            bits = int.from_bytes(header, "little")
            last = bool(bits & 1)
            is_run = (bits >> 1) & 3 == 1
            size = 1 if is_run else bits >> 3
            if size > _BLOCK_BYTES_MAX:
                raise _damaged(self._name, "zstd", "a block is too large")
            parts += (header, self._take(size))
            blocks += 1
            if blocks == _BLOCKS_AT_ONCE:
                yield b"".join(parts)
                parts.clear()
                blocks = 0
        has_checksum = descriptor[0] & 4
        parts.append(self._take(4 if has_checksum else 0))
        yield b"".join(parts)

    def _take(self, size: int) -> bytes:
        if not self._fill(size):
            raise _damaged(self._name, "zstd", "the last frame has no end")
        start, self._at = self._at, self._at + size
        return self._buffer[start : self._at]

    def _skip(self, size: int) -> None:
        while size:
            step = min(size, READ_BYTES)
            self._take(step)
            size -= step

    def _fill(self, size: int) -> bool:
        """Buffer *size* bytes, or return False at the end of the stream."""
        while len(self._buffer) - self._at < size:
            block = next(self._raw, b"")
            if not block:
                return False
            self._buffer = self._buffer[self._at :] + block
            self._at = 0
        return True


def _header_bytes(descriptor: int) -> int:
    """Return how many bytes of a frame's header follow its descriptor (RFC 8878, 3.1.1.1.1)."""
    single_segment = bool(descriptor & 0x20)
    window = 0 if single_segment else 1
    dictionary = (0, 1, 2, 4)[descriptor & 3]
    content_size = (1 if single_segment else 0, 2, 4, 8)[descriptor >> 6]
    return window + dictionary + content_size


def _damaged(name: str, kind: str, why: str) -> DumpIncomplete:
    return DumpIncomplete(
        f"{name} is cut short or damaged",
        detail=f"Its {kind} stream does not end as it should: {why}.",
        hint="Copy the file again from where it was made.",
    )
