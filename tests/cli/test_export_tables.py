"""`snap export --format`: the command, its errors, an encrypted repository, a bucket."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgsnap import extras
from support.running.commandline import CommandLine
from support.servers.object_stores import Running

# More than one part of CSV, and more than one row group.
ROWS = 45_000
DUMP = """--
-- PostgreSQL database dump
--

SET client_encoding = 'UTF8';

--
-- Name: paid; Type: DOMAIN; Schema: public; Owner: shop
--

CREATE DOMAIN public.paid AS numeric(12,2)
	CONSTRAINT paid_check CHECK ((VALUE >= (0)::numeric));

--
-- Name: events; Type: TABLE; Schema: public; Owner: shop
--

CREATE TABLE public.events (
    id bigint DEFAULT '1, ''(' NOT NULL,
    total public.paid,
    "at, of" timestamp(3) with time zone,
    note character varying(2000) COLLATE pg_catalog."C" DEFAULT 'a
    b integer',
    rate numeric
);

--
-- Name: view; Type: VIEW; Schema: public; Owner: shop
--

CREATE VIEW public.view AS
 SELECT 1;

--
-- Data for Name: events; Type: TABLE DATA; Schema: public; Owner: shop
--

COPY public.events (id, total, "at, of", note, rate) FROM stdin;
{rows}\\.

--
-- PostgreSQL database dump complete
--

