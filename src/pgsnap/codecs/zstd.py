"""zstd frames: a chunk compressed alone, or against a base chunk as raw-content prefix.

The (de)compression contexts are kept per thread: they are expensive to create and not thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import zstandard

from pgsnap.errors import CorruptionError
from pgsnap.limits import CHUNK_BYTES_MAX, KIB
from pgsnap.model import DELTAS, Codec

_local = threading.local()

# Clearing the larger tables takes longer than compressing a small chunk.
_LARGE_BYTES = 128 * KIB
_TABLE_LOG = 17
# A delta below this fraction of its chunk is nearly all matches: a day's updates of a table.
_FEW_NEW_ROWS = 0.02
# One above this fraction is hardly better than the plain frame, which is a third of most chunks.
_MANY_NEW_ROWS = 0.25


def compress(plain: bytes, level: int, base: bytes | None = None) -> tuple[Codec, bytes]:
    """Return *plain* as a frame: raw if zstd does not make it smaller.

    With a *base*, the plaintext of a similar chunk, the frame is a delta against that, and *level*
    is ignored.
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
    # The levels' own tables are small, to save memory; with larger ones level 2 compresses like
    # level 3, in the time of level 2 (benchmarks/README.md, "Compression level").
    logs = {"hash_log": _TABLE_LOG, "chain_log": _TABLE_LOG} if is_large else {}
    params = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=CHUNK_BYTES_MAX if is_large else _LARGE_BYTES,
        # No checksum: the chunk's name is a stronger one.
        write_checksum=False,
        write_content_size=True,
        **logs,
    )
    return zstandard.ZstdCompressor(compression_params=params)


def _delta(plain: bytes, base: bytes) -> bytes:
    prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    # The whole base must stay in the window to the last byte, and nearly every position in it be
    # found: the levels' own tables are too small for both. What remains is long matches, which the
    # fastest strategy finds as well as any, and new rows, which take a twelfth less with a slower
    # strategy; so that is tried if a delta has many of them (docs/decisions/deltas.md).
    window = max((len(plain) + len(base)).bit_length(), zstandard.WINDOWLOG_MIN)
    frame = _against(prefix, plain, window, window - 2, zstandard.STRATEGY_FAST, min_match=7)
    if not len(plain) * _FEW_NEW_ROWS <= len(frame) < len(plain) * _MANY_NEW_ROWS:
        return frame
    lazy = _against(
        prefix, plain, window, window - 1, zstandard.STRATEGY_LAZY2, min_match=6, search_log=5
    )
    return min(frame, lazy, key=len)


def _against(
    prefix: zstandard.ZstdCompressionDict,
    plain: bytes,
    window: int,
    table: int,
    strategy: int,
    **search: int,
) -> bytes:
    params = zstandard.ZstdCompressionParameters.from_level(
        1,
        source_size=len(plain),
        dict_size=len(prefix),
        window_log=window,
        hash_log=max(table, zstandard.HASHLOG_MIN),
        strategy=strategy,
        write_checksum=False,
        write_content_size=True,
        **search,
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


def decompress_chain(frames: Sequence[bytes], sizes: Sequence[int]) -> bytes:
    """Return the last chunk of a chain: the first of *frames* is plain, each other one a delta
    against the one before; *sizes* are the bytes of their chunks. Raises CorruptionError.

    Intermediate chunks are neither copied nor passed to Python, so a step takes half the time of
    `decompress`.
    """
    try:
        for frame, size in zip(frames, sizes, strict=True):
            _check_size(frame, size)
        if len(frames) == 1:
            # A chain's last chunk is copied from its buffer once more.
            return _decompressor().decompress(frames[0])
        plain = _decompressor().decompress_content_dict_chain(list(frames))
    except (zstandard.ZstdError, ValueError) as error:
        raise CorruptionError("a frame does not decompress", detail=f"{error}.") from None
    return plain


def _decompress(codec: Codec, frame: bytes, chunk_bytes: int, base: bytes | None) -> bytes:
    if codec is Codec.RAW:
        return frame
    if codec in DELTAS:
        if base is None:
            raise CorruptionError("a delta has no base")
        if codec is Codec.EDITS:
            # Late: it takes NumPy, and lists of chunks are read without.
            from pgsnap.codecs.edits import decode_edits

            return decode_edits(frame, base, chunk_bytes)
        prefix = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        context = zstandard.ZstdDecompressor(dict_data=prefix)
    else:
        context = _decompressor()
    _check_size(frame, chunk_bytes)
    return context.decompress(frame)


def _decompressor() -> zstandard.ZstdDecompressor:
    context = getattr(_local, "decompressor", None)
    if context is None:
        context = _local.decompressor = zstandard.ZstdDecompressor()
    return context


def _check_size(frame: bytes, chunk_bytes: int) -> None:
    # A damaged size in the frame must not cause a huge allocation: the table's size is the bound.
    if zstandard.frame_content_size(frame) != chunk_bytes:
        raise CorruptionError("a frame is damaged", detail="Its size is not the one recorded.")
