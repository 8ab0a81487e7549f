"""Copying chunks to another repository, as planned. It can be killed at any moment: the next run
finds what was written, and goes on from there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from blake3 import blake3

from pgsnap import interrupts
from pgsnap.errors import CorruptionError
from pgsnap.format.pack import read_table
from pgsnap.limits import COPIED_BYTES_IN_FLIGHT, MOVED_BYTES_IN_FLIGHT
from pgsnap.maintenance.gc.marking import VERIFY_FIRST
from pgsnap.maintenance.moving import OldPack, read_pack
from pgsnap.maintenance.transfer.lists import ListCopier
from pgsnap.maintenance.transfer.plan import TransferPlan
from pgsnap.maintenance.transfer.renaming import Renaming, with_ranks
from pgsnap.model import ChunkId, ChunkKind, Location, PackId, RecipeRoot
from pgsnap.progress import Progress
from pgsnap.repository import layout
from pgsnap.repository.chunks.packs import PackWriter
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.repository.index.frame_table import Array
from pgsnap.repository.scopes import Window, threads
from pgsnap.values import dataclass

_Copied: TypeAlias = "tuple[PackId, int, list[Location]]"

_PACKS_AT_ONCE = 4
_READ_AT_ONCE = 2
_FRAMES_AT_ONCE = 50_000


@dataclass(slots=True)
class Sent:
    """What was written to the other repository."""

    packs: int = 0
    bytes: int = 0

    def add(self, written: PackWriter) -> None:
        self.packs += len(written.written)
        self.bytes += written.stored_bytes


def transfer_chunks(
    source: ChunkStore, target: ChunkStore, plan: TransferPlan, progress: Progress
) -> Sent:
    """Copy what *plan* says; it is durable and indexed on return. Raises CorruptionError if any of
    it is damaged, StoreError."""
    sent = Sent()
    _copy_packs(source, target, plan, sent, progress)
    if len(plan.frames) or len(plan.plain):
        with target.writer(frames_at_once=_FRAMES_AT_ONCE) as packs:
            _move_frames(source, target, plan, None, packs, progress)
        sent.add(packs)
    return sent


def transfer_renamed(
    renaming: Renaming,
    plan: TransferPlan,
    roots: Sequence[RecipeRoot],
    progress: Progress,
) -> tuple[Sent, list[RecipeRoot]]:
    """Copy what *plan* says, and the lists of the section tables *roots*, to a repository with
    other keys; return the new roots too. Raises what `transfer_chunks` does."""
    sent = Sent()
    # Their order would show which chunks followed each other.
    with renaming.target.writer(frames_at_once=_FRAMES_AT_ONCE, new_chunks=True) as packs:
        _move_frames(renaming.source, renaming.target, plan, renaming, packs, progress)
        lists = ListCopier(renaming, packs)
        tables = [replace(root, chunk=lists.table(root)) for root in roots]
    renaming.known.save()
    sent.add(packs)
    return sent, tables


def _copy_packs(
    source: ChunkStore, target: ChunkStore, plan: TransferPlan, sent: Sent, progress: Progress
) -> None:
    done: list[_Copied] = []

    def collect() -> None:
        copied = under_way.take()
        done.append(copied)
        sent.packs += 1
        sent.bytes += copied[1]
        progress.advance(copied[1])
        if sum(len(locations) for _, _, locations in done) >= _FRAMES_AT_ONCE:
            index()

    def index() -> None:
        target.index.add_packs(done)
        done.clear()

    at_once = max(_PACKS_AT_ONCE, _transfers(source, target))
    # What was copied is known to the index, whatever happened to the rest.
    with interrupts.undone_by(index), threads(at_once, "snap-copy") as pool:
        under_way: Window[_Copied] = Window(pool, at_once, COPIED_BYTES_IN_FLIGHT)
        for number in plan.packs:
            pack, size = plan.table.packs[number]
            while not under_way.has_room(size):
                collect()
            under_way.start(size, partial(_copy_pack, source, target, pack, size))
        while under_way:
            collect()
    index()


def _transfers(*stores: ChunkStore) -> int:
    return max(one.reader.transfers for one in stores)


def _copy_pack(source: ChunkStore, target: ChunkStore, pack: PackId, size: int) -> _Copied:
    name = layout.pack_name(pack)
    data = source.store.get(name, 0, size)
    if blake3(data).digest() != pack:
        raise CorruptionError(
            f"pack {pack.hex()[:12]} is damaged",
            detail="Its bytes do not hash to its name. No damage was sent.",
            hint=VERIFY_FIRST.replace("snap verify", "snap verify --data"),
        )
    locations = read_table(
        pack, size, lambda start, length: data[start : start + length], source.scheme.packs
    )
    target.store.put(name, data)
    return pack, size, list(locations)


def _move_frames(
    source: ChunkStore,
    target: ChunkStore,
    plan: TransferPlan,
    renaming: Renaming | None,
    packs: PackWriter,
    progress: Progress,
) -> None:
    """Write frames of small or partly wanted packs into new packs, one after another."""
    table = plan.table
    ranks = _changed_ranks(plan)

    def read(number: int, offsets: set[int]) -> OldPack:
        old = read_pack(source, *table.packs[number], offsets)
        return with_ranks(old, ranks) if renaming is None else renaming.renamed(old, ranks)

    def collect() -> None:
        for moved in under_way.take().frames:
            for frame, data in moved:
                packs.add(frame, data)
                progress.advance(frame.frame_bytes)

    at_once = max(_READ_AT_ONCE, _transfers(source))
    with threads(at_once, "snap-move") as pool:
        under_way: Window[OldPack] = Window(pool, at_once, MOVED_BYTES_IN_FLIGHT)
        for number, offsets in _by_pack(table.pack[plan.frames], table.offset[plan.frames]):
            while not under_way.has_room(size := table.packs[number][1]):
                collect()
            under_way.start(size, partial(read, number, offsets))
        while under_way:
            collect()
    encoder = target.encoder()
    for number, chunk in zip(plan.plain.tolist(), table.ids(plan.plain.tolist()), strict=True):
        plain = source.reader.read(chunk)
        kind = ChunkKind(int(table.kind[(table.chunk == number).argmax()]))
        name = chunk if renaming is None else renaming.name(plain)
        packs.add(*encoder.encode_against(name, plain, kind, None, 0))
        progress.advance(len(plain))


def _changed_ranks(plan: TransferPlan) -> dict[ChunkId, int]:
    """Return the ranks of the chunks whose frames get another one."""
    import numpy as np

    chunks = plan.table.chunk[plan.frames]
    old = plan.table.rank[plan.frames]
    changed = np.flatnonzero(plan.ranks[chunks] != old)
    numbers = chunks[changed].tolist()
    return dict(zip(plan.table.ids(numbers), plan.ranks[numbers].tolist(), strict=True))


def _by_pack(packs: Array, offsets: Array) -> list[tuple[int, set[int]]]:
    """Return the offsets of frames that are sorted by pack, by pack."""
    import numpy as np

    if not len(packs):
        return []
    numbers, first = np.unique(packs, return_index=True)
    parts = np.split(offsets, first[1:])
    return [
        (number, set(part.tolist())) for number, part in zip(numbers.tolist(), parts, strict=True)
    ]
