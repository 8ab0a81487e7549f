"""Packs: frames, then a table of them in columns, then a trailer (docs/format.md, "Packs")."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from blake3 import blake3

from pgsnap.errors import CorruptionError
from pgsnap.format.envelope import HEAD, ObjectKind, check_head, checksum, head
from pgsnap.format.record import RecordReader, RecordWriter, too_new
from pgsnap.limits import PACK_FRAMES_READ_MAX, PACK_TABLE_BYTES_MAX, PLAIN_BYTES_MAX
from pgsnap.model import HASH_BYTES, ChunkId, ChunkKind, Cipher, Codec, Frame, Location, PackId

TRAILER = struct.Struct("<I16s8s")
"""Size of the table in bytes, checksum of head and table, end mark."""
END_MARK = b"snapend\n"

COUNT, CHUNKS, FRAME_BYTES, CHUNK_BYTES, KINDS, CODECS, CIPHERS, DEPTHS, BASE_OF, BASES = range(
    1, 11
)
_KNOWN = range(COUNT, BASES + 1)

# An enum's own look-up takes ten times as long, and there are three per frame.
KIND_OF = {int(kind): kind for kind in ChunkKind}
CODEC_OF = {int(codec): codec for codec in Codec}
CIPHER_OF = {int(Cipher.NONE): Cipher.NONE}


def encode_pack(
    frames: Sequence[tuple[Frame, bytes]],
) -> tuple[PackId, list[bytes], list[Location]]:
    """Return the id of a pack, its bytes in parts, and the locations of its frames."""
    return encode_body([frame for frame, _ in frames], [data for _, data in frames])


def encode_body(
    frames: Sequence[Frame], body: Sequence[bytes]
) -> tuple[PackId, list[bytes], list[Location]]:
    """Like `encode_pack`; *body* is the bytes of all *frames*, in any number of parts."""
    table = encode_table(frames)
    start = head(ObjectKind.PACK)
    trailer = TRAILER.pack(len(table), checksum(start, table), END_MARK)
    parts = [start, *body, table, trailer]
    hasher = blake3()
    for part in parts:
        hasher.update(part)
    # Verified before the bytes are written.
    locations = decode_table(table, hasher.digest(), "a new pack")
    if [location.frame for location in locations] != list(frames):
        raise CorruptionError("a new pack's table does not read back")
    return hasher.digest(), parts, locations


def encode_table(frames: Sequence[Frame]) -> bytes:
    """Return the table of a pack: one column per property."""
    count = len(frames)
    bases = sorted({frame.base for frame in frames if frame.base is not None})
    position = {base: index + 1 for index, base in enumerate(bases)}
    table = RecordWriter()
    table.integer(COUNT, count)
    table.raw(CHUNKS, b"".join(frame.chunk for frame in frames))
    table.raw(FRAME_BYTES, struct.pack(f"<{count}I", *(frame.frame_bytes for frame in frames)))
    table.raw(CHUNK_BYTES, struct.pack(f"<{count}I", *(frame.chunk_bytes for frame in frames)))
    table.raw(KINDS, bytes(frame.kind for frame in frames))
    table.raw(CODECS, bytes(frame.codec for frame in frames))
    table.raw(CIPHERS, bytes(frame.cipher for frame in frames))
    table.raw(DEPTHS, bytes(frame.depth for frame in frames))
    if bases:
        numbers = (0 if frame.base is None else position[frame.base] for frame in frames)
        table.raw(BASE_OF, struct.pack(f"<{count}I", *numbers))
        table.raw(BASES, b"".join(bases))
    return table.to_bytes()


def decode_table(table: bytes, pack: PackId, what: str) -> list[Location]:
    """Return the locations that a pack's table describes. Raises CorruptionError, FormatTooNew."""
    record = RecordReader(table, what=what, known=_KNOWN)
    count = record.integer(COUNT)
    if not 0 <= count <= PACK_FRAMES_READ_MAX:
        raise CorruptionError(f"{what} is damaged", detail=f"It claims {count} frames.")
    chunks = record.raw(CHUNKS, length=count * HASH_BYTES)
    frame_bytes = struct.unpack(f"<{count}I", record.raw(FRAME_BYTES, length=count * 4))
    chunk_bytes = struct.unpack(f"<{count}I", record.raw(CHUNK_BYTES, length=count * 4))
    depths = record.raw(DEPTHS, length=count)
    base_of: Sequence[int] = [0] * count
    bases = record.optional(BASES) or b""
    if bases:
        base_of = struct.unpack(f"<{count}I", record.raw(BASE_OF, length=count * 4))
        if max(base_of, default=0) * HASH_BYTES > len(bases):
            raise CorruptionError(f"{what} is damaged", detail="A frame's base is not listed.")
    try:
        kinds = [KIND_OF[code] for code in record.raw(KINDS, length=count)]
        codecs = [CODEC_OF[code] for code in record.raw(CODECS, length=count)]
        ciphers = [CIPHER_OF[code] for code in record.raw(CIPHERS, length=count)]
    except KeyError as error:
        raise too_new(what, f"A frame has the unknown kind, codec or cipher {error}.") from None
    locations = []
    offset = HEAD.size
    for index in range(count):
        frame = Frame(
            chunk=chunks[index * HASH_BYTES : (index + 1) * HASH_BYTES],
            kind=kinds[index],
            codec=codecs[index],
            cipher=ciphers[index],
            depth=depths[index],
            base=_base(bases, base_of[index]),
            frame_bytes=frame_bytes[index],
            chunk_bytes=chunk_bytes[index],
        )
        locations.append(Location(pack, offset, frame))
        offset += frame.frame_bytes
    return locations


