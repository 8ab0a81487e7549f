"""Exported tables hold what PostgreSQL says is in them."""

from __future__ import annotations

import json
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgsnap.dump.definitions.copy_text import values
from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.errors import ValueUnfit
from pgsnap.model import SnapshotId, quote_ident
from pgsnap.repository.repository import Repository
from pgsnap.targets.table_files import stem_of
from pgsnap.workflows.history.export_tables import (
    TableExport,
    TableFormat,
)
from support.documents.tables_exported import EXACT, LOSSY, exported, is_same
from support.restoring.clients import commit_database, server_of
from support.servers.databases import PINNED_OPTIONS, Database


@pytest.fixture
def snapshot(repo: Repository, sample_database: Database) -> SnapshotId:
    return commit_database(repo, server_of(sample_database))


def copied(database: Database, what: str, options: str = "") -> bytes:
    """Return what COPY writes, with the settings that snapshots are taken with."""
    with (
        psycopg.connect(database.dsn, options=PINNED_OPTIONS) as session,
        session.cursor().copy(f"COPY {what} TO STDOUT {options}".encode()) as copy,
    ):
        return b"".join(copy)


def tables(database: Database) -> list[TableName]:
    """Return the tables with rows of their own that pg_dump writes."""
    found = json.loads(
        database.psql(
            "SELECT json_agg(ARRAY[n.nspname, c.relname]) FROM pg_class c JOIN pg_namespace n"
            " ON n.oid = c.relnamespace WHERE relkind = 'r' AND relpersistence <> 't'"
            " AND n.nspname !~ '^pg_|information_schema'"
            " AND EXISTS (SELECT FROM pg_attribute a WHERE attrelid = c.oid AND attnum > 0"
            " AND NOT attisdropped)"
            " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND deptype = 'e')"
        )
    )
    return [(schema, table) for schema, table in found]


def as_sql(table: TableName) -> str:
    return ".".join(map(quote_ident, table))


def test_csv_is_what_copy_writes_byte_for_byte(
    repo: Repository, snapshot: SnapshotId, sample_database: Database, tmp_path: Path
) -> None:
    report = exported(repo, snapshot, tmp_path / "out", TableExport(TableFormat.CSV))
    found = tables(sample_database)
    assert len(found) > 40
    for table in found:
        path = tmp_path / "out" / f"{stem_of(*table)}.csv"
        expected = copied(sample_database, as_sql(table), "(FORMAT csv, HEADER)")
        assert path.read_bytes() == expected, table
        assert path.stat().st_mode & 0o777 == 0o600
    # Tables of extensions that hold the user's rows come on top.
    assert {one.table for one in report.tables} >= {as_sql(table) for table in found}
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".csv"}
    assert any("no columns" in line for line in report.news)
    assert any("view" in line and "sequence" in line for line in report.news)


def rows_of(database: Database, table: TableName) -> list[list[str | None]]:
    """Return the rows of a table as PostgreSQL's text."""
    text = copied(database, as_sql(table))
    return [
        [None if one is None else one.decode("utf-8") for one in values(row)]
        for row in text.split(b"\n")[:-1]
    ]


def test_parquet_holds_the_values_of_every_table(
    repo: Repository, snapshot: SnapshotId, sample_database: Database, tmp_path: Path
) -> None:
    asked = TableExport(TableFormat.PARQUET, wishes=EXACT)
    exported(repo, snapshot, tmp_path / "out", asked)
    kinds = set()
    for table in tables(sample_database):
        found = pq.read_table(tmp_path / "out" / f"{stem_of(*table)}.parquet")
        expected = rows_of(sample_database, table)
        assert found.num_rows == len(expected)
        for at, field in enumerate(found.schema):
            kinds.add(str(field.type))
            if pa.types.is_nested(field.type):
                continue
            for number, value in enumerate(found.column(at).to_pylist()):
                text = expected[number][at]
                assert is_same(value, text, field.type), (table, field.name, value, text)
    assert kinds >= {
        *("int16", "int32", "int64", "float", "double", "bool", "decimal128(10, 2)"),
        *("timestamp[us, tz=UTC]", "extension<arrow.uuid>", "extension<arrow.json>", "binary"),
        "dictionary<values=string, indices=int32, ordered=0>",
    }


