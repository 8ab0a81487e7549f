"""A row that is longer than a block: the same values, and few copies of them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pgsnap.dump.definitions.copy_text import without_escapes
from pgsnap.dump.definitions.table_columns import ColumnType
from pgsnap.errors import ValueUnfit
from pgsnap.tabular import escapes
from pgsnap.tabular.base import LONG_BYTES, Column, Shape, Wishes
from pgsnap.tabular.sqlite_file import SqliteFile

BASES = ("integer", "text", "boolean", "bytea", "double precision", "jsonb", "bytea")
SHAPE = Shape(
    ("public", "t"), tuple(Column(f"c{i}", ColumnType(b, b)) for i, b in enumerate(BASES)), "UTF8"
)
LONG = ("é" * 100 + r"\n\\\t").encode() * (LONG_BYTES // 200)


def in_sqlite(path: Path, *blocks: bytes, lossy: bool = False) -> list[tuple[object, ...]]:
    path.unlink(missing_ok=True)
    file = SqliteFile(str(path))
    table = file.table(SHAPE, Wishes(lossy=lossy))
    assert table.write(iter(blocks)) == sum(map(len, blocks))
    table.close()
    file.close()
    assert table.rows == sum(block.count(b"\n") for block in blocks)
    with sqlite3.connect(path) as database:
        kinds = ", ".join(f"c{at}, typeof(c{at})" for at in range(len(BASES)))
        return database.execute(f"SELECT {kinds} FROM t").fetchall()


def row_of(*fields: bytes) -> bytes:
    return b"\t".join(fields) + b"\n"


def test_a_long_row_is_in_sqlite_as_a_short_one_would_be(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    hexadecimal = rb"\\x" + b"00ff" * (LONG_BYTES // 4)
    fields = (b"7", LONG, b"t", hexadecimal, rb"NaN", b'{"a": "%s"}' % (b"x" * LONG_BYTES), rb"\N")
    row = row_of(*fields)
    short = row_of(*[rb"\N"] * len(BASES))
    [alone] = in_sqlite(path, row)
    [beside, _] = in_sqlite(path, row + short)
    assert alone == beside
    assert alone[2:4] == (without_escapes(LONG).decode(), "text")
    assert alone[6:8] == (bytes.fromhex("00ff" * (LONG_BYTES // 4)), "blob")
    # What is written otherwise than PostgreSQL does goes the other way, and so do other encodings.
    for at, field in ((1, rb"\101" + LONG), (3, b"x" * LONG_BYTES), (4, b"1" * LONG_BYTES)):
        odd = row_of(*fields[:at], field, *fields[at + 1 :])
        assert in_sqlite(path, odd)[0] == in_sqlite(path, odd + short)[0]
    for damaged in (LONG + b"\xc3", b"\xff" + LONG):
        with pytest.raises(ValueUnfit, match=r"public\.t\.c1"):
            in_sqlite(path, row_of(b"7", damaged, *fields[2:]))
        [found] = in_sqlite(path, row_of(b"7", damaged, *fields[2:]), lossy=True)
        assert found[2] == without_escapes(damaged).decode(errors="replace").replace("\ufffd", "?")


def test_escapes_are_undone_wherever_a_value_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(1)
    for size in range(1, 40):
        monkeypatch.setattr(escapes, "_PIECE_BYTES", size)
        for _ in range(20):
            parts = chance.choice(np.array([b"\\\\", b"\\n", b"ab", b"\\t", b"c"]), 30)
            text = b"".join(parts.tolist())
            assert escapes.long_value(np.frombuffer(text, np.uint8)).tobytes() == without_escapes(
                text
            )
        for text in (b"plain" * 9, b"abc\\\\\\101" * 9, b"\\x41bc" * 5):
            found = escapes.long_value(np.frombuffer(text, np.uint8))
            assert found.tobytes() == without_escapes(text)


MEASURED = r"""
import os, sys
from pathlib import Path
from pgsnap.dump.definitions.table_columns import ColumnType
from pgsnap.tabular.base import Column, Losses, Shape, Wishes
from pgsnap.tabular.row_blocks import row_blocks

format, base, path = sys.argv[1:]
shape = Shape(("public", "t"), (Column("a", ColumnType(base, base)),), "UTF8")
piece = os.urandom(500_000).hex().encode()
size = 48 * 1_000_000

class Files:
    part_bytes = None
    def __init__(self, path):
        self.path = path
    def open(self):
        return open(self.path, "wb")

def short():
    # Of columns with such values neither the greatest is noted nor a dictionary made.
    yield (rb"\\x" if base == "bytea" else rb"\n") + os.urandom(5000).hex().encode() + b"\n"

def long():
    yield from (row for _ in range(9) for row in short())
    yield rb"\\x" if base == "bytea" else rb"\n"
    for _ in range(size // len(piece)):
        yield piece if base == "bytea" else piece[:-2] + rb"\n"
    yield b"\n" + b"".join(short())

def peak():
    [line] = [one for one in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in one]
    return int(line.split()[1]) * 1024

def write(text, path):
    if format == "parquet":
        from pgsnap.tabular.arrow.parquet import ParquetTable
        table = ParquetTable(shape, Files(path), Wishes(), Losses())
    else:
        from pgsnap.tabular.sqlite_file import SqliteFile
        table = SqliteFile(path).table(shape, Wishes())
    table.write(row_blocks(text))
    table.close()

# What is imported and kept for good is not counted.
write(short(), path)
before = peak()
write(long(), path + "2")
print((peak() - before) / size)
"""


@pytest.mark.parametrize(
    ("format", "base", "most"),
    [
        ("parquet", "text", 4.5),
        ("parquet", "bytea", 2.8),
        ("sqlite", "text", 4.2),
        ("sqlite", "bytea", 3.0),
    ],
)
def test_a_long_value_takes_a_few_times_its_text(
    format: str, base: str, most: float, tmp_path: Path
) -> None:
    words = [sys.executable, "-c", MEASURED, format, base, str(tmp_path / "file")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert 0 < float(done.stdout) < most