def _check_frames(locations: Sequence[Location], what: str) -> None:
    """Raise CorruptionError for frames that cannot be read, or would waste a reader's time or
    memory."""
    for location in locations:
        frame = location.frame
        if not (
            0 < frame.frame_bytes <= PLAIN_BYTES_MAX and 0 < frame.chunk_bytes <= PLAIN_BYTES_MAX
        ):
            raise CorruptionError(f"{what} is damaged", detail="A frame's size makes no sense.")
        if (frame.base is None) != (frame.codec is not Codec.ZSTD_DELTA):
            raise CorruptionError(f"{what} is damaged", detail="A frame lacks its base.")


def _base(bases: bytes, number: int) -> ChunkId | None:
    return bases[(number - 1) * HASH_BYTES : number * HASH_BYTES] if number else None


def read_table(pack: PackId, pack_bytes: int, get: Callable[[int, int], bytes]) -> list[Location]:
    """Return the locations of a stored pack, reading only its head and its end.

    *get* takes a start and a length. Raises CorruptionError if the pack is not intact.
    """
    what = f"pack {pack.hex()[:12]}"
    if pack_bytes < HEAD.size + TRAILER.size:
        raise CorruptionError(f"{what} is damaged", detail=f"It has only {pack_bytes} bytes.")
    table_bytes, table_checksum, mark = TRAILER.unpack(get(pack_bytes - TRAILER.size, TRAILER.size))
    start = pack_bytes - TRAILER.size - table_bytes
    if mark != END_MARK or start < HEAD.size or table_bytes > PACK_TABLE_BYTES_MAX:
        raise CorruptionError(f"{what} is damaged", detail="Its end mark is missing.")
    table = get(start, table_bytes)
    # The checksum first: a flipped version byte is damage, not a newer format.
    start_of_pack = get(0, HEAD.size)
    if checksum(start_of_pack, table) != table_checksum:
        raise CorruptionError(f"{what} is damaged", detail="Its table's checksum does not match.")
    check_head(ObjectKind.PACK, start_of_pack, what)
    locations = decode_table(table, pack, what)
    _check_frames(locations, what)
    end = locations[-1].offset + locations[-1].frame.frame_bytes if locations else HEAD.size
    if end != start:
        raise CorruptionError(f"{what} is damaged", detail="Its frames do not fill it.")
    return locations