def test_a_value_that_arrow_does_not_have_is_refused_or_becomes_null(
    repo: Repository, snapshot: SnapshotId, sample_database: Database, tmp_path: Path
) -> None:
    table = ("corners", "times")
    asked = TableExport(TableFormat.PARQUET, (table,))
    with pytest.raises(ValueUnfit) as refused:
        exported(repo, snapshot, tmp_path / "out", asked)
    assert "corners.times.d" in refused.value.message
    assert "infinity" in refused.value.message
    assert "--as-text 'corners.times.d'" in refused.value.hint
    assert not (tmp_path / "out").exists()
    lossy = exported(
        repo, snapshot, tmp_path / "out", TableExport(TableFormat.PARQUET, (table,), wishes=LOSSY)
    )
    assert any("1 values of corners.times.h did not fit" in line for line in lossy.news)
    found = pq.read_table(tmp_path / "out" / "corners.times.parquet")
    numbers = sample_database.psql(
        "SELECT json_agg(json_build_array(CASE WHEN isfinite(d) THEN d - date '1970-01-01' END,"
        " CASE WHEN isfinite(t) THEN extract(epoch FROM t)::numeric * 1000000 END,"
        " CASE WHEN isfinite(z) THEN extract(epoch FROM z)::numeric * 1000000 END,"
        " CASE WHEN h < '24:00' THEN extract(epoch FROM h)::numeric * 1000000 END))"
        " FROM corners.times"
    )
    expected = [
        [None if one is None or abs(one) >= 1 << 63 else int(one) for one in row]
        for row in json.loads(numbers, parse_float=Decimal)
    ]
    kinds = (pa.int32(), pa.int64(), pa.int64(), pa.int64())
    got = [
        found.column(name).combine_chunks().view(kind).to_pylist()
        for name, kind in zip("dtzh", kinds, strict=True)
    ]
    assert [list(row) for row in zip(*got, strict=True)] == expected
    # Each is there: before the year 1, after 9999, and what is beyond 64 bits.
    assert sum(one is None for row in expected for one in row) == 6


def test_arrays_become_lists(repo: Repository, sample_database: Database, tmp_path: Path) -> None:
    sample_database.psql(
        r"""CREATE TABLE public.arrays (id int, i int[], t text[], n numeric(8, 2)[], u uuid[],
            b bytea[], x bool[], d date[], two int[], three text[], at timestamptz[],
            e corners.mood[]);
        INSERT INTO public.arrays VALUES
        (1, '{1,NULL,-3}', ARRAY['a,b', '{c}', '"d"', NULL, 'NULL', '', E'\\', E'e\nf\t', 'null'],
         '{1.50,NULL}', ARRAY[gen_random_uuid(), NULL], ARRAY['\xff00'::bytea, '', NULL],
         '{t,f,NULL}', '{2024-02-29,0044-03-15 BC}', '{{1,2},{3,NULL}}', '{{{a}},{{"b c"}}}',
         '{2024-02-29 12:00:00.5+00}', ARRAY['sad', 'it''s "ok"', '']::corners.mood[]),
        (2, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
        (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (4, '{7}', '{plain}', '{0.01}', NULL, NULL, '{t}', '{0001-01-01}', '{{5},{6}}', NULL,
         NULL, '{sad}')
        """
    )
    snapshot = commit_database(repo, server_of(sample_database))
    asked = TableExport(TableFormat.PARQUET, (("public", "arrays"),))
    exported(repo, snapshot, tmp_path / "out", asked)
    found = pq.read_table(tmp_path / "out" / "public.arrays.parquet")
    expected = json.loads(
        sample_database.psql(
            "SELECT json_agg(json_build_array(i, t, n, u, x, two, three, e)) FROM public.arrays"
        ),
        parse_float=Decimal,
    )
    names = ("i", "t", "n", "u", "x", "two", "three", "e")
    for name, column in zip(names, zip(*expected, strict=True), strict=True):
        got = json.loads(
            json.dumps(found.column(name).to_pylist(), default=str), parse_float=Decimal
        )
        if name == "n":
            got = [v if v is None else [w if w is None else Decimal(w) for w in v] for v in got]
        assert got == list(column), name
    assert found.column("b").to_pylist()[0] == [b"\xff\x00", b"", None]
    days = found.column("d").combine_chunks().values.view(pa.int32()).to_pylist()
    assert days[1] == int(sample_database.psql("SELECT date '0044-03-15 BC' - date '1970-01-01'"))
    sample_database.psql("INSERT INTO public.arrays (id, i, two) VALUES (5, '[0:1]={1,2}', '{1}')")
    snapshot = commit_database(repo, server_of(sample_database))
    with pytest.raises(ValueUnfit, match=r"public\.arrays\.i .*\[0:1\]=\{1,2\}"):
        exported(repo, snapshot, tmp_path / "no", asked)
    lossy = TableExport(TableFormat.PARQUET, (("public", "arrays"),), wishes=LOSSY)
    assert len(exported(repo, snapshot, tmp_path / "lossy", lossy).news) == 2
    found = pq.read_table(tmp_path / "lossy" / "public.arrays.parquet")
    assert found.column("i").to_pylist()[-1] == [1, 2]
    assert found.column("two").to_pylist()[-1] is None


