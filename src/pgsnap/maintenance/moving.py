"""Reading the frames of packs that are about to be written to others: no damage is copied."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TypeAlias

from blake3 import blake3

from pgsnap.errors import CorruptionError
from pgsnap.format.pack import read_table
from pgsnap.limits import MIB
from pgsnap.maintenance.gc.marking import VERIFY_FIRST
from pgsnap.model import ChunkId, Frame, Location, PackId
from pgsnap.repository import layout
from pgsnap.repository.chunks.inspection import find_table
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.stores.base import ObjectInfo
from pgsnap.values import dataclass

_BATCH_BYTES = 2 * MIB
# A pack up to this size is read as a whole: that is every pack written by this version.
_READ_WHOLE_MAX = 32 * MIB

Moved: TypeAlias = "list[tuple[Frame, bytes | memoryview]]"


@dataclass(frozen=True, slots=True)
class OldPack:
    """A pack that is being rewritten: its id, its *chunks*, and the kept *frames*, some at a
    time."""

    pack: PackId
    chunks: Sequence[ChunkId]
    frames: Iterable[Moved]


def read_pack(chunks: ChunkStore, pack: PackId, size: int, offsets: Collection[int]) -> OldPack:
    """Return the frames at *offsets* of a pack, whose hash is checked: no damage is copied."""
    name = layout.pack_name(pack)
    data = b""
    if size <= _READ_WHOLE_MAX:
        # A bad sector, or other damage, need not be in what is moved.
        with contextlib.suppress(CorruptionError):
            data = chunks.store.get(name, 0, size)
    is_whole = blake3(data).digest() == pack
    if is_whole:
        locations = read_table(
            pack, size, lambda start, length: data[start : start + length], chunks.scheme.packs
        )
    else:
        locations, _ = find_table(chunks.store, pack, ObjectInfo(name, size), chunks.scheme)
    wanted = [location for location in locations if location.offset in offsets]
    if len(wanted) != len(offsets):
        raise CorruptionError(
            f"the index is wrong about pack {pack.hex()[:12]}", hint="Rebuild it: snap reindex"
        )
    ids = [location.frame.chunk for location in locations]
    if not is_whole:
        return OldPack(pack, ids, (_read_frames(chunks, some) for some in _batches(wanted)))
    view = memoryview(data)
    moved: Moved = [
        chunks.reader.opened(x, view[x.offset : x.offset + x.frame.frame_bytes]) for x in wanted
    ]
    return OldPack(pack, ids, [moved])


def _batches(wanted: Iterable[Location]) -> Iterator[list[Location]]:
    batch: list[Location] = []
    batch_bytes = 0
    for location in wanted:
        if batch and batch_bytes >= _BATCH_BYTES:
            yield batch
            batch, batch_bytes = [], 0
        batch.append(location)
        batch_bytes += location.frame.frame_bytes
    yield batch


def _read_frames(chunks: ChunkStore, batch: Sequence[Location]) -> Moved:
    """Return frames with their bytes, each decoded and checked by hash."""
    found: Moved = []
    for location in batch:
        name = layout.pack_name(location.pack)
        data = chunks.store.get(name, location.offset, location.frame.frame_bytes)
        try:
            found.append(chunks.reader.check_frame(location, data))
        except CorruptionError as error:
            raise CorruptionError(
                f"chunk {location.frame.chunk.hex()[:12]} is damaged",
                detail=f"{error.message[:1].upper()}{error.message[1:]}. Its pack stays as it is.",
                hint=VERIFY_FIRST.replace("snap verify", "snap verify --data"),
            ) from error
    return found
