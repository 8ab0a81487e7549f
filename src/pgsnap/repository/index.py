"""The index: where every chunk lies, in SQLite. Derived; it can be deleted at any time.

Hot paths use the connection itself, because sqlite-utils takes 30 µs a row and 0.3 s to import.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pgsnap.errors import CorruptionError, StoreError, StoreFull
from pgsnap.model import ChunkId, ChunkKind, Cipher, Codec, Frame, Location, PackId, SnapshotId
from pgsnap.repository.index_file import alone_in, make_private
from pgsnap.repository.migrations import SCHEMA_VERSION, migrate

_BUSY_SECONDS = 60.0
_LOOKUP_BATCH = 500
_LOCATIONS = (
    'SELECT chunks.id, packs.id, "offset", kind, codec, cipher, depth, base, frame_bytes,'
    " chunk_bytes FROM chunks JOIN packs USING (pack_no)"
)
# PRAGMA application_id of an index that is_complete.
_COMPLETE = int.from_bytes(b"snap", "big")


class IndexDamaged(CorruptionError):
    """The index file is no index; it is rebuilt."""

    kind = "index-damaged"


class Index:
    """One connection to the index, shared by the threads of a process."""

    def __init__(self, path: Path | None) -> None:
        """Open the index, or make it; None: in memory. Raises IndexDamaged, StoreError."""
        self._lock = threading.Lock()
        self._path = path
        self._file_number = 0
        with contextlib.nullcontext() if path is None else alone_in(path.parent):
            if path is not None:
                make_private(path)
                self._file_number = path.stat().st_ino
            with index_errors():
                self._connection = sqlite3.connect(
                    path or ":memory:", check_same_thread=False, timeout=_BUSY_SECONDS
                )
            try:
                with index_errors():
                    self._prepare()
            except IndexDamaged:
                self._connection.close()
                self._put_aside()
                raise
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        connection = self._connection
        # The index is derived, so what a power cut takes from it is found again at the next
        # open; a commit need not wait for the disk twice.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -16000")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise IndexDamaged("the index has a newer schema", detail=f"Version {version}.")
        if version < SCHEMA_VERSION:
            migrate(connection)

    def close(self) -> None:
        self._connection.close()

    @property
    def is_complete(self) -> bool:
        """Tell whether it held every snapshot of the store once. A new one does not: a snapshot
        that is not in it tells nothing."""
        return self._all("PRAGMA application_id") == [(_COMPLETE,)]

    def set_complete(self) -> None:
        with self._transaction() as connection:
            connection.execute(f"PRAGMA application_id = {_COMPLETE}")

    # -- packs and chunks ---------------------------------------------------------------------

    def packs(self) -> dict[PackId, int]:
        """Return the packs that the index knows, with their sizes."""
        return dict(self._all("SELECT id, pack_bytes FROM packs"))

    def add_pack(self, pack: PackId, pack_bytes: int, locations: Sequence[Location]) -> None:
        """Record a pack that is durable. One transaction; a pack that is known is left alone."""
        with self._transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO packs (id, pack_bytes, frames) VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO NOTHING RETURNING pack_no",
                (pack, pack_bytes, len(locations)),
            )
            row = cursor.fetchone()
            # It was written just now, or looked at: whatever was marked before is no more.
            connection.execute("DELETE FROM damaged WHERE pack = ?", (pack,))
            if row is None:
                return
            rows = [
                (
                    location.frame.chunk,
                    row[0],
                    location.offset,
                    location.frame.frame_bytes,
                    location.frame.chunk_bytes,
                    location.frame.kind,
                    location.frame.codec,
                    location.frame.cipher,
                    location.frame.depth,
                    location.frame.base,
                )
                for location in locations
            ]
            rows.sort()
            connection.executemany("INSERT INTO chunks VALUES (?,?,?,?,?,?,?,?,?,?)", rows)

    def drop_pack(self, pack: PackId) -> None:
        """Forget a pack that is gone."""
        with self._transaction() as connection:
            connection.execute(
                "DELETE FROM chunks WHERE pack_no = (SELECT pack_no FROM packs WHERE id = ?)",
                (pack,),
            )
            connection.execute("DELETE FROM packs WHERE id = ?", (pack,))
            connection.execute("DELETE FROM damaged WHERE pack = ?", (pack,))

    # -- damage -------------------------------------------------------------------------------

    def mark_damaged(self, pack: PackId, offsets: Iterable[int], *, readable: bool) -> None:
        """Let new commits store again what lies at *offsets* of a pack; where it is not
        *readable*, let readers know before they begin."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO damaged VALUES (?, ?, ?)",
                [(pack, offset, int(readable)) for offset in offsets],
            )

    def clear_damaged(self, pack: PackId) -> None:
        """Take back what was marked in a pack: it is sound."""
        if self._all("SELECT 1 FROM damaged WHERE pack = ? LIMIT 1", (pack,)):
            with self._transaction() as connection:
                connection.execute("DELETE FROM damaged WHERE pack = ?", (pack,))

    def damaged(self) -> list[tuple[PackId, int, bool]]:
        """Return what is marked: pack, offset, whether it can be read all the same."""
        rows = self._all('SELECT pack, "offset", readable FROM damaged')
        return [(pack, offset, bool(readable)) for pack, offset, readable in rows]

    def lost_snapshots(self) -> dict[SnapshotId, bytes]:
        """Return the manifests of the snapshots that vanished from the store."""
        return dict(self._all("SELECT id, manifest FROM lost_snapshots"))

    def faults(self) -> list[str]:
        """Return what SQLite finds wrong in the file itself; nothing where it is whole."""
        found = [str(row[0]) for row in self._all("PRAGMA integrity_check(20)")]
        return [] if found == ["ok"] else found

    # -- whose it is --------------------------------------------------------------------------

    @property
    def owner(self) -> str | None:
        """The id of the repository whose index it is, None where it was never said."""
        rows = self._all("SELECT repository_id FROM identity")
        return str(rows[0][0]) if rows else None

    def belong_to(self, repository_id: str) -> None:
        """Say whose index it is. Raises IndexDamaged where it is another repository's."""
        owner = self.owner
        if owner is None:
            with self._transaction() as connection:
                connection.execute("INSERT INTO identity VALUES (?)", (repository_id,))
        elif owner != repository_id:
            with self._damage_put_aside():
                raise IndexDamaged("the index is another repository's")

    def retire(self) -> None:
        """Make ready to be replaced by another file: all in one file, and never taken for complete
        again."""
        self._all("PRAGMA application_id = 0")
        self._all("PRAGMA wal_checkpoint(TRUNCATE)")

    def known(self, chunks: Sequence[ChunkId]) -> set[ChunkId]:
        """Return those of *chunks* that have a frame in a sound place: a commit that meets one
        stores it no more."""
        return self._with_frame(chunks, "")

    def present(self, chunks: Sequence[ChunkId]) -> set[ChunkId]:
        """Return those of *chunks* that have a frame that is not known to be unreadable."""
        return self._with_frame(chunks, " AND NOT damaged.readable")

    def _with_frame(self, chunks: Sequence[ChunkId], which: str) -> set[ChunkId]:
        select = "SELECT DISTINCT chunks.id FROM chunks"
        also = ""
        # Nearly always there are none, and this is the hot path of a commit.
        if self._all("SELECT 1 FROM damaged LIMIT 1"):
            also = (
                " AND NOT EXISTS (SELECT 1 FROM packs JOIN damaged ON damaged.pack = packs.id"
                ' WHERE packs.pack_no = chunks.pack_no AND damaged."offset" = chunks."offset"'
                f"{which})"
            )
        return {row[0] for row in self._by_chunk(select, chunks, also)}

    def locations(self, chunks: Sequence[ChunkId]) -> dict[ChunkId, list[Location]]:
        """Return the frames of *chunks*, those nearest to plain first."""
        found: dict[ChunkId, list[Location]] = {}
        for row in self._by_chunk(_LOCATIONS, chunks):
            location = self._location(row)
            found.setdefault(location.frame.chunk, []).append(location)
        for several in found.values():
            several.sort(key=lambda location: location.frame.depth)
        return found

    def frame_sizes(self, chunks: Sequence[ChunkId]) -> dict[ChunkId, int]:
        """Return the bytes of a frame of each of *chunks*: what `locations` says, in a fifth of
        the memory."""
        sizes: dict[ChunkId, int] = {}
        select = "SELECT chunks.id, frame_bytes FROM chunks"
        for chunk, size in self._by_chunk(select, chunks, " ORDER BY depth"):
            sizes.setdefault(chunk, size)
        return sizes

    def frames_of(self, pack: PackId) -> list[Location]:
        """Return the frames that the index knows of a pack, in order. Reads the whole table."""
        rows = self._all(f"{_LOCATIONS} WHERE packs.id = ?", (pack,))
        return sorted(map(self._location, rows), key=lambda location: location.offset)

    def frame_counts(self) -> dict[PackId, int]:
        """Return how many frames the index knows of each pack."""
        rows = self._all("SELECT pack_no, count(*) FROM chunks GROUP BY pack_no")
        counts = dict(rows)
        found = {pack: counts.pop(number, 0) for number, pack in self._numbers()}
        # Rows of a pack that is not there.
        return found | ({b"": sum(counts.values())} if counts else {})

    def _numbers(self) -> list[tuple[Any, ...]]:
        return self._all("SELECT pack_no, id FROM packs")

    def _location(self, row: tuple[Any, ...]) -> Location:
        chunk, pack, offset, kind, codec, cipher, depth, base, frame_bytes, size = row
        try:
            codes = ChunkKind(kind), Codec(codec), Cipher(cipher)
        except ValueError as error:
            with self._damage_put_aside():
                raise IndexDamaged("the index is damaged", detail=f"{error}.") from None
        return Location(pack, offset, Frame(chunk, *codes, depth, base, frame_bytes, size))

    def totals(self) -> tuple[int, int]:
        """Return how many packs there are, and their bytes."""
        ((packs, pack_bytes),) = self._all(
            "SELECT count(*), coalesce(sum(pack_bytes), 0) FROM packs"
        )
        return packs, pack_bytes

    def _by_chunk(
        self, select: str, chunks: Sequence[ChunkId], also: str = ""
    ) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(chunks), _LOOKUP_BATCH):
            batch = chunks[start : start + _LOOKUP_BATCH]
            marks = ",".join("?" * len(batch))
            yield from self._all(f"{select} WHERE chunks.id IN ({marks}){also}", batch)

    # -- snapshots ----------------------------------------------------------------------------

    def snapshot_ids(self) -> set[SnapshotId]:
        return {row[0] for row in self._all("SELECT id FROM snapshots")}

    def add_snapshot(
        self, snapshot: SnapshotId, database: str, time_us: int, manifest: bytes
    ) -> None:
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?)",
                (snapshot, database.encode("utf-8", "surrogateescape"), time_us, manifest),
            )
            connection.execute("DELETE FROM lost_snapshots WHERE id = ?", (snapshot,))

    def snapshot_row(self, snapshot: SnapshotId) -> tuple[bytes, int, bytes] | None:
        """Return what the index has of a snapshot: database, time in µs, manifest."""
        rows = self._all(
            "SELECT database, time_us, manifest FROM snapshots WHERE id = ?", (snapshot,)
        )
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    def drop_snapshots(self, snapshots: Iterable[SnapshotId], *, lost: bool = False) -> None:
        """Forget snapshots; where they were *lost*, keep their manifests for `snap repair`."""
        words = [(snapshot,) for snapshot in snapshots]
        with self._transaction() as connection:
            if lost:
                connection.executemany(
                    "INSERT OR REPLACE INTO lost_snapshots"
                    " SELECT id, manifest FROM snapshots WHERE id = ?",
                    words,
                )
            connection.executemany("DELETE FROM snapshots WHERE id = ?", words)

    def manifest(self, snapshot: SnapshotId) -> bytes | None:
        rows = list(self._all("SELECT manifest FROM snapshots WHERE id = ?", (snapshot,)))
        return rows[0][0] if rows else None

    def newest(self, database: str | None, limit: int | None = None) -> list[SnapshotId]:
        """Return snapshots, newest first; of all databases where *database* is None."""
        where = "" if database is None else "WHERE database = ?"
        words: tuple[Any, ...] = ()
        if database is not None:
            words = (database.encode("utf-8", "surrogateescape"),)
        rows = self._all(
            f"SELECT id FROM snapshots {where} ORDER BY time_us DESC, id LIMIT ?",
            (*words, -1 if limit is None else limit),
        )
        return [row[0] for row in rows]

    def at_or_before(self, database: str, time_us: int) -> SnapshotId | None:
        rows = list(
            self._all(
                "SELECT id FROM snapshots WHERE database = ? AND time_us <= ?"
                " ORDER BY time_us DESC, id LIMIT 1",
                (database.encode("utf-8", "surrogateescape"), time_us),
            )
        )
        return rows[0][0] if rows else None

    def by_prefix(self, prefix: str, limit: int) -> list[SnapshotId]:
        """Return up to *limit* snapshots whose id in hex begins with *prefix*."""
        rows = self._all(
            "SELECT id FROM snapshots WHERE lower(hex(id)) GLOB ? ORDER BY id LIMIT ?",
            (prefix + "*", limit),
        )
        return [row[0] for row in rows]

    def databases(self) -> list[str]:
        rows = self._all("SELECT DISTINCT database FROM snapshots ORDER BY database")
        return [row[0].decode("utf-8", "surrogateescape") for row in rows]

    # -- the connection -----------------------------------------------------------------------

    def _all(self, sql: str, words: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._lock, self._damage_put_aside(), index_errors():
            return self._connection.execute(sql, words).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._damage_put_aside(), index_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                yield self._connection

    @contextlib.contextmanager
    def _damage_put_aside(self) -> Iterator[None]:
        try:
            yield
        except IndexDamaged as error:
            error.hint = "Run the command again: the index is derived, and is built anew."
            if self._path is not None:
                with alone_in(self._path.parent):
                    self._put_aside()
            raise

    def _put_aside(self) -> None:
        """Rename the file, unless another process did so already."""
        path = self._path
        with contextlib.suppress(OSError):
            if path is not None and path.stat().st_ino == self._file_number:
                for suffix in ("", "-wal", "-shm"):
                    with contextlib.suppress(FileNotFoundError):
                        Path(f"{path}{suffix}").replace(f"{path}.damaged{suffix}")


@contextlib.contextmanager
def index_errors() -> Iterator[None]:
    """Translate SQLite's errors."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise StoreFull("no space left for the index", detail=f"{error}.") from error
        if code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise IndexDamaged("the index is damaged", detail=f"{error}.") from error
        raise StoreError("the index cannot be used", detail=f"{error}.") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        # A damaged schema may even break SQLite's own error message.
        raise IndexDamaged("the index is damaged", detail=f"{error}.") from error