def test_sqlite_holds_the_values_of_every_table(
    repo: Repository, snapshot: SnapshotId, sample_database: Database, tmp_path: Path
) -> None:
    exported(repo, snapshot, tmp_path, TableExport(TableFormat.SQLITE), "shop.sqlite")
    path = tmp_path / "shop.sqlite"
    assert path.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(path) as database:
        for schema, table in tables(sample_database):
            name = table if schema == "public" else f"{schema}.{table}"
            # a."b.c" is called so already.
            name = '"a.b".c' if schema == "a.b" else name
            quoted = '"' + name.replace('"', '""') + '"'
            found = database.execute(f"SELECT * FROM {quoted} ORDER BY rowid").fetchall()
            kinds = [row[2] for row in database.execute(f"PRAGMA table_info({quoted})")]
            expected = rows_of(sample_database, (schema, table))
            assert len(found) == len(expected)
            for row, texts in zip(found, expected, strict=True):
                for value, text, kind in zip(row, texts, kinds, strict=True):
                    assert is_in_sqlite(value, text, kind), (name, value, text, kind)
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def is_in_sqlite(value: Any, text: str | None, kind: str) -> bool:
    if text is None or kind == "TEXT":
        return bool(value == text)
    if kind == "BLOB":
        return bool(value == bytes.fromhex(text[2:]))
    if text in ("t", "f"):
        return bool(value == (text == "t"))
    return bool(value == (float(text) if kind == "REAL" and text != "NaN" else _number(text)))


def _number(text: str) -> Any:
    return text if text == "NaN" else int(text)


def test_partitions_are_files_of_their_own_or_one(
    repo: Repository, snapshot: SnapshotId, sample_database: Database, tmp_path: Path
) -> None:
    payments = (("corners", "payments"),)
    for kind in (TableFormat.CSV, TableFormat.PARQUET):
        report = exported(repo, snapshot, tmp_path / f"{kind}", TableExport(kind, payments))
        assert len(report.tables) == 6
        merged = exported(
            repo, snapshot, tmp_path / f"{kind}-one", TableExport(kind, payments, merge=True)
        )
        [one] = merged.tables
        assert one.table == "corners.payments"
        assert one.rows == sum(part.rows for part in report.tables) > 3
    rows = pq.read_table(tmp_path / "parquet-one" / "corners.payments.parquet").to_pylist()
    expected = json.loads(sample_database.psql("SELECT json_agg(p) FROM corners.payments p"))
    key = repr
    assert sorted(
        ({"id": r["id"], "method": r["method"], "amount": str(r["amount"])} for r in rows), key=key
    ) == sorted(
        ({"id": r["id"], "method": r["method"], "amount": str(r["amount"])} for r in expected),
        key=key,
    )
