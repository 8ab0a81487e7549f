"""Values that consist of parts keep them in Parquet, and other programs read the same values."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgsnap.repository.repository import Repository
from pgsnap.workflows.history.export_tables import TableExport, TableFormat
from support.documents.tables_exported import EXACT, LOSSY, exported, is_same
from support.restoring.clients import commit_database, server_of
from support.servers.databases import Database

NESTED = r"""
CREATE TYPE public.point3 AS (x int, label text, tags text[], "when" timestamptz,
  mood corners.mood);
CREATE DOMAIN public.place AS public.point3;
CREATE TYPE public.outer AS (p public.point3, n numeric(8, 2), raw bytea, u uuid, j jsonb,
  ps public.point3[], d public.place);
CREATE TYPE public.outermost AS (o public.outer, os public.outer[], "took, in all" interval,
  h extensions.hstore, r int4range);
CREATE TYPE public.floats AS RANGE (subtype = float8);
CREATE TABLE public.nested (id int, p public.point3, o public.outer, d public.place,
  ps public.point3[],
  i4 int4range, nr numrange, dr daterange, tr tstzrange, fr public.floats,
  rs int8range[],
  h extensions.hstore, hs extensions.hstore[], iv interval, m money, bits bit varying,
  ivs interval day to second(6)[], ms money[], most public.outermost, mosts public.outermost[]);
