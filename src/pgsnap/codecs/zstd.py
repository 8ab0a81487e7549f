"""zstd frames: a chunk compressed alone, or against a base chunk as raw-content prefix.

The (de)compression contexts are kept per thread: they are costly to make and not thread-safe.
"""

from __future__ import annotations

import threading

import zstandard

from pgsnap.errors import CorruptionError
from pgsnap.limits import CHUNK_BYTES_MAX, KIB
from pgsnap.model import Codec

_local = threading.local()

# Emptying the larger tables takes longer than compressing a small chunk.
_LARGE_BYTES = 128 * KIB
_TABLE_LOG = 17


def compress(plain: bytes, level: int, base: bytes | None = None) -> tuple[Codec, bytes]:
    """Return *plain* as a frame: raw where zstd does not make it smaller.

    With a *base*, the plaintext of a chunk like it, the frame is a delta against that, and *level*
    does not matter.
    """
    if base is not None:
        return Codec.ZSTD_DELTA, _delta(plain, base)
    contexts: dict[tuple[int, bool], zstandard.ZstdCompressor] | None
    contexts = getattr(_local, "compressors", None)
    if contexts is None:
        contexts = _local.compressors = {}
    key = level, len(plain) >= _LARGE_BYTES
    if key not in contexts:
        contexts[key] = _compressor(*key)
    frame = contexts[key].compress(plain)
    return (Codec.ZSTD, frame) if len(frame) < len(plain) else (Codec.RAW, plain)


def _compressor(level: int, is_large: bool) -> zstandard.ZstdCompressor:
    # The levels' own tables are small, for the sake of a small memory; with larger ones level 2
    # gives what level 3 gives, in its own time (benchmarks/README.md, "Compression level").
    logs = {"hash_log": _TABLE_LOG, "chain_log": _TABLE_LOG} if is_large else {}
    params = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=CHUNK_BYTES_MAX if is_large else _LARGE_BYTES,
        # No checksum: the chunk's name is one, and a stronger one.
        write_checksum=False,
        write_content_size=True,
        **logs,
    )
    return zstandard.ZstdCompressor(compression_params=params)


def _delta(plain: bytes, base: bytes) -> bytes:
    prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    # All of the base must stay in sight to the last byte, and nearly every place of it be found:
    # the levels' own tables are too small for both. What is left is long matches, which the fastest
    # strategy finds as well as any (docs/decisions/deltas.md).
    window = max((len(plain) + len(base)).bit_length(), zstandard.WINDOWLOG_MIN)
    params = zstandard.ZstdCompressionParameters.from_level(
        1,
        source_size=len(plain),
        dict_size=len(base),
        window_log=window,
        hash_log=max(window - 2, zstandard.HASHLOG_MIN),
        strategy=zstandard.STRATEGY_FAST,
        min_match=7,
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
