"""Rows that are read over connections of our own make the same dump as pg_dump's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contract.source_contract import SourceContract, put_together, read
from pgsnap.cluster.cluster import Cluster
from pgsnap.model import SectionKind, SectionName
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import ident
from pgsnap.sessions.server import ClientKind
from pgsnap.sources.base import Source
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.history.cat import cat
from postgres.test_dump_race import server_of
from postgres.test_hashed_rows import KEYS, table_of
from postgres.test_kinds import KINDS
from postgres.test_odd_databases import ODD, RAW_NAMES
from postgres.test_sources import Cutting
from support.servers.databases import Database, is_volatile, new_name
from support.servers.extensions import QUEUE, add_extension

SEVERAL = """
CREATE TABLE t (id int PRIMARY KEY, at timestamptz, data bytea, n float8);
INSERT INTO t SELECT i, '2026-01-01 00:00+05'::timestamptz + i * '1 h'::interval,
    decode(md5(i::text), 'hex'), 1.0 / i FROM generate_series(1, 60000) i;
CREATE TABLE u (id serial); INSERT INTO u VALUES (1), (DEFAULT);
CREATE TABLE e (id int);
"""
FILTERED = (
    QUEUE
    + """
CREATE SEQUENCE "{name}".drawn;
SELECT pg_extension_config_dump('"{name}".kind', 'WHERE id > 2 ORDER BY word');
SELECT pg_extension_config_dump('"{name}".drawn', '');
"""
)
CLIENTS: list[ClientKind] = ["psycopg", "psql"]
STREAMED = {
    "hash partitions by an enum",
    "rows placed by the hash of an enum",
}
"""Cases that pg_dump reads by itself."""


def text_of(source: PostgresSource) -> bytes:
    return stable(put_together(*read(source)))


def stable(text: bytes) -> bytes:
    return b"".join(line for line in text.splitlines(keepends=True) if not is_volatile(line))


def assert_equal_dumps(database: Database, *, is_direct: bool = True, jobs: int = 2) -> None:
    expected = database.dump()
    streamed, streamed_result = read(PostgresSource(server_of(database), with_globals=False))
    for client in CLIENTS:
        source = PostgresSource(server_of(database, client=client), with_globals=False, jobs=jobs)
        sections, result = read(source)
        assert (source.streamed_because == "") == is_direct, source.streamed_because
        assert list(sections) == list(streamed)
        # pg_dump knows none of these.
        sections.pop(SectionName(SectionKind.EXTENSION_SEQUENCES), None)
        assert stable(put_together(sections, result)) == expected
        assert result.origin.owners == streamed_result.origin.owners


class TestDirectSource(SourceContract):
    @pytest.fixture
    def filled(self, database: Database) -> Database:
        database.psql(SEVERAL)
        return database

    @pytest.fixture
    def text(self, filled: Database) -> bytes:
        return put_together(*read(PostgresSource(server_of(filled))))

    @pytest.fixture(params=CLIENTS)
    def source(self, filled: Database, request: pytest.FixtureRequest) -> Source:
        return PostgresSource(server_of(filled, client=request.param), jobs=2)

    @pytest.fixture
    def cut_source(self, filled: Database) -> Source:
        server = server_of(filled)
        server.runner = Cutting(filled.cluster.binaries.bindir)
        return PostgresSource(server, jobs=2)


@pytest.mark.parametrize("case", ODD)
def test_an_odd_database_is_dumped_as_by_pg_dump(database: Database, case: str) -> None:
    database.psql(ODD[case])
    assert_equal_dumps(database, is_direct=case not in STREAMED)


@pytest.fixture
def kinds_roles(cluster: Cluster) -> Iterator[None]:
    names = sorted({role for kind in KINDS.values() for role in kind.roles})
    cluster.psql("".join(f"CREATE ROLE {name};" for name in names))
    yield
    cluster.psql("".join(f"DROP ROLE {name};" for name in names))


@pytest.mark.parametrize("case", KINDS)
def test_every_kind_is_dumped_as_by_pg_dump(kinds_roles: None, cluster: Cluster, case: str) -> None:
    database = Database(cluster, new_name("kind"))
    cluster.create_database(database.name)
    try:
        database.psql(KINDS[case].sql)
        assert_equal_dumps(database, is_direct=case not in STREAMED)
    finally:
        cluster.drop_database(database.name)


@pytest.mark.parametrize("key", KEYS)
def test_hashed_rows_are_dumped_as_by_pg_dump(database: Database, key: str) -> None:
    database.psql(table_of(key))
    assert_equal_dumps(database)


def test_the_sample_is_dumped_as_by_pg_dump(sample_database: Database) -> None:
    assert_equal_dumps(sample_database, jobs=3)


def test_extensions_are_dumped_as_by_pg_dump(database: Database) -> None:
    name = add_extension(database.cluster, FILTERED)
    database.psql(
        f"CREATE EXTENSION {ident(name)}; SET search_path = {ident(name)};"
        "INSERT INTO job (what) SELECT 'job ' || i FROM generate_series(1, 3000) i;"
        "INSERT INTO log (what) VALUES ('not dumped');"
        "INSERT INTO kind VALUES (3, 'zip'), (4, 'burn'), (5, 'fold'); SELECT nextval('drawn');"
        "CREATE TABLE public.own (id serial, v text); INSERT INTO public.own (v) VALUES ('x')"
    )
    assert_equal_dumps(database)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP", "EUC_TW", "KOI8R"])
def test_databases_of_other_encodings_are_dumped_as_by_pg_dump(
    cluster: Cluster, encoding: str
) -> None:
    words = {"LATIN1": "grün", "EUC_JP": "日本語", "EUC_TW": "中文", "KOI8R": "Привет"}
    database = Database(cluster, new_name("encoded"))
    cluster.psql(
        f"CREATE DATABASE {ident(database.name)} TEMPLATE template0 ENCODING '{encoding}'"
        " LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    try:
        word = words.get(encoding, "x")
        database.psql(
            f'CREATE TABLE "{word}" ("{word}" text, n serial); SELECT lo_create(11);'
            f"INSERT INTO \"{word}\" SELECT '{word} ' || g FROM generate_series(1, 2000) g"
        )
        if encoding == "SQL_ASCII":
            database.psql(RAW_NAMES)
        assert_equal_dumps(database)
    finally:
        cluster.drop_database(database.name)


def test_a_table_whose_index_has_all_columns_keeps_the_order_of_its_rows(
    database: Database,
) -> None:
    database.psql(
        "CREATE TABLE pairs (a int, b int, PRIMARY KEY (a, b)) WITH (autovacuum_enabled = off,"
        " fillfactor = 10); INSERT INTO pairs SELECT 40000 - i, i FROM generate_series(1, 40000) i;"
        "VACUUM ANALYZE pairs; ALTER DATABASE " + ident(database.name) + " SET seq_page_cost = 99"
    )
    assert "Index Only Scan" in database.psql("EXPLAIN SELECT a, b FROM pairs")
    assert_equal_dumps(database)


def test_settings_of_the_database_do_not_change_the_text_or_the_way(database: Database) -> None:
    database.psql(SEVERAL)
    for setting in (
        "enable_tidscan = off",
        "row_security = on",
        "search_path = nowhere",
        "default_transaction_isolation = serializable",
        "lc_monetary = 'C'",
        "DateStyle = 'SQL, DMY'",
        "TimeZone = 'Asia/Tokyo'",
        "jit = on",
    ):
        database.psql(f"ALTER DATABASE {ident(database.name)} SET {setting}")
    assert_equal_dumps(database)


def test_values_larger_than_all_buffers_pass(database: Database) -> None:
    database.psql(
        "CREATE TABLE large (id int, v text); ALTER TABLE large ALTER v SET STORAGE EXTERNAL;"
        "INSERT INTO large SELECT i, repeat(chr(64 + i), 20000000) FROM generate_series(1, 3) i;"
        "CREATE TABLE more AS SELECT i, repeat('y', 100000) AS v FROM generate_series(1, 200) i"
    )
    assert_equal_dumps(database)


def test_a_commit_that_reads_directly_is_printed_as_pg_dump_prints_it(
    repo: Repository, sample_database: Database
) -> None:
    expected = sample_database.dump()
    server = server_of(sample_database)
    streamed = commit(repo, PostgresSource(server), database="shop", message="streamed")
    report = commit(repo, PostgresSource(server, jobs=2), database="shop", message="direct")
    assert report.unchanged
    assert report.snapshot.root == streamed.snapshot.root
    assert stable(b"".join(cat(repo, report.snapshot_id))) == expected