INSERT INTO public.nested VALUES
  (1, (7, E'a "b" \\ (c), d\n\t', '{"x,y",NULL,"q\""}', '2024-02-29 12:00:00.5+00', 'it''s "ok"'),
   ((1, 'in', '{}', NULL, 'sad'), 1.50, '\xff00',
    '5c0b1a0e-0000-0000-0000-000000000001', '{"a": "\""}',
    ARRAY[(2, 'b"\,', '{"1 \" 2"}', NULL, 'sad'), NULL]::public.point3[],
    (3, '', NULL, NULL, NULL)),
   (NULL, '', NULL, NULL, NULL), ARRAY[(1, 'a"\', '{u}', NULL, 'sad'), NULL]::public.point3[],
   '[1,5)', '(1.50,)', '[2024-01-01,2024-02-29)',
   '[2024-01-01 00:00+00,2024-01-02 12:00:00.25+00]',
   '[0.1,1e300)', '{"[1,3)",NULL,empty}', 'a=>1, "b \"c"=>NULL, "d\\"=>"=> , x"',
   ARRAY['k=>v']::extensions.hstore[],
   '1 year 2 days 00:00:00.000001', 1234.5, B'0101',
   '{1 mon -2 days +03:00:00,NULL,-00:00:00.5}', ARRAY[1234567.89, NULL, -0.05]::money[],
   (((1, 'in', '{}', NULL, 'sad'), 1.50, '\x', NULL, '"("', '{}', NULL), NULL, '-1 days', 'a=>"("',
    '[1,2)'),
   ARRAY[(NULL, ARRAY[(NULL, 2.50, NULL, NULL, '[]', ARRAY[(5, '"\', NULL, NULL, NULL)]
     ::public.point3[], NULL), NULL]::public.outer[], '1 year', NULL, NULL), NULL]
     ::public.outermost[]),
  (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
   NULL, NULL, NULL, NULL),
  (3, (NULL, NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL, NULL, NULL, NULL), NULL, '{}',
   'empty', '(,)', '(,2024-01-01)', 'empty', '(,1)', '{}', '', '{}', '-1 mons', 0, B'',
   '{}', '{}', NULL, '{}'),
  (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
   interval '-178000000 years -8 mons +2147483647 days' - interval '9223372036854775807 us'
   - interval '1 us', '-92233720368547758.08',
   NULL, NULL, NULL, NULL, NULL)
"""


def test_values_with_parts_become_structs_and_maps(
    repo: Repository, sample_database: Database, tmp_path: Path
) -> None:
    sample_database.psql(NESTED)
    snapshot = commit_database(repo, server_of(sample_database))
    asked = TableExport(TableFormat.PARQUET, (("public", "nested"),))
    exported(repo, snapshot, tmp_path / "out", asked)
    found = pq.read_table(tmp_path / "out" / "public.nested.parquet")
    rows = found.to_pylist()
    parts = json.loads(
        sample_database.psql(
            "SELECT json_agg(json_build_array((p).x, (p).label, (p).tags, (p).mood,"
            " (o).n::text, (o).u, (o).j::text, (d).label, (ps)[1].label, array_length(ps, 1))"
            " ORDER BY id) FROM public.nested"
        )
    )
    for row, expected in zip(rows, parts, strict=True):
        p, o, d = (row[name] or {} for name in ("p", "o", "d"))
        ps = row["ps"] or []
        got = [p.get("x"), p.get("label"), p.get("tags"), p.get("mood")]
        got += [o["n"] and str(o["n"]) if o else None, o["u"] and str(o["u"]) if o else None]
        got += [o.get("j"), d.get("label"), ps[0]["label"] if ps else None, len(ps) or None]
        assert got == expected
    assert rows[0]["o"]["raw"] == b"\xff\x00"
    assert rows[0]["p"]["when"].isoformat() == "2024-02-29T12:00:00.500000+00:00"
    assert rows[0]["ps"][1] is None
    assert [row["p"] is None for row in rows] == [False, True, False, True]
    for name in ("i4", "nr", "dr", "tr", "fr"):
        expected = json.loads(
            sample_database.psql(
                f"SELECT json_agg(CASE WHEN {name} IS NOT NULL THEN json_build_array("
                f"CASE WHEN isempty({name}) THEN 'empty' ELSE left({name}::text, 1) ||"
                f" right({name}::text, 1) END, lower({name})::text, upper({name})::text)"
                f" END ORDER BY id) FROM public.nested"
            )
        )
        for row, parts_of in zip(rows, expected, strict=True):
            if (value := row[name]) is None or parts_of is None:
                assert value is parts_of
                continue
            bounds, *limits = parts_of
            kind = found.schema.field(name).type.field("lower").type
            assert value["bounds"] == bounds
            assert all(
                is_same(value[end], text, kind)
                for end, text in zip(("lower", "upper"), limits, strict=True)
            ), (name, value, parts_of)
    assert rows[0]["rs"] == [{"lower": 1, "upper": 3, "bounds": "[)"}, None,
                             {"lower": None, "upper": None, "bounds": "empty"}]  # fmt: skip
    expected = json.loads(
        sample_database.psql(
            "SELECT json_agg(extensions.hstore_to_json(h) ORDER BY id) FROM public.nested"
        )
    )
    assert [None if row["h"] is None else dict(row["h"]) for row in rows] == expected
    assert rows[0]["hs"] == [[("k", "v")]]
    assert found.schema.field("bits").type == pa.string()


def as_json(value: Any) -> Any:
    """Return a value of a Parquet file as PostgreSQL's to_json writes it, intervals apart."""
    if isinstance(value, dict):
        if value.keys() == {"lower", "upper", "bounds"}:
            return "{}{},{}{}".format(value["bounds"][0], value["lower"], value["upper"],
                                      value["bounds"][1])  # fmt: skip
        return {name: as_json(one) for name, one in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return dict(value)
    if isinstance(value, list):
        return [as_json(one) for one in value]
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, Decimal):
        return float(value)
    return value if value is None or isinstance(value, int | float) else str(value)


PARTS_OF_INTERVAL = """json_build_object('months', extract(year FROM {0}) * 12
 + extract(month FROM {0}), 'days', extract(day FROM {0}), 'microseconds',
 extract(hour FROM {0}) * 3600000000::numeric + extract(minute FROM {0}) * 60000000
 + extract(microseconds FROM {0}))"""


def test_composites_within_composites_and_arrays_of_them_are_structs_all_the_way(
    repo: Repository, sample_database: Database, tmp_path: Path
) -> None:
    sample_database.psql(NESTED)
    snapshot = commit_database(repo, server_of(sample_database))
    exported(
        repo, snapshot, tmp_path / "out", TableExport(TableFormat.PARQUET, (("public", "nested"),))
    )
    found = pq.read_table(tmp_path / "out" / "public.nested.parquet")
    innermost = found.schema.field("mosts").type.value_type.field("os").type.value_type
    assert innermost.field("ps").type.value_type.field("x").type == pa.int32()
    expected = json.loads(
        sample_database.psql(
            "SELECT json_agg(json_build_array(o, most, mosts) ORDER BY id) FROM public.nested"
        )
    )
    intervals = {"-1 days": (0, -1, 0), "1 year": (12, 0, 0)}

    def with_intervals(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: dict(zip(("months", "days", "microseconds"), intervals[one], strict=True))
                if name == "took, in all" and one is not None
                # JSON within JSON: here it is its text.
                else json.dumps(one)
                if name == "j" and one is not None
                else with_intervals(one)
                for name, one in value.items()
            }
        return [with_intervals(one) for one in value] if isinstance(value, list) else value

    for row, there in zip(found.to_pylist(), expected, strict=True):
        got = [as_json(row[name]) for name in ("o", "most", "mosts")]
        assert got == with_intervals(there)


def test_intervals_have_their_three_parts_and_money_is_a_number(
    repo: Repository, sample_database: Database, tmp_path: Path
) -> None:
    duckdb = pytest.importorskip("duckdb")
    sample_database.psql(NESTED)
    snapshot = commit_database(repo, server_of(sample_database))
    asked = TableExport(TableFormat.PARQUET, (("public", "nested"),))
    exported(repo, snapshot, tmp_path / "out", asked)
    path = tmp_path / "out" / "public.nested.parquet"
    rows = pq.read_table(path).to_pylist()
    parts = PARTS_OF_INTERVAL.format("i")
    expected = json.loads(
        sample_database.psql(
            f"SELECT json_agg(json_build_array((SELECT CASE WHEN i IS NOT NULL THEN {parts} END"
            " FROM (VALUES (iv)) v (i)), m::numeric::text,"
            f" (SELECT json_agg(CASE WHEN i IS NOT NULL THEN {parts} END) FROM unnest(ivs) i),"
            " ms::numeric[]::text[]) ORDER BY id) FROM public.nested"
        ),
        parse_float=Decimal,
    )
    for row, (interval, amount, intervals, amounts) in zip(rows, expected, strict=True):
        assert row["iv"] == interval
        assert (row["m"] if row["m"] is None else str(row["m"])) == amount
        assert (row["ivs"] or None) == intervals
        got = [None if one is None else str(one) for one in row["ms"] or ()]
        assert got == (amounts or [])
    assert sum(abs(row["m"] or 0) for row in rows) > 10**16
    texts = json.loads(sample_database.psql("SELECT json_agg(iv ORDER BY id) FROM public.nested"))
    with duckdb.connect() as reader:
        made = "to_months(iv.months) + to_days(iv.days) + to_microseconds(iv.microseconds)"
        # Of that many microseconds DuckDB makes no interval.
        read = f"SELECT {made}, iv IS NULL, m FROM read_parquet(?) WHERE id < 4 ORDER BY id"
        for (value, is_null, amount), text, row in zip(
            reader.execute(read, [str(path)]).fetchall(), texts[:3], rows[:3], strict=True
        ):
            assert is_null == (text is None)
            assert amount == row["m"]
            asked_for = reader.execute("SELECT ?::INTERVAL", [text]).fetchone()
            assert asked_for == (None if is_null else value,)


def test_duckdb_reads_the_same_values(
    repo: Repository, sample_database: Database, tmp_path: Path
) -> None:
    duckdb = pytest.importorskip("duckdb")
    sample_database.psql(NESTED)
    snapshot = commit_database(repo, server_of(sample_database))
    exported(repo, snapshot, tmp_path / "exact", TableExport(TableFormat.PARQUET, wishes=EXACT))
    times = TableExport(TableFormat.PARQUET, (("corners", "times"),), wishes=LOSSY)
    exported(repo, snapshot, tmp_path / "lossy", times)
    paths = sorted(tmp_path.glob("*/*.parquet"))
    assert len(paths) > 40
    with duckdb.connect() as reader:
        reader.execute("SET TimeZone = 'UTC'")
        for path in paths:
            there = pq.read_table(path)
            columns = [column.combine_chunks() for column in there.columns]
            words = []
            for at, field in enumerate(there.schema):
                word = '"' + field.name.replace('"', '""') + '"'
                if pa.types.is_date(field.type) or pa.types.is_timestamp(field.type):
                    # Python has no years before 1 and after 9999.
                    is_date = pa.types.is_date(field.type)
                    columns[at] = columns[at].view(pa.int32() if is_date else pa.int64())
                    word = f"{word} - DATE '1970-01-01'" if is_date else f"epoch_us({word})"
                words.append(word)
            query = f"SELECT {', '.join(words)} FROM read_parquet(?)"
            found = reader.execute(query, [str(path)]).fetchall()
            assert len(found) == there.num_rows
            by_column = zip(*found, strict=True) if found else iter([()] * len(columns))
            for column, field, values_there in zip(columns, there.schema, by_column, strict=True):
                got = [plain(value) for value in values_there]
                # Of numbers that are none repr says so.
                expected = [plain(value) for value in column.to_pylist()]
                assert repr(got) == repr(expected), (path.name, field)


def plain(value: Any) -> Any:
    """Return a value with maps as lists of pairs, as Arrow gives them."""
    if isinstance(value, dict):
        return [(key, plain(one)) for key, one in value.items()]
    if isinstance(value, list):
        return [plain(one) for one in value]
    return tuple(map(plain, value)) if isinstance(value, tuple) else value