"""


def row(number: int) -> str:
    note = r"\N" if number % 7 == 0 else "" if number % 7 == 1 else f'say "{number}",\\n' * 80
    return (
        f"{number}\t{number}.50\t2026-01-02 03:04:05.{number % 1000:03}+00\t{note}\t{number}.125\n"
    )


@pytest.fixture(scope="module")
def dump() -> str:
    return DUMP.format(rows="".join(map(row, range(ROWS))))


@pytest.fixture
def shop(snap: CommandLine, dump: str) -> CommandLine:
    """An encrypted repository with one snapshot."""
    (snap.work / "key").write_bytes(bytes(range(32)) * 2)
    (snap.work / "key").chmod(0o600)
    snap.setenv("SNAP_KEY_FILE", str(snap.work / "key"))
    (snap.work / "dump.sql").write_text(dump)
    snap.ok("init", "--encrypt")
    snap.ok("commit", "-m", "first", "--file", "dump.sql", "--database", "shop")
    return snap


def test_each_format_holds_all_rows(shop: CommandLine) -> None:
    done = shop.ok("export", "latest", "out", "--format", "parquet", "--numeric", "20,3", "--json")
    [table] = done.json["tables"]
    assert (table["name"], table["rows"]) == ("public.events", ROWS)
    assert table["files"] == ["public.events.parquet"]
    assert done.json["notices"] == ["left out, as they have no rows of their own: 1 view"]
    path = shop.work / "out" / "public.events.parquet"
    assert table["file_bytes"] == path.stat().st_size
    found = pq.read_table(path)
    assert [str(kind) for kind in found.schema.types] == [
        *("int64", "decimal128(12, 2)", "timestamp[us, tz=UTC]", "string", "decimal128(20, 3)")
    ]
    assert pq.ParquetFile(path).num_row_groups > 1
    shop.ok("export", "latest", "out", "--format", "csv")
    shop.ok("export", "latest", "shop.sqlite", "--format", "sqlite")
    with (shop.work / "out" / "public.events.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    database = sqlite3.connect(shop.work / "shop.sqlite")
    stored = database.execute("SELECT * FROM events ORDER BY id").fetchall()
    assert len(rows) - 1 == len(stored) == found.num_rows == ROWS
    assert rows[0] == ["id", "total", "at, of", "note", "rate"]
    for number in (0, 1, 5, ROWS - 1):
        fields = row(number)[:-1].split("\t")
        note = None if fields[3] == r"\N" else fields[3].replace(r"\n", "\n")
        assert rows[number + 1] == [*fields[:3], note or "", fields[4]]
        assert stored[number] == (number, *fields[1:3], note, fields[4])
        got = [column[number].as_py() for column in found.columns]
        assert got[0] == number
        assert [str(got[1]), got[3], str(got[4])] == [fields[1], note, fields[4]]
        assert got[2].isoformat(" ", "milliseconds") == fields[2].removesuffix("+00") + "+00:00"


def test_a_bucket_gets_parts_and_then_the_mark_of_the_end(shop: CommandLine, moto: Running) -> None:
    for name, value in moto.environ.items():
        shop.setenv(name, value)
    url = moto.url("lake/shop")
    store = moto.store("lake")
    for kind in ("csv", "parquet"):
        again = ("--force",) if kind == "parquet" else ()
        done = shop.ok("export", "latest", url, "--format", kind, "--json", *again).json
        [table] = done["tables"]
        there = {info.name for info in store.list("shop/")}
        # The parts of the export before are gone.
        assert there == {f"shop/{name}" for name in (*table["files"], "_SUCCESS")}
        assert json.loads(store.get("shop/_SUCCESS"))["snapshot"] == done["id"]
        parts = [store.get(f"shop/{name}") for name in table["files"]]
        assert sum(map(len, parts)) == table["file_bytes"]
        if kind == "csv":
            assert len(parts) > 1
            ids = [
                row["id"]
                for part in parts
                for row in csv.DictReader(io.StringIO(part.decode(), newline=""))
            ]
            assert ids == [str(number) for number in range(ROWS)]
        else:
            found = pa.concat_tables(pq.read_table(io.BytesIO(part)) for part in parts)
            assert found.column("id").to_pylist() == list(range(ROWS))
    refused = shop("export", "latest", url, "--format", "csv")
    assert refused.code == 2
    assert "is not empty" in refused.err
    assert shop("export", "latest", moto.url(""), "--format", "csv").code == 2


WRONG = [
    (("out", "--table", "events"), "--format parquet"),
    (("out", "--format", "parkett"), 'Did you mean "parquet"?'),
    (("-", "--format", "csv"), "Name a folder"),
    (("out", "--format", "sqlite"), ".sqlite3 or .db"),
    (("s3://bucket/x.sqlite", "--format", "sqlite"), "a file on this host"),
    (("nowhere/out", "--format", "csv"), "mkdir -p nowhere"),
    (("nowhere/x.db", "--format", "sqlite"), "mkdir -p nowhere"),
    (("dump.sql", "--format", "csv"), "is no folder"),
    (("s3:/bucket/x", "--format", "csv"), "Begin it with s3://"),
    (("s3://bucket", "--format", "csv"), "names no folder"),
    (("out", "--format", "csv", "--table", "event"), "Did you mean --table public.events?"),
    (("out", "--format", "csv", "--as-text", "note"), "public.orders.total"),
    (("out", "--format", "csv", "--as-text", "events.not"), 'mean "public.events.note"?'),
    (("out", "--format", "csv", "--numeric", "9,2"), "--format parquet"),
    (("out", "--format", "parquet", "--numeric", "9,10"), "--numeric 38,9"),
    (("out", "--format", "parquet", "--numeric", "77,1"), "--numeric 38,9"),
    (("out", "--format", "csv", "--timezone", "UTC"), "--format sql"),
]


def test_what_cannot_be_meant_is_refused_with_advice(snap: CommandLine) -> None:
    (snap.work / "dump.sql").write_text(DUMP.format(rows=row(1)))
    snap.ok("init")
    snap.ok("commit", "-m", "first", "--file", "dump.sql", "--database", "shop")
    for arguments, words in WRONG:
        refused = snap("export", "latest", *arguments)
        assert refused.code in (2, 20), refused.err
        assert words in " ".join(refused.err.split())
        assert not (snap.work / "out").exists()


def test_files_appear_together_or_not_at_all(
    snap: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = row(1) + "2\t1.50\tinfinity\t\t0.1234\n" + row(3)
    (snap.work / "dump.sql").write_text(DUMP.format(rows=bad))
    snap.ok("init")
    snap.ok("commit", "-m", "first", "--file", "dump.sql", "--database", "shop")
    refused = snap("export", "latest", "out", "--format", "parquet", "--json")
    assert refused.code == 1
    assert refused.error["kind"] == "value-unfit"
    assert refused.error["message"] == (
        "a value of public.events.\"at, of\" cannot be written: 'infinity'"
    )
    assert not (snap.work / "out").exists()
    given = ("--as-text", 'events."at, of"', "--format", "parquet")
    refused = snap("export", "latest", "out", *given, "--numeric", "5,3")
    assert "'0.1234'" in refused.err
    snap.ok("export", "latest", "out", *given)
    assert pq.read_table(snap.work / "out").column(2).to_pylist()[1] == "infinity"
    assert snap("export", "latest", "out", *given).code == 2
    kept = (snap.work / "out" / "public.events.parquet").read_bytes()
    failed = snap("export", "latest", "out", "--format", "parquet", "--force")
    assert failed.code == 1
    lossy = snap.ok("export", "latest", "lossy", "--format", "parquet", "--lossy", "--json")
    assert '1 values of public.events."at, of" did not fit' in lossy.json["notices"][1]
    assert pq.read_table(snap.work / "lossy").column(2).null_count == 1
    for pack in (snap.work / "database" / "backups" / "packs").rglob("*"):
        if pack.is_file():
            data = bytearray(pack.read_bytes())
            for at in range(8, len(data), 16):
                data[at] ^= 1
            pack.chmod(0o600)
            pack.write_bytes(data)
    for name, kind in (("out", "csv"), ("out", "parquet"), ("new.db", "sqlite")):
        assert snap("export", "latest", name, "--format", kind, "--force", "--lossy").code == 60
    assert [path.name for path in (snap.work / "out").iterdir()] == ["public.events.parquet"]
    assert (snap.work / "out" / "public.events.parquet").read_bytes() == kept
    assert not list(snap.work.glob("*.db")) + list(snap.work.glob(".new*"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    missing = snap("export", "latest", "more", "--format", "parquet")
    assert missing.code == 2
    assert extras.hint("parquet") in missing.err
