"""The index: where every chunk lies, in SQLite. Derived; it can be deleted at any time.

Hot paths use the connection itself, because sqlite-utils takes 30 µs a row and 0.3 s to import.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pgsnap.errors import CorruptionError, StoreError, StoreFull
from pgsnap.model import ChunkId, ChunkKind, Cipher, Codec, Frame, Location, PackId, SnapshotId
from pgsnap.repository.migrations import SCHEMA_VERSION, migrate

_BUSY_SECONDS = 60.0
_LOOKUP_BATCH = 500
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
        with contextlib.nullcontext() if path is None else _alone_in(path.parent):
            if path is not None:
                _make_private(path)
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

    def known(self, chunks: Sequence[ChunkId]) -> set[ChunkId]:
        """Return those of *chunks* that have a frame."""
        return {row[0] for row in self._by_chunk("SELECT DISTINCT id FROM chunks", chunks)}

    def locations(self, chunks: Sequence[ChunkId]) -> dict[ChunkId, list[Location]]:
        """Return the frames of *chunks*, those nearest to plain first."""
        found: dict[ChunkId, list[Location]] = {}
        rows = self._by_chunk(
            'SELECT chunks.id, packs.id, "offset", kind, codec, cipher, depth, base, frame_bytes,'
            " chunk_bytes FROM chunks JOIN packs USING (pack_no)",
            chunks,
        )
        for chunk, pack, offset, kind, codec, cipher, depth, base, frame_bytes, size in rows:
            try:
                codes = ChunkKind(kind), Codec(codec), Cipher(cipher)
            except ValueError as error:
                with self._damage_put_aside():
                    raise IndexDamaged("the index is damaged", detail=f"{error}.") from None
            frame = Frame(chunk, *codes, depth, base, frame_bytes, size)
            found.setdefault(chunk, []).append(Location(pack, offset, frame))
        for several in found.values():
            several.sort(key=lambda location: location.frame.depth)
        return found

    def totals(self) -> tuple[int, int]:
        """Return how many packs there are, and their bytes."""
        ((packs, pack_bytes),) = self._all(
            "SELECT count(*), coalesce(sum(pack_bytes), 0) FROM packs"
        )
        return packs, pack_bytes

    def _by_chunk(self, select: str, chunks: Sequence[ChunkId]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(chunks), _LOOKUP_BATCH):
            batch = chunks[start : start + _LOOKUP_BATCH]
            marks = ",".join("?" * len(batch))
            yield from self._all(f"{select} WHERE chunks.id IN ({marks})", batch)

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

    def drop_snapshots(self, snapshots: Iterable[SnapshotId]) -> None:
        with self._transaction() as connection:
            connection.executemany(
                "DELETE FROM snapshots WHERE id = ?", [(snapshot,) for snapshot in snapshots]
            )

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
                with _alone_in(self._path.parent):
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
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from making or renaming an index in *folder* meanwhile."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Where there is no flock, the worst is an index that is built twice.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _make_private(path: Path) -> None:
    """Make the file with mode 0600 before SQLite does: its -wal and -shm take the same mode."""
    try:
        # Never opened where it exists: closing it would take the locks of this process's other
        # connections with it.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        if stat.S_IMODE(path.stat().st_mode) != 0o600:
            path.chmod(0o600)
    except OSError as error:
        raise StoreError("the index cannot be used", detail=f"{error}.") from error


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
