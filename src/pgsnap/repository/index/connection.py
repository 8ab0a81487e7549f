"""The connection to the index: opens or creates it, shares it among threads, translates errors."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pgsnap import interrupts
from pgsnap.errors import CorruptionError, StoreError, StoreFull
from pgsnap.files.folder import Folder
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.limits import MIB, RECORD_BYTES_MAX
from pgsnap.repository.index.file import alone_in, check_files, make_private
from pgsnap.repository.index.migrations import COLUMNS, SCHEMA_VERSION, migrate

_BUSY_SECONDS = 60.0
# A manifest is the largest value; a whole row must fit.
_VALUE_BYTES_MAX = RECORD_BYTES_MAX + MIB
_BUSY_POLL_SECONDS = 0.01
# How many virtual machine steps SQLite takes between two checks for a signal: milliseconds.
_STEPS_AT_ONCE = 100_000
# How long closing waits for a thread that was left behind.
_CLOSE_SECONDS = 10.0


# The key's index starts with a column that is not a blob. The rest is read from covering indexes,
# or tables of few columns.
_WRONG_TYPES = (
    *(
        f"{table} WHERE {key} < x''"
        for table, key in (
            *(("packs", "id"), ("chunks", "id"), ("snapshots", "id"), ("snapshots", "database")),
            *(("damaged", "pack"), ("lost_snapshots", "id"), ("forgotten", "snapshot")),
            *(("pack_reads", "pack"), ("notes", "snapshot"), ("copied_ids", "old")),
        )
    ),
    "listed WHERE name >= x'' OR typeof(data) NOT IN ('null', 'blob')",
    "publications WHERE typeof(id) <> 'blob' OR typeof(data) <> 'blob'",
    "last_listing WHERE typeof(time_us) <> 'integer' OR typeof(number) <> 'integer'"
    " OR typeof(id) <> 'blob'",
    "packs WHERE (salt IS NULL) <> (epoch IS NULL) OR salt IS NOT NULL AND"
    " (typeof(salt) <> 'blob' OR length(salt) <> 32 OR typeof(epoch) <> 'integer')",
    "snapshots WHERE typeof(time_us) <> 'integer' OR typeof(server) <> 'text'",
    "snapshots WHERE alias IS NOT NULL AND (typeof(alias) <> 'blob' OR length(alias) <> 32)",
    *(
        f"{table} WHERE typeof(time_us) <> 'integer'"
        for table in ("forgotten", "pack_reads", "notes")
    ),
)

# A single flipped bit turns a blob into text: blob columns always return bytes, whatever they hold.
sqlite3.register_converter("BLOB", bytes)


class IndexDamaged(CorruptionError):
    """The index file is not a valid index; it is rebuilt."""

    kind = "index-damaged"


class IndexConnection:
    """One connection to the index, shared by the threads of a process.

    `query` and `transaction` are for the modules of this package that own a table.
    """

    def __init__(self, path: Path | None, trust: Trust = ONLY_OURS) -> None:
        """Open the index, or create it; None: in memory. Raises IndexDamaged, StoreError."""
        self._lock = threading.Lock()
        self._is_closed = False
        self._path = path
        self._file_number = 0
        self._folder = Folder(path.parent, trust) if path is not None else None
        with contextlib.nullcontext() if path is None else alone_in(path.parent):
            if self._folder is not None and path is not None:
                self._file_number = make_private(self._folder, path.name)
            with index_errors():
                self._connection = sqlite3.connect(
                    path or ":memory:",
                    check_same_thread=False,
                    timeout=_BUSY_SECONDS,
                    detect_types=sqlite3.PARSE_DECLTYPES,
                )
                # Before reading anything that somebody else may have written.
                self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE_BYTES_MAX)
            self._connection.set_progress_handler(interrupts.is_due, _STEPS_AT_ONCE)
            with interrupts.undone_by(self._connection.close):
                try:
                    with index_errors():
                        self._prepare()
                except IndexDamaged:
                    self._connection.close()
                    self._put_aside()
                    raise
                self._check_files()

    def _prepare(self) -> None:
        connection = self._connection
        # The index is derived, so what it loses in a power cut is restored at the next open; a
        # commit need not wait for the disk twice.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -16000")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise IndexDamaged("the index has a newer schema", detail=f"Version {version}.")
        _refuse_strange(connection)
        if version < SCHEMA_VERSION:
            migrate(connection)
        _compare_columns(connection)

    def _check_files(self) -> None:
        """Check once more: SQLite opens its files by path, and they may have been replaced
        meanwhile."""
        if self._folder is not None and self._path is not None:
            found = check_files(self._folder, self._path.name)
            if found is None or found.st_ino != self._file_number:
                raise StoreError(
                    "the index cannot be used", detail="Its file was replaced as it was opened."
                )

    def close(self) -> None:
        """Close it, unless a thread is still using it: the process would crash, and its exit closes
        it anyway."""
        if not self._lock.acquire(timeout=_CLOSE_SECONDS):
            return
        try:
            self._is_closed = True
            self._connection.close()
        finally:
            self._lock.release()

    def query(self, sql: str, words: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        interrupts.check()
        with interrupts.locked(self._lock), self.damage_put_aside(), index_errors():
            return self._opened().execute(sql, words).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        interrupts.check()
        with interrupts.locked(self._lock), self.damage_put_aside(), index_errors():
            connection = self._opened()
            with connection:
                _begin(connection)
                yield connection

    def _opened(self) -> sqlite3.Connection:
        if self._is_closed:
            # An interrupted command may leave a thread behind, which this error ends.
            raise StoreError("the index is closed")
        return self._connection

    @contextlib.contextmanager
    def damage_put_aside(self) -> Iterator[None]:
        try:
            yield
        except IndexDamaged as error:
            error.hint = "Run the command again: the index is derived, and is rebuilt."
            if self._path is not None:
                with alone_in(self._path.parent):
                    self._put_aside()
            raise

    def _put_aside(self) -> None:
        """Rename the damaged file, unless another process already did so."""
        if self._folder is None or self._path is None:
            return
        name = self._path.name
        with contextlib.suppress(OSError):
            if self._folder.status(name).st_ino == self._file_number:
                for suffix in ("", "-wal", "-shm"):
                    with contextlib.suppress(FileNotFoundError):
                        self._folder.rename(name + suffix, f"{name}.damaged{suffix}")


def _refuse_strange(connection: sqlite3.Connection) -> None:
    """Raise IndexDamaged for anything that is neither a table nor an index: somebody else's view or
    trigger could run a query that never ends."""
    strange = connection.execute(
        "SELECT type, name FROM sqlite_schema WHERE type NOT IN ('table', 'index') OR NOT"
        " (sql IS NULL OR sql LIKE 'CREATE TABLE %' OR sql LIKE 'CREATE INDEX %'"
        " OR sql LIKE 'CREATE UNIQUE INDEX %') LIMIT 1"
    ).fetchone()
    if strange is not None:
        raise IndexDamaged(
            "the index holds what snap does not make", detail=f'The {strange[0]} "{strange[1]}".'
        )


def _compare_columns(connection: sqlite3.Connection) -> None:
    """Raise IndexDamaged if a table's columns are not those it was created with, or a key has
    values of another type."""
    found = dict(
        connection.execute(
            "SELECT tables.name, group_concat(columns.name || ' ' || columns.type, ', ')"
            " FROM sqlite_schema tables, pragma_table_xinfo(tables.name) columns"
            " WHERE tables.type = 'table' GROUP BY tables.name"
        ).fetchall()
    )
    wrong = [name for name, columns in COLUMNS.items() if found.get(name) != columns]
    for where in _WRONG_TYPES:
        if connection.execute(f"SELECT 1 FROM {where} LIMIT 1").fetchone():
            wrong.append(where.partition(" ")[0])
    if wrong:
        raise IndexDamaged(
            "the index is damaged", detail=f'Its table "{wrong[0]}" has other columns, or values.'
        )


def _begin(connection: sqlite3.Connection) -> None:
    """Begin a write transaction once no other process has one. SQLite's own wait cannot be ended by
    a signal."""
    deadline = time.monotonic() + _BUSY_SECONDS
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                is_busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                if not is_busy or time.monotonic() > deadline:
                    raise
            interrupts.sleep(_BUSY_POLL_SECONDS)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(_BUSY_SECONDS * 1000)}")


@contextlib.contextmanager
def index_errors() -> Iterator[None]:
    """Translate SQLite's errors."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_INTERRUPT:
            interrupts.check()
        if code == sqlite3.SQLITE_FULL:
            raise StoreFull(
                "no space left for the index",
                detail=f"{error}.",
                hint="Free space where the repository is, then run the command again.",
            ) from error
        if code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise IndexDamaged("the index is damaged", detail=f"{error}.") from error
        raise StoreError("the index cannot be used", detail=f"{error}.") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        # A damaged schema can even make SQLite's error message undecodable.
        raise IndexDamaged("the index is damaged", detail=f"{error}.") from error
