from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from pgsnap.dump.definitions.table_columns import RANGE, RECORD, ColumnType
from pgsnap.errors import CorruptionError, ValueUnfit
from pgsnap.tabular.arrow.values import BlockReader
from pgsnap.tabular.base import LONG_BYTES, Column, Losses, Shape, Wishes
from pgsnap.tabular.sqlite_file import SqliteFile

NUMERIC = ColumnType("numeric(4,2)", "numeric", ("4", "2"))


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


TEXT = ColumnType("text", "text")
PAIR = ColumnType("s.pair", RECORD, members=(("a", ColumnType("integer", "integer")), ("b", TEXT)))
DAYS = ColumnType("daterange", RANGE, members=(("", ColumnType("date", "date")),))


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (PAIR, b"(1"),
        (PAIR, b"(1,a,b)"),
        (PAIR, b"(x,a)"),
        (PAIR, b'(1,"a)'),
        (DAYS, b"2024-01-01"),
        (DAYS, b"[2024-01-01,infinity)"),
        (DAYS, b"[1,2)"),
        (ColumnType("hstore", "hstore"), b"a=>b"),
        (ColumnType("hstore", "hstore"), b'"a"=>"b" x'),
    ],
)
def test_what_cannot_be_taken_apart_is_refused(type_: ColumnType, value: bytes) -> None:
    shape = Shape(("s", "t"), (Column("a", type_),), "UTF8")
    with pytest.raises(ValueUnfit, match=r"s\.t\.a"):
        BlockReader(shape, Wishes(), Losses()).read(b"\\N\n" + value + b"\n")
    columns = frozenset({"s.t.a"})
    text = BlockReader(shape, Wishes(as_text=columns), Losses()).read(value + b"\n")
    assert text.column(0).to_pylist() == [value.decode()]


def test_other_spellings_of_dumps_are_read() -> None:
    assert read("bytea", rb"\\000\\\\x" + b"\n\\N\n") == [b"\x00\\x", None]
    assert read("text", b"\\101\\x42\n") == ["AB"]
    assert read("text", b"\xe9\n", "LATIN1") == ["é"]


def test_a_long_row_is_read_as_others_are() -> None:
    bases = ("integer", "text", "boolean", "text", "bytea", "json", "timestamp without time zone")
    columns = (*(Column(base, ColumnType(base, base)) for base in bases), Column("n", NUMERIC))
    shape = Shape(("s", "t"), columns, "UTF8")
    long = "é\\n".encode() * (LONG_BYTES // 4 + 1)
    fields = (b"7", long, b"t", rb"\N", rb"\\x00ff", b"", b"0044-03-15 12:00:00 BC", b"-1.50")
    row = b"\t".join(fields) + b"\n"
    alone = BlockReader(shape, Wishes(), Losses()).read(row)
    beside = BlockReader(shape, Wishes(), Losses()).read(row + b"\t".join([rb"\N"] * 8) + b"\n")
    assert alone.equals(beside.slice(0, 1))
    assert beside.column(1)[0].as_py() == "é\n" * (LONG_BYTES // 4 + 1)
    assert [column[0].as_py() for column in alone.columns[2:6]] == [True, None, b"\x00\xff", ""]
    for text, raised in (
        (row.replace(b"\xc3", b"\xe9"), ValueUnfit),
        (b"1\t" + row, CorruptionError),
    ):
        with pytest.raises(raised):
            BlockReader(shape, Wishes(), Losses()).read(text)


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
        table.write([text.encode() + b"\n"])
        table.close()
        with sqlite3.connect(tmp_path / "x.db") as database:
            [(found,)] = database.execute(f"SELECT a FROM {base}").fetchall()
        assert found in (text, text.encode())
    file.close()
