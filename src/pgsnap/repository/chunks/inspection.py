"""Inspecting packs in a store, independently of the index, for what is sound in them."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from blake3 import blake3

from pgsnap import interrupts
from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.format.envelope import HEAD
from pgsnap.format.pack import END_MARK, read_table
from pgsnap.limits import MIB, PLAIN_BYTES_MAX, SEAL_BYTES
from pgsnap.model import Location, PackId
from pgsnap.repository import layout
from pgsnap.repository.chunks.chains import Chains
from pgsnap.repository.chunks.chunks import CHAINS_AT_ONCE, ChunkReader
from pgsnap.repository.index.index import Index
from pgsnap.repository.objects import reads_at_once
from pgsnap.repository.scopes import side_by_side, threads
from pgsnap.sealing.scheme import Scheme
from pgsnap.stores.base import ObjectInfo, Store
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from concurrent.futures import Future

# A pack up to this size is read as a whole.
_SMALL_PACK_BYTES = 64 * 1024
# The end of a pack is searched for this far back, past anything that was appended to it.
_TAIL_BYTES = 64 * 1024
_BLOCK_BYTES = 4 * MIB
_FRAMES_AT_ONCE = 30_000
# More than this for eight of them means a spinning disk, less the page cache.
_WAITED_SECONDS = 0.01
# Frames of a damaged pack that are compared with others.
_MISPLACED_MAX = 100
# Passing a single pack to a thread takes longer than reading its table.
_TABLES_AT_ONCE = 8


Row: TypeAlias = tuple[Any, ...]
"""A frame as the index has it."""


@dataclass(slots=True)
class PackState:
    """The result of inspecting a pack's file.

    *pack* is the id that its name claims, None if the name is not a pack's. *problem* is empty if
    nothing is wrong, else a sentence. *locations* are its frames, empty if its table cannot be
    read; *bytes_of_pack* is where the pack ends, although its file may go on. *bad* are the offsets
    of frames that do not yield their chunk, *content* is the hash of all bytes: both only with
    data.
    """

    info: ObjectInfo
    pack: PackId | None
    problem: str = ""
    locations: list[Location] = field(default_factory=list)
    bytes_of_pack: int = 0
    bad: list[int] = field(default_factory=list)
    content: bytes = b""


def find_table(
    store: Store, pack: PackId, info: ObjectInfo, scheme: Scheme
) -> tuple[list[Location], int]:
    """Return a pack's frames and its size, which is less than its file's if something was appended.
    Raises CorruptionError, ObjectNotFound."""
    sealer = scheme.packs
    get = partial(store.get, info.name)
    if info.object_bytes <= _SMALL_PACK_BYTES:
        # Opened once, not three times; a bad sector among its frames does not affect its table.
        with contextlib.suppress(CorruptionError):
            data = get(0, info.object_bytes)
            return read_table(
                pack, len(data), lambda start, length: data[start : start + length], sealer
            ), info.object_bytes
    try:
        return read_table(pack, info.object_bytes, get, sealer), info.object_bytes
    except CorruptionError as error:
        start = max(0, info.object_bytes - _TAIL_BYTES)
        tail = get(start, info.object_bytes - start)
        end = len(tail)
        while (mark := tail.rfind(END_MARK, 0, end)) >= 0:
            size = start + mark + len(END_MARK)
            try:
                return read_table(pack, size, get, sealer), size
            except CorruptionError:
                end = mark + len(END_MARK) - 1
        raise error


@dataclass(frozen=True, slots=True)
class PackTable:
    """A pack's frames, by its own table. *goes_on*: its file continues after the pack's end."""

    pack: PackId
    info: ObjectInfo
    locations: list[Location]
    goes_on: bool


def pack_tables(
    store: Store,
    packs: Iterable[tuple[PackId, ObjectInfo]],
    left_out: list[tuple[str, str]],
    scheme: Scheme,
) -> Iterator[list[PackTable]]:
    """Yield the tables of *packs*, many at a time, for `add_tables`. Unsound packs are added to
    *left_out* by name, each with the reason."""
    found: list[PackTable] = []

    def read(one: tuple[PackId, ObjectInfo]) -> PackTable | CorruptionError | ObjectNotFound:
        pack, info = one
        try:
            table, size = find_table(store, pack, info, scheme)
        except (CorruptionError, ObjectNotFound) as error:
            return error
        return PackTable(pack, info, table, size != info.object_bytes)

    for (_, info), table in side_by_side(packs, read, reads_at_once(store)):
        if not isinstance(table, PackTable):
            left_out.append((info.name, table.detail or f"{table.message}."))
            continue
        found.append(table)
        if sum(len(one.locations) for one in found) >= _FRAMES_AT_ONCE:
            yield found
            found = []
    if found:
        yield found


def add_tables(index: Index, tables: Sequence[PackTable]) -> None:
    """Add durable packs to the index. With a large index, adding a few frames takes about as long
    as adding many."""
    index.add_packs((one.pack, one.info.object_bytes, one.locations) for one in tables)
    for one in tables:
        if one.goes_on:
            offsets = [location.offset for location in one.locations]
            index.mark_damaged(one.pack, offsets, readable=True)


def inspect_pack(
    store: Store, info: ObjectInfo, chunks: ChunkReader, *, data: bool = False
) -> PackState | None:
    """Return the state of a pack's file; None if it has vanished meanwhile.

    With *data* every byte is read: the file is hashed, and so is every chunk; *chunks* reads the
    bases of deltas. Holds one frame at a time.
    """
    pack = layout.hash_of(info.name)
    state = PackState(info, pack)
    try:
        try:
            state.locations, state.bytes_of_pack = find_table(
                store, pack or b"", info, chunks.scheme
            )
            if state.bytes_of_pack != info.object_bytes:
                extra = info.object_bytes - state.bytes_of_pack
                state.problem = f"It goes on for {extra} bytes after its end."
        except CorruptionError as error:
            state.problem = error.detail or f"{error.message}."
        if pack is None or info.name != layout.pack_name(pack):
            state.problem = "It does not lie where a pack of its name belongs."
        if data:
            _read_all(store, state, chunks)
    except ObjectNotFound:
        return None
    return state


def _read_all(store: Store, state: PackState, chunks: ChunkReader) -> None:
    """Hash the file and each of its frames, reading every byte once."""
    name, size = state.info.name, state.info.object_bytes
    hasher = blake3()
    position = 0
    most = PLAIN_BYTES_MAX + SEAL_BYTES
    for location, bases in _with_bases(state.locations, chunks):
        interrupts.check_left_behind()
        frame = location.frame
        try:
            if position < location.offset:
                hasher.update(store.get(name, position, location.offset - position))
            data = store.get(name, location.offset, frame.frame_bytes)
            hasher.update(data)
            if frame.frame_bytes > most or frame.chunk_bytes > PLAIN_BYTES_MAX:
                raise CorruptionError("its table claims a frame that is too large")
            chunks.check_frame(location, data, bases)
        except CorruptionError:
            # A frame without its base, left behind by a gc, is not damage: the pack's hash shows
            # whether the pack is intact.
            if not chunks.lacks_base(location):
                state.bad.append(location.offset)
        position = location.offset + frame.frame_bytes
    # Unreadable bytes are not hashed, so the hash will not match.
    with contextlib.suppress(CorruptionError):
        for block in blocks(store, name, size, start=position):
            hasher.update(block)
    state.content = hasher.digest()
    if state.bad:
        count = len(state.bad)
        state.problem = f"{count} of its {len(state.locations)} frames are damaged."
        if moved := _misplaced(store, state, chunks.scheme):
            state.problem += f" {moved} of them lie in the place of another."
    elif state.content != state.pack and not state.problem:
        state.problem = "Its bytes do not hash to its name."


def _misplaced(store: Store, state: PackState, scheme: Scheme) -> int:
    """Return how many of the sealed frames that do not open are another frame of their pack:
    somebody moved them on purpose, as no disk does."""
    sealer = scheme.packs
    if sealer is None:
        return 0
    alike: dict[int, list[Location]] = {}
    for location in state.locations:
        alike.setdefault(location.frame.frame_bytes, []).append(location)
    found = 0
    bad = set(state.bad)
    for location in [one for one in state.locations if one.offset in bad][:_MISPLACED_MAX]:
        size = location.frame.frame_bytes
        for other in alike[size][:_MISPLACED_MAX]:
            with contextlib.suppress(CorruptionError):
                sealer.open(other, store.get(state.info.name, location.offset, size))
                found += other != location
    return found


def _with_bases(
    locations: Sequence[Location], chunks: ChunkReader
) -> Iterator[tuple[Location, Chains]]:
    """Yield each frame with the chain of its base; neighbouring frames share the reads."""
    for start in range(0, len(locations), CHAINS_AT_ONCE):
        some = locations[start : start + CHAINS_AT_ONCE]
        named = [location.frame.base for location in some]
        bases = chunks.chains([base for base in named if base is not None])
        for location in some:
            yield location, bases


def blocks(store: Store, name: str, size: int, *, start: int = 0) -> Iterator[bytes]:
    """Yield the bytes of an object from *start*, a few MiB at a time."""
    while start < size:
        length = min(_BLOCK_BYTES, size - start)
        yield store.get(name, start, length)
        start += length


def begins_as_pack(store: Store, info: ObjectInfo) -> bool:
    """Return whether a file under a wrong name is a pack, not a stray file."""
    if info.object_bytes < HEAD.size:
        return False
    try:
        return store.get(info.name, 0, HEAD.size).startswith(b"\x89snapP")
    except CorruptionError:
        return False


def inspect_packs(
    store: Store, infos: Sequence[ObjectInfo], chunks: ChunkReader, *, data: bool
) -> Generator[PackState, None, None]:
    """Yield the result of `inspect_pack` for each file, in order; a few are read in parallel."""
    workers = os.cpu_count() or 2
    at_once = 1 if data else _TABLES_AT_ONCE
    if not data:
        done = yield from _without_waiting(store, infos, chunks)
        infos = infos[done:]
    under_way: deque[Future[list[PackState]]] = deque()
    with threads(workers, "snap-inspect") as pool:
        for start in range(0, len(infos), at_once):
            some = infos[start : start + at_once]
            under_way.append(pool.submit(_inspect, store, some, chunks, data))
            if len(under_way) >= 2 * workers:
                yield from interrupts.result(under_way.popleft())
        while under_way:
            yield from interrupts.result(under_way.popleft())


def _without_waiting(
    store: Store, infos: Sequence[ObjectInfo], chunks: ChunkReader
) -> Generator[PackState, None, int]:
    """Yield the states of the first packs, as long as reading them does not wait for the disk:
    threads would only wait for each other. Returns how many files were inspected."""
    for start in range(0, len(infos), _TABLES_AT_ONCE):
        began, used = time.perf_counter(), time.thread_time()
        some = infos[start : start + _TABLES_AT_ONCE]
        states = _inspect(store, some, chunks, False)
        waited = time.perf_counter() - began - (time.thread_time() - used)
        yield from states
        if waited > _WAITED_SECONDS:
            return start + len(some)
    return len(infos)


def _inspect(
    store: Store, infos: Sequence[ObjectInfo], chunks: ChunkReader, data: bool
) -> list[PackState]:
    states = (inspect_pack(store, info, chunks, data=data) for info in infos)
    return [state for state in states if state is not None]


def rows_of(index: Index, states: Sequence[PackState]) -> dict[PackId, list[Row]]:
    """Return the index's rows for the chunks in these packs, by pack, for `mend_rows`."""
    wanted = {location.frame.chunk for state in states for location in state.locations}
    rows: dict[PackId, list[Row]] = {state.pack: [] for state in states if state.pack}
    for row in index.rows(list(wanted)):
        if (of_pack := rows.get(row[1])) is not None:
            of_pack.append(row)
    return rows


def mend_rows(index: Index, state: PackState, known: Mapping[PackId, list[Row]]) -> bool:
    """Make the index's rows of a pack agree with its table; return whether they did not. *known* is
    the result of `rows_of`."""
    pack = state.pack
    if pack is None or not state.locations:
        return False
    rows = sorted(known[pack], key=itemgetter(2))
    if rows == [index.row_of(location) for location in state.locations]:
        return False
    marks = [mark for mark in index.damaged() if mark[0] == pack]
    index.drop_pack(pack)
    index.add_pack(pack, state.info.object_bytes, state.locations)
    for _, offset, readable in marks:
        index.mark_damaged(pack, [offset], readable=readable)
    return True
