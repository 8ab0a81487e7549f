"""Which text came from which block of a table."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate, pairwise

import numpy as np
import pytest

from pgsnap.errors import DumpFailed
from pgsnap.model import ChangedBlocks, SectionEnd, SectionStart
from pgsnap.model.block_map import BlockMap
from pgsnap.sources.direct import statements
from pgsnap.sources.direct.readers import Readers
from pgsnap.sources.direct.reading import read_blocks, read_tables
from pgsnap.sources.direct.statements import SETTINGS
from pgsnap.sources.direct.tables import Table, dumped_tables
from pgsnap.sources.postgres import PostgresSource
from postgres.test_direct_source import SEVERAL
from postgres.test_dump_race import server_of
from support.servers.databases import Database

SCATTERED = """
CREATE TABLE s (id int, pad text) WITH (autovacuum_enabled = off);
INSERT INTO s SELECT i, repeat('x', i % 200) FROM generate_series(1, 60000) i;
DELETE FROM s WHERE id BETWEEN 1 AND 300 OR id BETWEEN 20000 AND 22000 OR id > 59000;
UPDATE s SET pad = E'a\\nb\\\\' WHERE id % 97 = 0;
INSERT INTO s SELECT i, repeat('long', 30000) FROM generate_series(1, 20) i;
"""


@contextmanager
def readers_of(database: Database, jobs: int) -> Iterator[tuple[Readers, Table, int]]:
    server = server_of(database)
    with server.connect() as holder:
        name = holder.query(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT pg_catalog.pg_export_snapshot()"
        )[0][0]
        tables = dumped_tables(holder, "UTF8")
        readers = Readers(
            server, database.name, name or "", jobs, encoding="UTF8", lock_wait_seconds=5
        )
        try:
            readers.lock(tables)
            size = holder.query(f"SELECT pg_catalog.pg_relation_size({tables[0].oid})")[0][0]
            yield readers, tables[0], int(size or 0) // 8192
        finally:
            readers.stop()


def _numbers(counts: bytes) -> list[int]:
    return [int(number) for number in np.frombuffer(counts, "<u4")]


def _by_block(text: bytes, block_map: BlockMap | ChangedBlocks) -> list[bytes]:
    ends = [0, *accumulate(_numbers(block_map.byte_counts))]
    assert ends[-1] == len(text)
    parts = [text[start:end] for start, end in pairwise(ends)]
    assert [part.count(b"\n") for part in parts] == _numbers(block_map.row_counts)
    return parts


def whole_table(readers: Readers, table: Table, blocks: int) -> list[bytes]:
    parts: list[bytes] = []
    for rows in read_tables(readers, [table], {table.oid: blocks}, with_maps=True):
        text = b"".join(rows)
        assert rows.block_map is not None
        parts += _by_block(text, rows.block_map)
    return parts


def test_a_block_map_says_which_text_came_from_which_block(database: Database) -> None:
    database.psql(SCATTERED)
    with readers_of(database, 2) as (readers, table, blocks):
        parts = whole_table(readers, table, blocks)
    assert len(parts) == blocks
    asked = "COPY (SELECT id, pad FROM s WHERE ctid >= '({0},0)' AND ctid < '({1},0)') TO STDOUT;"
    for block in (0, 1, 255, 256, blocks - 1):
        assert parts[block].decode().removesuffix("\n") == database.psql(
            asked.format(block, block + 1)
        )


@pytest.mark.parametrize("step", [1, 3, 700])
@pytest.mark.parametrize("jobs", [1, 2])
def test_blocks_of_a_list_have_the_text_that_the_whole_table_has_of_them(
    database: Database, jobs: int, step: int
) -> None:
    database.psql(SCATTERED)
    with readers_of(database, jobs) as (readers, table, blocks):
        whole = whole_table(readers, table, blocks)
        wanted = array("I", range(0, blocks, step))
        got: dict[int, bytes] = {}
        for found in read_blocks(readers, table, wanted):
            got.update(zip(found.blocks, _by_block(found.text, found), strict=True))
    assert list(got) == list(wanted)
    assert [got[block] for block in wanted] == [whole[block] for block in wanted]


@pytest.mark.parametrize("blocks", [1, 10, 2000])
@pytest.mark.parametrize("columns", ["id, pad", ""])
def test_blocks_of_a_list_are_read_by_themselves_whatever_the_size_of_the_table(
    database: Database, blocks: int, columns: str
) -> None:
    database.psql(SCATTERED)
    database.psql("CREATE INDEX ON s (id, pad) WHERE id < 1000; ANALYZE s")
    with readers_of(database, 1) as (readers, table, _):
        some = replace(table, columns=columns.encode())
        plan = readers.plan(statements.list_query(some, range(blocks)))
        assert statements.reads_blocks_alone(plan)
        every = (
            b"SELECT t.* FROM generate_series(1, 5), LATERAL (SELECT id FROM public.s OFFSET 0) t"
        )
        assert not statements.reads_blocks_alone(readers.plan(every))


def test_where_blocks_cannot_be_read_alone_the_list_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.psql(SCATTERED)
    # As if a later server had no such scan.
    others = tuple(each for each in SETTINGS if each[0] not in ("enable_tidscan", "enable_seqscan"))
    monkeypatch.setattr("pgsnap.sources.direct.psql.SETTINGS", (*others, ("enable_tidscan", "off")))
    with (
        readers_of(database, 1) as (readers, table, _),
        pytest.raises(DumpFailed, match=r"single blocks of public\.s cannot be read"),
    ):
        list(read_blocks(readers, table, array("I", [1, 2])))


def test_the_end_of_a_section_has_its_block_map_where_it_is_asked_for(database: Database) -> None:
    database.psql(SEVERAL)
    source = PostgresSource(server_of(database), with_globals=False, jobs=2)
    source.open()
    maps = {}
    name = None
    for event in source.events():
        if isinstance(event, SectionStart):
            name = event.name
        elif isinstance(event, SectionEnd) and event.is_copy and name is not None:
            maps[name.name] = event.block_map
    source.finish()
    assert {table: sum(_numbers(m.row_counts)) for table, m in maps.items() if m} == {
        "t": 60000,
        "u": 2,
        "e": 0,
    }
