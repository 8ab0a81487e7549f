"""Which foreign keys are checked as a whole after rows were put back, which for these rows only.

A key that held before still holds if each row that was put in has what it refers to, and nothing
refers to a row that was taken out. That it held is not known from the catalogs: whoever turned
triggers off may have left rows behind that refer to nothing. So all keys are looked at as a whole,
but while tables are locked and the safety snapshot is taken, which mostly waits.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType

from pgsnap import interrupts
from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.errors import SnapError
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.targets.tables.foreign_keys import (
    ForeignKey,
    check_gone_rows,
    check_key,
    check_new_rows,
    orphans,
    read_foreign_keys,
    side_by_side,
)
from pgsnap.values import dataclass

# A row is looked up in the time in which some twenty are checked along an index.
_FEW, _FEW_SHARE = 100, 0.05
# Somebody who waits to rewrite a table waits for us, and we would wait behind them.
_SETTINGS = (
    "SET lock_timeout = '1s'; SET statement_timeout = 0; SET row_security = off;"
    " SET max_parallel_workers_per_gather = 0"
)


class KeysBefore:
    """Looks, over a connection and on a thread of its own, at the foreign keys of *tables* of which
    all rows are in *settled* ones, until it is closed: nobody can write to these, and they are not
    about to be rewritten. Use it as a context manager."""

    def __init__(
        self,
        server: Server,
        database: str,
        tables: Sequence[TableName],
        settled: Collection[TableName],
    ) -> None:
        self._held: set[ForeignKey] = set()
        self._is_stopped = False
        self._session: Session | None = None
        self._thread: threading.Thread | None = None
        if not tables:
            return
        # What fails here is checked in the transaction.
        with suppress(SnapError):
            session = self._session = server.connect(database)
            session.execute(_SETTINGS)
            keys = [
                key
                for key in read_foreign_keys(session, tables)
                if key.is_valid and key.referring | key.referred <= frozenset(settled)
            ]
            self._thread = threading.Thread(
                target=self._look, args=(session, keys), name="snap-keys", daemon=True
            )
            self._thread.start()

    def held(self) -> frozenset[ForeignKey]:
        """Wait for the end, and return those keys that held. Raises Stopped."""
        if self._thread is not None:
            interrupts.ended(self._thread)
        return frozenset(self._held)

    def close(self) -> None:
        """Stop looking; no table is locked by it any more."""
        self._is_stopped = True
        if self._thread is not None and self._thread.is_alive() and self._session is not None:
            self._session.cancel()
            self._thread.join()
        if self._session is not None:
            self._session.close()

    def __enter__(self) -> KeysBefore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _look(self, session: Session, keys: Iterable[ForeignKey]) -> None:
        with suppress(SnapError):
            for key in keys:
                if self._is_stopped:
                    return
                if not session.query(f"{side_by_side(key)}{orphans(key)}"):
                    self._held.add(key)


@dataclass(frozen=True, slots=True)
class TableRows:
    """What happened to the *rows* of a table: it was rewritten, or so many are *gone*, or *new*.
    *place* is that of its temporary tables, *columns* are theirs."""

    place: int
    columns: tuple[str, ...]
    rows: int
    gone: int
    new: int
    is_rewritten: bool

    @property
    def are_few(self) -> bool:
        """Whether to look up each of them takes less time than to check a key as a whole."""
        return not self.is_rewritten and self.gone + self.new <= max(_FEW, _FEW_SHARE * self.rows)


class KeyChecks:
    """How each of *keys* is checked, of which *held* held before *rows* were changed."""

    def __init__(
        self,
        keys: Iterable[ForeignKey],
        held: Collection[ForeignKey],
        rows: Mapping[TableName, TableRows],
    ) -> None:
        # What is not valid does not have to hold.
        self._keys = [key for key in keys if key.is_valid]
        self._rows = rows
        self._of_rows = {key for key in self._keys if key in held and self._is_told(key)}

    def needs_new_rows(self, table: TableName) -> bool:
        """Return whether the new rows of *table* are looked at, in their temporary table."""
        return any(table in key.referring for key in self._of_rows)

    def statements(self) -> Iterator[str]:
        """Yield SQL that fails if a key does not hold."""
        for key in self._keys:
            if key not in self._of_rows:
                yield check_key(key)
                continue
            for table, rows in self._rows.items():
                if table in key.referring and rows.new:
                    yield check_new_rows(key, rows.place)
                if table in key.referred and rows.gone:
                    yield check_gone_rows(key, rows.place)

    def _is_told(self, key: ForeignKey) -> bool:
        """Return whether the temporary tables have all that matters to *key*, not only what
        generated columns are made of, and are small."""
        for table, rows in self._rows.items():
            needed = {
                *(key.own_columns if table in key.referring else ()),
                *(key.columns if table in key.referred else ()),
            }
            if needed and not (rows.are_few and needed <= {*rows.columns}):
                return False
        return True
