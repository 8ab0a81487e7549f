from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from pgsnap.dump.definitions.table_columns import ColumnType
from pgsnap.errors import CorruptionError, ValueUnfit
from pgsnap.tabular.arrow.values import BlockReader
from pgsnap.tabular.base import Column, Losses, Shape, Wishes
from pgsnap.tabular.sqlite_file import SqliteFile


def shape_of(base: str, encoding: str = "UTF8") -> Shape:
    return Shape(("s", "t"), (Column("a", ColumnType(base, base)),), encoding)


def read(base: str, text: bytes, encoding: str = "UTF8", *, lossy: bool = False) -> list[object]:
    reader = BlockReader(shape_of(base, encoding), Wishes(lossy=lossy), Losses())
    values: list[object] = reader.read(text).column(0).to_pylist()
    return values


@pytest.mark.parametrize(
    ("base", "value"),
    [
        ("integer", b"x"),
        ("boolean", b"true"),
        ("uuid", b"1-2"),
        ("bytea", rb"\\xzz"),
        ("real", b"-"),
    ],
)
def test_what_is_no_value_of_its_type_is_refused(base: str, value: bytes) -> None:
    with pytest.raises(ValueUnfit, match=r"s\.t\.a"):
        read(base, b"\\N\n" + value + b"\n")


def test_other_spellings_of_dumps_are_read() -> None:
    assert read("bytea", rb"\\000\\\\x" + b"\n\\N\n") == [b"\x00\\x", None]
    assert read("text", b"\\101\\x42\n") == ["AB"]
    assert read("text", b"\xe9\n", "LATIN1") == ["é"]


def test_text_that_is_not_of_its_encoding_is_refused() -> None:
    for encoding in ("UTF8", "SQL_ASCII"):
        with pytest.raises(ValueUnfit, match="xe9"):
            read("text", b"x\n\xe9\n", encoding)
    assert read("text", b"\xe9\n", "SQL_ASCII", lossy=True) == ["?"]
    with pytest.raises(CorruptionError):
        read("text", b"x\ty\n")


def test_sqlite_keeps_what_is_no_value_of_its_type_as_text(tmp_path: Path) -> None:
    file = SqliteFile(str(tmp_path / "x.db"))
    for base, text in (("boolean", "true"), ("real", "x"), ("bytea", "zz"), ("integer", "x")):
        columns = (Column("a", ColumnType(base, base)),)
        table = file.table(Shape(("public", base), columns, "UTF8"), Wishes())
        table.write(text.encode() + b"\n")
        table.close()
        with sqlite3.connect(tmp_path / "x.db") as database:
            [(found,)] = database.execute(f"SELECT a FROM {base}").fetchall()
        assert found in (text, text.encode())
    file.close()
