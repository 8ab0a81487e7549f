"""Packs: frames, then a table of them in columns, then a trailer (docs/format.md, "Packs")."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Protocol

from blake3 import blake3

from pgsnap.errors import CorruptionError
from pgsnap.format.envelope import HEAD, ObjectKind, check_head, checksum, head
from pgsnap.format.padding import padme
from pgsnap.format.record import FIELD, RecordReader, RecordWriter, too_new
from pgsnap.limits import (
    PACK_FRAMES_READ_MAX,
    PACK_TABLE_BYTES_MAX,
    PLAIN_BYTES_MAX,
    SEAL_BYTES,
)
from pgsnap.model import (
    DELTAS,
    HASH_BYTES,
    ChunkId,
    ChunkKind,
    Cipher,
    Codec,
    Frame,
    Location,
    PackId,
    PackSeal,
)

TRAILER = struct.Struct("<I16s8s")
"""Size of the table in bytes, checksum of head and table, end mark."""
END_MARK = b"snapend\n"
SEAL = struct.Struct("<I32s")
"""What follows the head of a sealed pack: epoch, salt."""

COUNT, CHUNKS, FRAME_BYTES, CHUNK_BYTES, KINDS, CODECS, CIPHERS, DEPTHS, BASE_OF, BASES = range(
    1, 11
)
_KNOWN = range(COUNT, BASES + 1)
PADDING = 11
"""Ignorable: zeros."""

# An enum's own look-up takes ten times as long, and there are three per frame.
KIND_OF = {int(kind): kind for kind in ChunkKind}
CODEC_OF = {int(codec): codec for codec in Codec}
CIPHER_OF = {int(cipher): cipher for cipher in Cipher}


class Sealer(Protocol):
    """What seals the frames and the table of a pack, and opens them (`sealing/packs.py`)."""

    def random_bytes(self, count: int, /) -> bytes: ...

    def new_seal(self) -> PackSeal: ...

    def seal(
        self, seal: PackSeal, offset: int, frame: Frame, data: bytes | memoryview
    ) -> tuple[Frame, bytes]: ...

    def seal_table(self, seal: PackSeal, table: bytes) -> bytes: ...

    def open_table(self, seal: PackSeal, data: bytes, what: str) -> bytes: ...


def encode_pack(
    frames: Sequence[tuple[Frame, bytes]], sealer: Sealer | None = None
) -> tuple[PackId, list[bytes], list[Location]]:
    """Return the id of a pack, its bytes in parts, and the locations of its frames."""
    return encode_body([frame for frame, _ in frames], [data for _, data in frames], sealer)


def encode_body(
    frames: Sequence[Frame], body: Sequence[bytes], sealer: Sealer | None = None
) -> tuple[PackId, list[bytes], list[Location]]:
    """Like `encode_pack`; *body* is the bytes of all *frames*, in any number of parts. With a
    *sealer* they are sealed, and the frames of the result are."""
    seal = None
    if sealer is None:
        start = head(ObjectKind.PACK)
        table = stored_table = encode_table(frames)
        content = list(body)
    else:
        seal = sealer.new_seal()
        start = head(ObjectKind.PACK, cipher=Cipher.AES_256_GCM) + SEAL.pack(seal.epoch, seal.salt)
        frames, content = _sealed_frames(frames, b"".join(body), len(start), seal, sealer)
        table = _padded(encode_table(frames))
        stored_table = sealer.seal_table(seal, table)
        size = len(start) + sum(map(len, content)) + len(stored_table) + TRAILER.size
        content.append(sealer.random_bytes(padme(size) - size))
    trailer = TRAILER.pack(len(stored_table), checksum(start, stored_table), END_MARK)
    parts = [start, *content, stored_table, trailer]
    hasher = blake3()
    for part in parts:
        hasher.update(part)
    # Verified before the bytes are written.
    if sealer is not None and seal is not None:
        table = sealer.open_table(seal, stored_table, "a new pack")
    locations = decode_table(table, hasher.digest(), "a new pack", len(start), seal)
    if [location.frame for location in locations] != list(frames):
        raise CorruptionError("a new pack's table does not read back")
    return hasher.digest(), parts, locations


def _sealed_frames(
    frames: Sequence[Frame], body: bytes, offset: int, seal: PackSeal, sealer: Sealer
) -> tuple[list[Frame], list[bytes]]:
    """Return the sealed forms of *frames*, whose bytes are *body*; the first is at *offset*."""
    sealed: list[Frame] = []
    content: list[bytes] = []
    view, position = memoryview(body), 0
    for frame in frames:
        data = view[position : position + frame.frame_bytes]
        position += frame.frame_bytes
        of_frame, stored = sealer.seal(seal, offset, frame, data)
        sealed.append(of_frame)
        content.append(stored)
        offset += len(stored)
    return sealed, content


def _padded(table: bytes) -> bytes:
    """Return the table of a sealed pack, padded: its size would say how many frames there are."""
    size = len(table) + FIELD.size + SEAL_BYTES
    padding = RecordWriter()
    padding.raw(PADDING, bytes(padme(size) - size), ignorable=True)
    return table + padding.to_bytes()


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


def decode_table(
    table: bytes,
    pack: PackId,
    what: str,
    offset: int = HEAD.size,
    seal: PackSeal | None = None,
) -> list[Location]:
    """Return the locations that a pack's table describes; its first frame is at *offset*. Raises
    CorruptionError, FormatTooNew."""
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
    if any(cipher is not (Cipher.AES_256_GCM if seal else Cipher.NONE) for cipher in ciphers):
        raise CorruptionError(
            f"{what} is damaged", detail="Not all of its frames are sealed alike."
        )
    locations = []
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
        locations.append(Location(pack, offset, frame, seal))
        offset += frame.frame_bytes
    return locations


def _check_frames(locations: Sequence[Location], what: str) -> None:
    """Raise CorruptionError for frames that cannot be read, or would waste a reader's time or
    memory."""
    for location in locations:
        frame = location.frame
        added = SEAL_BYTES if location.seal is not None else 0
        if not (
            added < frame.frame_bytes <= PLAIN_BYTES_MAX + added
            and 0 < frame.chunk_bytes <= PLAIN_BYTES_MAX
        ):
            raise CorruptionError(f"{what} is damaged", detail="A frame's size makes no sense.")
        if (frame.base is None) == (frame.codec in DELTAS):
            raise CorruptionError(f"{what} is damaged", detail="A frame lacks its base.")


def _base(bases: bytes, number: int) -> ChunkId | None:
    return bases[(number - 1) * HASH_BYTES : number * HASH_BYTES] if number else None


def read_table(
    pack: PackId,
    pack_bytes: int,
    get: Callable[[int, int], bytes],
    sealer: Sealer | None = None,
) -> list[Location]:
    """Return the locations of a stored pack, reading only its head and its end.

    *get* takes a start and a length; *sealer* opens the packs of an encrypted repository, whose
    packs are all sealed. Raises CorruptionError if the pack is not intact.
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
    start_of_pack = get(0, min(HEAD.size + SEAL.size, start))
    if start_of_pack[: HEAD.size] != _SEALED_HEAD:
        start_of_pack = start_of_pack[: HEAD.size]
    if checksum(start_of_pack, table) != table_checksum:
        raise CorruptionError(f"{what} is damaged", detail="Its table's checksum does not match.")
    check_head(ObjectKind.PACK, start_of_pack, what)
    seal = _seal(start_of_pack, what, sealer)
    if sealer is not None and seal is not None:
        table = sealer.open_table(seal, table, what)
    locations = decode_table(table, pack, what, len(start_of_pack), seal)
    _check_frames(locations, what)
    last = locations[-1] if locations else None
    end = last.offset + last.frame.frame_bytes if last is not None else len(start_of_pack)
    # A sealed pack has padding there.
    if end > start or (end < start and seal is None):
        raise CorruptionError(f"{what} is damaged", detail="Its frames do not fill it.")
    return locations


_SEALED_HEAD = head(ObjectKind.PACK, cipher=Cipher.AES_256_GCM)


def _seal(start: bytes, what: str, sealer: Sealer | None) -> PackSeal | None:
    """Return the seal of the pack that begins with *start*, None if it is not sealed. Raises
    CorruptionError if it is no pack of such a repository."""
    is_sealed = start[: HEAD.size] == _SEALED_HEAD
    if is_sealed and sealer is None:
        raise CorruptionError(
            f"{what} is not this repository's",
            detail="It is sealed, and the repository is not encrypted.",
        )
    if not is_sealed and sealer is not None:
        raise CorruptionError(
            f"{what} is not this repository's",
            detail="It is not sealed, as all packs of an encrypted repository are.",
        )
    if not is_sealed:
        return None
    if len(start) < HEAD.size + SEAL.size:
        raise CorruptionError(f"{what} is damaged", detail="It is too short.")
    return PackSeal(*SEAL.unpack_from(start, HEAD.size))
