"""Compares the rows of one table on both sides."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import zip_longest
from typing import TYPE_CHECKING, Self, TypeAlias

from pgsnap.dump.definitions.copy_text import copied_columns
from pgsnap.model import Section, same_text
from pgsnap.progress import Progress
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.chunks.store import ChunkStore
from pgsnap.repository.chunks.stream import read_head
from pgsnap.workflows.diff.report import TableName, Version
from pgsnap.workflows.diff.sections import SectionPair

if TYPE_CHECKING:
    from pgsnap.rows.difference import Counts, RowChange, RowDifference

Columns: TypeAlias = "tuple[str, ...] | None"
"""The columns of one side, None if unknown."""


class RowRules:
    """What identifies the rows of each table: its key, and the columns whose values some versions
    of PostgreSQL print differently from others."""

    def __init__(
        self,
        keys: Callable[[], Mapping[TableName, tuple[str, ...]]],
        respelled: Callable[[], Mapping[TableName, frozenset[str]]],
    ) -> None:
        """*keys* and *respelled* return those of all tables. They are called once, for the first
        table that differs: of 200,000 tables they are large, and most often none is needed."""
        self._keys = cache(keys)
        self._respelled = cache(respelled)

    def key(self, table: TableName) -> tuple[str, ...]:
        """Return the columns of the primary key of *table*, none where there is no known one."""
        return self._keys().get(table, ())

    def respelled(self, table: TableName) -> frozenset[str]:
        """Return the columns of *table* whose values may be written otherwise."""
        return self._respelled().get(table, frozenset())


class TableRows:
    """The rows of one table that differ, valid while its context is open.

    First they are passed to *rows*, directly or by `compare`; then call `finish`. *encodings* are
    the client encodings of the rows of either side.
    """

    def __init__(
        self,
        table: TableName,
        sections: tuple[Sequence[Section], Sequence[Section]],
        columns: tuple[Columns, Columns],
        rules: RowRules,
        *,
        keep_texts: bool = False,
    ) -> None:
        """*sections* are those of either side, as far as known. Changes can be shown only with
        *keep_texts*. Where both sides have the same *columns*, the rows of the second one are
        compared and shown with theirs in the order of the first."""
        self.table = table
        order = _order(*columns)
        self.columns = (columns[0], columns[0]) if order else columns
        self.key = rules.key(table)
        self.encodings = ("", "")
        self._counts: Counts | None = None
        self._sections = sections
        respelled = rules.respelled(table)
        places = _places(columns[0], respelled), _places(columns[1], respelled)
        self.rows = self._row_difference(places, order, keep_texts=keep_texts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.rows.close()

    def compare(self, chunks: ChunkStore, progress: Progress) -> int:
        """Pass to *rows* what differs in the sections of both sides. Returns the number of bytes
        read. Raises CorruptionError."""
        old, new = map(list, self._sections)
        for section in self._sections[0]:
            same = next((s for s in new if same_text(s, section)), None)
            if same is not None:
                old.remove(section)
                new.remove(same)
        read_bytes = 0
        for before, after in zip_longest(old, new):
            pair = SectionPair(chunks, before, after, self.rows, progress)
            pair.compare()
            read_bytes += pair.read_bytes
        return read_bytes

    def finish(self) -> Counts:
        """Return how many rows differ, after all were passed."""
        self._counts = self.rows.finish()
        return self._counts

    @property
    def counts(self) -> Counts:
        """How many rows differ, after `finish`."""
        assert self._counts is not None
        return self._counts

    def changes(self, limit: int | None) -> Iterator[RowChange]:
        """Yield changed rows."""
        return self.rows.changes(limit)

    def _row_difference(
        self,
        places: tuple[Sequence[int], Sequence[int]],
        order: Sequence[int],
        *,
        keep_texts: bool,
    ) -> RowDifference:
        from pgsnap.rows.difference import RowDifference
        from pgsnap.rows.sets import Key

        expected = 2 * max(sum(s.rows or 0 for s in part) for part in self._sections)
        keys = None
        first, second = self.columns
        if first is None or second is None:
            return RowDifference(None, keep_texts=keep_texts, rows_expected=expected)
        if self.key and set(self.key) <= {*first} & {*second}:
            keys = (
                Key([first.index(name) for name in self.key], len(first)),
                Key([second.index(name) for name in self.key], len(second)),
            )
        if any(places) or order:
            from pgsnap.rows.respelled import RespelledRows

            return RespelledRows(
                keys, places, order=order, keep_texts=keep_texts, rows_expected=expected
            )
        return RowDifference(keys, keep_texts=keep_texts, rows_expected=expected)


def _order(first: Columns, second: Columns) -> list[int]:
    """Return where the second side has each column of the first; none if that is no other place, or
    they do not have the same columns."""
    if first is None or second is None or first == second or sorted(first) != sorted(second):
        return []
    return [second.index(name) for name in first]


def _places(columns: Columns, respelled: frozenset[str]) -> list[int]:
    """Return where the columns *respelled* are."""
    return [place for place, name in enumerate(columns or ()) if name in respelled]


class PassingTables:
    """The tables of a snapshot whose rows are compared while a dump is read, valid while its
    context is open."""

    def __init__(
        self,
        reader: ChunkReader,
        before: Version,
        rules: RowRules,
        together: Mapping[TableName, TableName],
    ) -> None:
        """*together* are tables whose rows may move among all tables with the same second name:
        they are compared as one."""
        self._reader = reader
        self._before = before
        self._rules = rules
        self._together = together
        self._open: dict[TableName, TableRows] = {}
        self._trees: dict[TableName, TableRows] = {}
        self._counted: dict[TableName, Counts] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for table in (*self._open.values(), *self._trees.values()):
            table.rows.close()

    @cached_property
    def _old(self) -> dict[TableName, list[Section]]:
        """The tables of the snapshot: not needed where no rows differ."""
        return self._before.tables

    def open(self, table: TableName, columns: Columns) -> RowDifference | None:
        """Return the consumer of the rows of a table of the dump, None if the snapshot lacks it."""
        old = self._old.get(table)
        if old is None:
            return None
        if table in self._together:
            return self._tree(self._together[table]).rows
        if table not in self._open:
            # The previous tables are done, unless another part of one may follow.
            self._count([one for one in self._open if len(self._old[one]) == 1])
            both = columns_of(self._reader, self._before, old), columns
            self._open[table] = TableRows(table, (old, []), both, self._rules)
        return self._open[table].rows

    def finish(self) -> dict[TableName, Counts]:
        """Return how many rows differ in each table that may have differences."""
        self._count(list(self._open))
        trees = {root: rows.finish() for root, rows in self._trees.items()}
        through = self._together.items()
        return self._counted | {table: trees[root] for table, root in through if root in trees}

    def _tree(self, root: TableName) -> TableRows:
        if root not in self._trees:
            tables = [table for table in self._old if self._together.get(table) == root]
            parts = [section for table in tables for section in self._old[table]]
            self._trees[root] = TableRows(root, (parts, []), (None, None), self._rules)
        return self._trees[root]

    def _count(self, tables: Sequence[TableName]) -> None:
        for table in tables:
            with self._open.pop(table) as rows:
                self._counted[table] = rows.finish()


def columns_of(reader: ChunkReader, version: Version, sections: Sequence[Section]) -> Columns:
    """Return the columns of a stored table, from the COPY statement of its *sections*."""
    if not sections or not sections[0].head_bytes:
        return None
    return copied_columns(read_head(reader, sections[0]), version.origin.client_encoding)
