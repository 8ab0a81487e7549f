"""Parquet files from the rows of a table."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.parquet import ParquetWriter

from pgsnap import interrupts
from pgsnap.errors import ValueUnfit
from pgsnap.tabular.arrow.values import BlockReader
from pgsnap.tabular.base import LONG_BYTES, Files, Losses, Shape, Wishes

GROUP_BYTES = 12 * 1024 * 1024
"""How much text, or what it takes as columns, becomes one row group. It is held while the next one
is read."""
# Offsets into the values of a column have 32 bits.
_ROW_BYTES_MAX = (1 << 31) - 1
# A block that is long and has fewer rows has long ones.
_LONG_ROWS = 8
# Longer values are left out of a file's statistics by Arrow.
_LONG_VALUE_BYTES = 4096
_SAMPLE_ROWS = 10_000
# Columns with fewer different values than one in so many are stored by a dictionary.
_REPEATED = 4


class ParquetTable:
    """Writes the rows of a table to Parquet files. One thread encodes a row group while the next
    one is read."""

    def __init__(self, shape: Shape, files: Files, wishes: Wishes, losses: Losses) -> None:
        # Memory that is freed goes back at once: other pools keep a multiple of what is in use.
        pa.set_memory_pool(pa.system_memory_pool())
        self.rows = 0
        self._shape = shape
        self._files = files
        self._reader = BlockReader(shape, wishes, losses)
        self._writer: ParquetWriter | None = None
        self._file: BinaryIO | None = None
        self._sink: pa.NativeFile | BinaryIO | None = None
        self._has_begun = False
        self._held: list[pa.Table] = []
        self._held_bytes = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="snap-parquet")
        self._under_way: Future[None] | None = None

    def write(self, blocks: Iterable[bytes]) -> int:
        written = 0
        for block in blocks:
            size = len(block)
            # A long row is encoded before the next one is read.
            is_long = size > LONG_BYTES and block.count(b"\n") < _LONG_ROWS
            self._check(size)
            if is_long and self._held:
                self._pass_on()
            if is_long:
                self._settle()
            self._held.append(self._reader.read(block))
            # Its values that are something else than its text are encoded without it.
            del block
            written += size
            self.rows += self._held[-1].num_rows
            self._held_bytes += max(size, self._held[-1].nbytes)
            if is_long or self._held_bytes >= GROUP_BYTES:
                self._pass_on()
            if is_long:
                self._settle()
        return written

    def _check(self, size: int) -> None:
        if size > _ROW_BYTES_MAX:
            raise ValueUnfit(
                f"a row of {self._shape.shown} has more than 2 GiB of text, too much for Arrow",
                hint="Export the table with --format csv.",
            )

    def close(self) -> None:
        try:
            if self._held:
                self._pass_on()
            self._wait()
            if not self._has_begun:
                self._begin([])
            if self._file is not None:
                self._end()
        finally:
            self._thread.shutdown()

    def abandon(self) -> None:
        """End what is under way, of rows that are not wanted any more."""
        self._thread.shutdown()

    def _pass_on(self) -> None:
        tables, self._held, self._held_bytes = self._held, [], 0
        self._wait()
        self._under_way = self._thread.submit(self._write_group, tables)

    def _wait(self) -> None:
        if self._under_way is not None:
            interrupts.result(self._under_way)
            self._under_way = None

    def _settle(self) -> None:
        """Wait until nothing is held, and give its memory back."""
        self._wait()
        pa.default_memory_pool().release_unused()

    def _write_group(self, tables: list[pa.Table]) -> None:

        if self._writer is None:
            self._begin(tables)
        assert self._writer is not None
        assert self._file is not None
        group = pa.concat_tables(tables)
        with _plain_errors():
            self._writer.write_table(group, row_group_size=max(group.num_rows, 1))
        limit = self._files.part_bytes
        if limit is not None and self._file.tell() >= limit:
            self._end()

    def _begin(self, tables: list[pa.Table]) -> None:

        self._file = self._files.open()
        self._sink = _sink_of(self._file)
        self._has_begun = True
        repeated = _repeated(tables[0]) if tables else []
        self._writer = ParquetWriter(
            self._sink,
            self._reader.schema,
            compression="zstd",
            use_dictionary=repeated or False,
            write_statistics=_compared(tables[0]) if tables else True,
        )

    def _end(self) -> None:
        assert self._writer is not None
        assert self._file is not None
        with _plain_errors():
            self._writer.close()
            if isinstance(self._sink, pa.NativeFile):
                self._sink.close()
        self._file.close()
        self._writer = self._file = self._sink = None


def _sink_of(file: BinaryIO) -> pa.NativeFile | BinaryIO:
    """Return what Arrow writes to *file* with: where that has a descriptor by itself, since it
    would hold what it passes to Python twice."""
    try:
        return pa.OSFile(f"/proc/self/fd/{file.fileno()}", "wb")
    except OSError:
        return file


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """Let an error of the system be worded as everywhere else: Arrow's has its own words."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno)) from error


def _compared(table: pa.Table) -> list[str] | bool:
    """Return the columns whose least and greatest values are noted for each row group: not those
    with long values, which Arrow would hold and then leave out."""
    found = [
        field.name
        for field in table.schema
        if not pa.types.is_nested(field.type)
        and not isinstance(field.type, pa.BaseExtensionType)
        and not _is_long(table.column(field.name))
    ]
    return found or False


def _repeated(table: pa.Table) -> list[str]:
    """Return the columns that have few different values, as the first ones show."""
    found = []
    for field in table.schema:
        first = table.column(field.name).slice(0, _SAMPLE_ROWS)
        is_plain = pa.types.is_string(field.type) or pa.types.is_integer(field.type)
        if pa.types.is_dictionary(field.type) or (
            is_plain
            and not _is_long(first)
            and pc.count_distinct(first).as_py() * _REPEATED < len(first)
        ):
            found.append(field.name)
    return found


def _is_long(column: pa.ChunkedArray) -> bool:
    """Return whether the first values include a long text or bytes."""
    if not (pa.types.is_string(column.type) or pa.types.is_binary(column.type)):
        return False
    longest = pc.max(pc.binary_length(column.slice(0, _SAMPLE_ROWS))).as_py()
    return (longest or 0) > _LONG_VALUE_BYTES
