from __future__ import annotations

import csv
import io
import random
from typing import BinaryIO

import pytest

from pgsnap.dump.definitions.copy_text import escaped
from pgsnap.dump.definitions.table_columns import ColumnType
from pgsnap.tabular import csv_text
from pgsnap.tabular.base import Column, Shape, Wishes
from pgsnap.tabular.csv_text import CsvTable, csv_of

VALUES = (
    *(None, b"", b"a", b'"', b",", b"\n", b"\\", b"\\N", b"\\.", b"\r\n", b"\t\x0b"),
    *(b"x" * 90, b'\\"\\'),
)
LONG = b'z"\n\\' * 99


class Kept(io.BytesIO):
    def close(self) -> None:
        self.seek(0)


class Files:
    """One file, which stays readable."""

    part_bytes = None

    def __init__(self) -> None:
        self.file = Kept()

    def open(self) -> BinaryIO:
        return self.file


def written(pieces: list[bytes], columns: int, encoding: str = "UTF8") -> bytes:
    files = Files()
    named = tuple(Column(f"c{at}", ColumnType("text", "text")) for at in range(columns))
    table = CsvTable(Shape(("s", "t"), named, encoding), files, Wishes())
    for piece in pieces:
        table.write([piece])
    table.close()
    return files.file.getvalue().partition(b"\n")[2]


def test_a_row_is_the_same_in_pieces_but_for_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_text, "BLOCK_BYTES", 100)
    monkeypatch.setattr(csv_text, "_BEGINNING_BYTES", 5)
    chance = random.Random(1)
    for _ in range(300):
        columns = chance.randrange(1, 5)
        rows = [
            [chance.choice(VALUES) if chance.random() < 0.9 else LONG for _ in range(columns)]
            for _ in range(6)
        ]
        text = b"".join(b"\t".join(map(escaped, row)) + b"\n" for row in rows)
        places = sorted(chance.randrange(len(text)) for _ in range(20))
        pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
        found = csv.reader(io.StringIO(written(pieces, columns).decode(), newline=""), strict=True)
        # A NULL alone is an empty line.
        assert list(found) == [
            [] if row == [None] else [(value or b"").decode() for value in row] for row in rows
        ]
        whole = csv_of(text, has_one_column=columns == 1)
        monkeypatch.setattr(csv_text, "has_numbers", lambda data, starts: True)
        assert csv_of(text, has_one_column=columns == 1) == whole
        monkeypatch.undo()
        monkeypatch.setattr(csv_text, "BLOCK_BYTES", 100)
        monkeypatch.setattr(csv_text, "_BEGINNING_BYTES", 5)


def test_text_is_utf_8_whatever_the_encoding_is() -> None:
    assert written(["é\t\\N\n".encode("latin-1")], 2, "LATIN1") == "é,\n".encode()
    # Nobody knows how SQL_ASCII is to be read.
    assert written([b"\xe9\t\\101\n"], 2, "SQL_ASCII") == b"\xe9,A\n"
