"""The index: the location of every chunk, in SQLite. Derived; it can be deleted at any time.

Hot paths use the connection directly: sqlite-utils takes 30 µs per row and 0.3 s to import.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pgsnap.format.pack import CIPHER_OF, CODEC_OF, KIND_OF
from pgsnap.limits import DELTA_DEPTH_MAX
from pgsnap.model import ChunkId, Frame, Location, PackId, PackSeal
from pgsnap.repository.index.connection import IndexDamaged
from pgsnap.repository.index.snapshots import SnapshotIndex

_LOOKUP_BATCH = 500
_LOCATIONS = (
    'SELECT chunks.id, packs.id, "offset", kind, codec, cipher, depth, base, frame_bytes,'
    " chunk_bytes, epoch, salt FROM chunks JOIN packs USING (pack_no)"
)
_BELOW = (
    # Apart: SQLite joins 500 terms at most, and each value counts unless they stand alone.
    "WITH RECURSIVE asked(id) AS (VALUES {}), chain(id) AS (SELECT id FROM asked UNION"
    " SELECT base FROM chain JOIN chunks USING (id) WHERE base IS NOT NULL)"
    f" {_LOCATIONS} WHERE chunks.id IN chain"
)
_CHAINS = (
    f"WITH RECURSIVE asked(id) AS (VALUES {{0}}), step(chunk, id, depth) AS ("
    f"SELECT id, id, {DELTA_DEPTH_MAX} FROM asked UNION"
    " SELECT chunk, base, chunks.depth FROM step JOIN chunks USING (id)"
    " WHERE base IS NOT NULL AND chunks.depth < step.depth{sound})"
    " SELECT DISTINCT chunk FROM step JOIN chunks USING (id) WHERE base IS NULL{sound}"
)
_MARKED = (
    "SELECT 1 FROM packs JOIN damaged ON damaged.pack = packs.id"
    ' WHERE packs.pack_no = chunks.pack_no AND damaged."offset" = chunks."offset"'
)
# PRAGMA application_id of an index that is_complete.
_COMPLETE = int.from_bytes(b"snap", "big")


class Index(SnapshotIndex):
    """The index's tables: packs, chunks, damage marks, snapshots."""

    @property
    def is_complete(self) -> bool:
        """Return whether it once held every snapshot of the store. A new one does not: that a
        snapshot is missing from it means nothing."""
        return self.query("PRAGMA application_id") == [(_COMPLETE,)]

    def set_complete(self, complete: bool = True) -> None:
        with self.transaction() as connection:
            connection.execute(f"PRAGMA application_id = {_COMPLETE if complete else 0}")

    # -- packs and chunks ---------------------------------------------------------------------

    def packs_before(self, epoch: int) -> set[PackId]:
        """Return the packs that are sealed with a key before number *epoch*."""
        return {row[0] for row in self.query("SELECT id FROM packs WHERE epoch < ?", (epoch,))}

    def packs(self) -> dict[PackId, int]:
        """Return the packs that the index knows, with their sizes."""
        return dict(self.query("SELECT id, pack_bytes FROM packs"))

    def add_pack(self, pack: PackId, pack_bytes: int, locations: Sequence[Location]) -> None:
        """Record a durable pack; a no-op if it is already known."""
        self.add_packs([(pack, pack_bytes, locations)])

    def add_packs(self, packs: Iterable[tuple[PackId, int, Sequence[Location]]]) -> None:
        """Record durable packs in one transaction."""
        rows = []
        with self.transaction() as connection:
            for pack, pack_bytes, locations in packs:
                seal = locations[0].seal if locations else None
                cursor = connection.execute(
                    "INSERT INTO packs (id, pack_bytes, frames, epoch, salt)"
                    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING RETURNING pack_no",
                    (pack, pack_bytes, len(locations), *_seal_columns(seal)),
                )
                made = cursor.fetchone()
                # It was just written or checked, so earlier marks no longer apply.
                connection.execute("DELETE FROM damaged WHERE pack = ?", (pack,))
                if made is not None:
                    rows += [self._row(made[0], location) for location in locations]
            # In the table's order; otherwise each row would touch a different page.
            rows.sort()
            connection.executemany("INSERT INTO chunks VALUES (?,?,?,?,?,?,?,?,?,?)", rows)

    @staticmethod
    def _row(pack_no: int, location: Location) -> tuple[Any, ...]:
        frame = location.frame
        return (
            frame.chunk,
            pack_no,
            location.offset,
            frame.frame_bytes,
            frame.chunk_bytes,
            frame.kind,
            frame.codec,
            frame.cipher,
            frame.depth,
            frame.base,
        )

    def drop_pack(self, pack: PackId) -> None:
        """Remove a deleted pack from the index."""
        self.drop_packs([pack])

    def drop_packs(
        self, packs: Sequence[PackId], frames: Iterable[tuple[ChunkId, PackId]] = ()
    ) -> None:
        """Remove deleted packs from the index. Scans the whole table of chunks once, unless
        *frames* says which chunks are in which pack."""
        gone = set(packs)
        with self.transaction() as connection:
            numbers: dict[PackId, int] = {}
            left = 0
            for number, pack, count in connection.execute("SELECT pack_no, id, frames FROM packs"):
                if pack in gone:
                    numbers[pack] = number
                    left += count
            rows = sorted((chunk, numbers[pack]) for chunk, pack in frames if pack in numbers)
            cursor = connection.executemany("DELETE FROM chunks WHERE id = ? AND pack_no = ?", rows)
            if numbers and cursor.rowcount < left:
                of_them = ",".join(map(str, numbers.values()))
                connection.execute(f"DELETE FROM chunks WHERE pack_no IN ({of_them})")
            names = [(pack,) for pack in gone]
            connection.executemany("DELETE FROM packs WHERE id = ?", names)
            connection.executemany("DELETE FROM damaged WHERE pack = ?", names)
            connection.executemany("DELETE FROM pack_reads WHERE pack = ?", names)

    def compact(self) -> None:
        """Return unused space to the file system. No other process may have the index open."""
        self.query("PRAGMA wal_checkpoint(TRUNCATE)")
        self.query("VACUUM")
        self.query("PRAGMA wal_checkpoint(TRUNCATE)")

    # -- damage -------------------------------------------------------------------------------

    def mark_damaged(self, pack: PackId, offsets: Iterable[int], *, readable: bool) -> None:
        """Mark the frames at *offsets* of a pack as damaged, so that new commits store their chunks
        again; if not *readable*, readers fail before they begin."""
        with self.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO damaged VALUES (?, ?, ?)",
                [(pack, offset, int(readable)) for offset in offsets],
            )

    def clear_damaged(self, pack: PackId) -> None:
        """Remove the damage marks of a pack: it is sound."""
        if self.query("SELECT 1 FROM damaged WHERE pack = ? LIMIT 1", (pack,)):
            with self.transaction() as connection:
                connection.execute("DELETE FROM damaged WHERE pack = ?", (pack,))

    def damaged(self) -> list[tuple[PackId, int, bool]]:
        """Return the marked frames: pack, offset, whether it can be read nevertheless."""
        rows = self.query('SELECT pack, "offset", readable FROM damaged')
        return [(pack, offset, bool(readable)) for pack, offset, readable in rows]

    def faults(self) -> list[str]:
        """Return what SQLite's own check finds wrong in the file; an empty list if it is intact."""
        found = [str(row[0]) for row in self.query("PRAGMA integrity_check(20)")]
        return [] if found == ["ok"] else found

    # -- ownership ---------------------------------------------------------------------------------

    @property
    def owner(self) -> str | None:
        """The id of the repository that the index belongs to, None if it was never set."""
        rows = self.query("SELECT repository_id FROM identity")
        return str(rows[0][0]) if rows else None

    def belong_to(self, repository_id: str) -> None:
        """Set the repository that it belongs to. Raises IndexDamaged if it is another
        repository's."""
        owner = self.owner
        if owner is None:
            with self.transaction() as connection:
                connection.execute("INSERT INTO identity VALUES (?)", (repository_id,))
        elif owner != repository_id:
            with self.damage_put_aside():
                raise IndexDamaged("the index is another repository's")

    def retire(self) -> None:
        """Prepare for replacement by another file: all in one file, and never considered complete
        again."""
        self.query("PRAGMA application_id = 0")
        self.query("PRAGMA wal_checkpoint(TRUNCATE)")

    def known(self, chunks: Sequence[ChunkId]) -> set[ChunkId]:
        """Return those of *chunks* that have a sound frame with sound bases all the way down: a
        commit need not store these again."""
        return self._readable(chunks, _MARKED)

    def present(self, chunks: Sequence[ChunkId]) -> set[ChunkId]:
        """Return those of *chunks* that can be read, including their bases, as far as is known."""
        return self._readable(chunks, _MARKED + " AND NOT readable")

    def with_bases(self, chunks: Sequence[ChunkId]) -> set[ChunkId]:
        """Return those of *chunks* with no base missing, damaged or not. In packs that it does not
        rewrite, a gc leaves unneeded frames, possibly without their bases."""
        return self._readable(chunks, None)

    def sound_frames(self, chunks: Sequence[ChunkId]) -> list[tuple[int, ChunkId, ChunkId | None]]:
        """Return the sound frames of *chunks*, whatever the state of their bases: each as its
        depth, chunk and base."""
        select = "SELECT chunks.depth, chunks.id, base FROM chunks"
        sound = f" AND NOT EXISTS ({_MARKED})" if self._is_any_marked() else ""
        return [
            (depth, chunk, base) for depth, chunk, base in self._by_chunk(select, chunks, sound)
        ]

    def _is_any_marked(self) -> bool:
        return bool(self.query("SELECT 1 FROM damaged LIMIT 1"))

    def _readable(self, chunks: Sequence[ChunkId], marked: str | None) -> set[ChunkId]:
        """Return those of *chunks* from which bases of decreasing depth lead to a plain frame, none
        of them *marked*."""
        sound = ""
        # Usually none is marked, and this is the hot path of a commit.
        if marked is not None and self._is_any_marked():
            sound = f" AND NOT EXISTS ({marked})"
        found: set[ChunkId] = set()
        for start in range(0, len(chunks), _LOOKUP_BATCH):
            batch = chunks[start : start + _LOOKUP_BATCH]
            marks = ",".join(["(?)"] * len(batch))
            found.update(row[0] for row in self.query(_CHAINS.format(marks, sound=sound), batch))
        return found

    def locations(self, chunks: Sequence[ChunkId]) -> dict[ChunkId, list[Location]]:
        """Return the frames of *chunks*, least depth first."""
        return self._grouped(self._by_chunk(_LOCATIONS, chunks))

    def rows(self, chunks: Sequence[ChunkId]) -> Iterator[tuple[Any, ...]]:
        """Yield the frames of *chunks* as rows of the index, in the form of `row_of`."""
        return self._by_chunk(_LOCATIONS, chunks)

    @staticmethod
    def row_of(location: Location) -> tuple[Any, ...]:
        frame = location.frame
        return (
            frame.chunk,
            location.pack,
            location.offset,
            frame.kind,
            frame.codec,
            frame.cipher,
            frame.depth,
            frame.base,
            frame.frame_bytes,
            frame.chunk_bytes,
            *_seal_columns(location.seal),
        )

    def chains(self, chunks: Sequence[ChunkId]) -> dict[ChunkId, list[Location]]:
        """Return the result of `locations` for *chunks* and every base in their chains."""
        found: dict[ChunkId, list[Location]] = {}
        for start in range(0, len(chunks), _LOOKUP_BATCH):
            batch = chunks[start : start + _LOOKUP_BATCH]
            found |= self._grouped(self.query(_BELOW.format(",".join(["(?)"] * len(batch))), batch))
        return found

    def chains_of_known(self, chunks: Sequence[ChunkId]) -> dict[ChunkId, list[Location]]:
        """Return the result of `chains` for those of *chunks* that `known` returns."""
        if not self._is_any_marked():
            found = self.chains(chunks)
            if _are_complete(found):
                return found
        return self.chains(list(self.known(chunks)))

    def _grouped(self, rows: Iterable[tuple[Any, ...]]) -> dict[ChunkId, list[Location]]:
        """Return the frames in *rows* by chunk, least depth first."""
        found: dict[ChunkId, list[Location]] = {}
        for row in rows:
            location = self._location(row)
            found.setdefault(location.frame.chunk, []).append(location)
        for several in found.values():
            several.sort(key=lambda location: location.frame.depth)
        return found

    def frame_sizes(self, chunks: Sequence[ChunkId]) -> dict[ChunkId, int]:
        """Return the size in bytes of a frame of each of *chunks*: the same as from `locations`, in
        a fifth of the memory."""
        sizes: dict[ChunkId, int] = {}
        select = "SELECT chunks.id, frame_bytes FROM chunks"
        for chunk, size in self._by_chunk(select, chunks, " ORDER BY depth"):
            sizes.setdefault(chunk, size)
        return sizes

    def chunk_sizes(self, chunks: Sequence[ChunkId]) -> dict[ChunkId, set[int]]:
        """Return the sizes of *chunks* according to the packs: one each, if all are sound."""
        sizes: dict[ChunkId, set[int]] = {}
        select = "SELECT DISTINCT chunks.id, chunk_bytes FROM chunks"
        for chunk, size in self._by_chunk(select, chunks):
            sizes.setdefault(chunk, set()).add(size)
        return sizes

    def frames_of(self, pack: PackId) -> list[Location]:
        """Return the frames of a pack that the index knows, in order. Scans the whole table."""
        rows = self.query(f"{_LOCATIONS} WHERE packs.id = ?", (pack,))
        return sorted(map(self._location, rows), key=lambda location: location.offset)

    def frame_total(self) -> int:
        """Return the number of frames in all packs."""
        return int(self.query("SELECT coalesce(sum(frames), 0) FROM packs")[0][0])

    def frame_counts(self) -> dict[PackId, int]:
        """Return the number of frames in each pack, as the index has it."""
        rows = self.query("SELECT pack_no, count(*) FROM chunks GROUP BY pack_no")
        counts = dict(rows)
        found = {pack: counts.pop(number, 0) for number, pack in self._numbers()}
        # Rows of a pack that does not exist.
        return found | ({b"": sum(counts.values())} if counts else {})

    def _numbers(self) -> list[tuple[Any, ...]]:
        return self.query("SELECT pack_no, id FROM packs")

    def _location(self, row: tuple[Any, ...]) -> Location:
        chunk, pack, offset, kind, codec, cipher, depth, base, frame_bytes, size, epoch, salt = row
        try:
            codes = KIND_OF[kind], CODEC_OF[codec], CIPHER_OF[cipher]
        except KeyError as error:
            with self.damage_put_aside():
                raise IndexDamaged(
                    "the index is damaged", detail=f"It has the unknown code {error}."
                ) from None
        seal = None if salt is None else PackSeal(epoch, salt)
        return Location(pack, offset, Frame(chunk, *codes, depth, base, frame_bytes, size), seal)

    def totals(self) -> tuple[int, int]:
        """Return the number of packs, and their total bytes."""
        ((packs, pack_bytes),) = self.query(
            "SELECT count(*), coalesce(sum(pack_bytes), 0) FROM packs"
        )
        return packs, pack_bytes

    def _by_chunk(
        self, select: str, chunks: Sequence[ChunkId], also: str = ""
    ) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(chunks), _LOOKUP_BATCH):
            batch = chunks[start : start + _LOOKUP_BATCH]
            marks = ",".join("?" * len(batch))
            yield from self.query(f"{select} WHERE chunks.id IN ({marks}){also}", batch)


def _are_complete(chains: Mapping[ChunkId, Sequence[Location]]) -> bool:
    """Return whether every base has a frame of less depth than the one that needs it: then each
    chain ends at a plain frame."""
    return all(
        location.frame.base is None
        # The first one has the least.
        or (
            location.frame.base in chains
            and chains[location.frame.base][0].frame.depth < location.frame.depth < DELTA_DEPTH_MAX
        )
        for several in chains.values()
        for location in several
    )


def _seal_columns(seal: PackSeal | None) -> tuple[int | None, bytes | None]:
    return (None, None) if seal is None else (seal.epoch, seal.salt)
