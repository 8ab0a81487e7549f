"""zstd frames: a chunk compressed alone, or against a base chunk as raw-content prefix.

The (de)compression contexts are kept per thread: they are costly to make and not thread-safe.
"""

from __future__ import annotations

import threading

import zstandard

from pgsnap.errors import CorruptionError
from pgsnap.model import Codec

_local = threading.local()


def compress(plain: bytes, level: int, base: bytes | None = None) -> tuple[Codec, bytes]:
    """Return *plain* as a frame: raw where zstd does not make it smaller.

    With a *base*, the plaintext of a chunk like it, the frame is a delta against that.
    """
    if base is not None:
        return Codec.ZSTD_DELTA, _delta(plain, level, base)
    contexts: dict[int, zstandard.ZstdCompressor] | None = getattr(_local, "compressors", None)
    if contexts is None:
        contexts = _local.compressors = {}
    if level not in contexts:
        # No checksum: the chunk's name is one, and a stronger one.
        contexts[level] = zstandard.ZstdCompressor(
            level=level, write_checksum=False, write_content_size=True
        )
    frame = contexts[level].compress(plain)
    return (Codec.ZSTD, frame) if len(frame) < len(plain) else (Codec.RAW, plain)


def _delta(plain: bytes, level: int, base: bytes) -> bytes:
    prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    params = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=len(plain),
        dict_size=len(base),
        # All of the base must stay in sight to the last byte.
        window_log=max((len(plain) + len(base)).bit_length(), zstandard.WINDOWLOG_MIN),
        write_checksum=False,
        write_content_size=True,
    )
    context = zstandard.ZstdCompressor(dict_data=prefix, compression_params=params)
    return context.compress(plain)


def decompress(codec: Codec, frame: bytes, chunk_bytes: int, base: bytes | None = None) -> bytes:
    """Return the chunk of a frame, which must have *chunk_bytes* bytes.

    *base* is the plaintext of the base chunk of a delta. Raises CorruptionError.
    """
    try:
        plain = _decompress(codec, frame, chunk_bytes, base)
    except zstandard.ZstdError as error:
        raise CorruptionError("a frame does not decompress", detail=f"{error}.") from None
    if len(plain) != chunk_bytes:
        raise CorruptionError(
            "a frame is damaged", detail=f"It gives {len(plain)} bytes instead of {chunk_bytes}."
        )
    return plain


def _decompress(codec: Codec, frame: bytes, chunk_bytes: int, base: bytes | None) -> bytes:
    if codec is Codec.RAW:
        return frame
    if codec is Codec.ZSTD_DELTA:
        if base is None:
            raise CorruptionError("a delta has no base")
        prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        context = zstandard.ZstdDecompressor(dict_data=prefix)
    else:
        context = getattr(_local, "decompressor", None) or zstandard.ZstdDecompressor()
        _local.decompressor = context
    # A damaged size in the frame must not make us allocate it: the table's size is the bound.
    if zstandard.frame_content_size(frame) != chunk_bytes:
        raise CorruptionError("a frame is damaged", detail="Its size is not the one recorded.")
    return context.decompress(frame)
