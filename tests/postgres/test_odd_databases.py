"""Databases of every odd shape: each comes back, or is refused with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import DumpFailed, RestoreFailed, TargetRefused, UsageError
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.revisions import resolve
from pgsnap.sessions.base import ident
from pgsnap.sources.postgres import PostgresSource
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.restore.plan import RestoreOptions
from support.dumps.round_trips import round_trip
from support.restoring.clients import (
    commit_database,
    databases_like,
    restore_now,
    server_of,
)
from support.servers.databases import Database, new_name

LINES_LIKE_A_DUMP = r"""
CREATE TABLE traps (id int, line text);
INSERT INTO traps SELECT row_number() OVER (), line FROM unnest(ARRAY['--',
    '-- Name: traps; Type: TABLE DATA; Schema: public; Owner: postgres', '--',
    '\restrict abc', '\.', 'COPY public.traps (id, line) FROM stdin;', '\connect postgres',
    '-- PostgreSQL database dump complete', '$$', '''', E'a\n\\.\nb', E'\n--\n-- Name: x;'])
    AS line;
CREATE TABLE one_column (line text);
INSERT INTO one_column SELECT line FROM traps;
"""
CIRCLE = """
CREATE TABLE hen (id int PRIMARY KEY, egg int);
CREATE TABLE egg (id int PRIMARY KEY, hen int REFERENCES hen);
INSERT INTO hen VALUES (1, 1); INSERT INTO egg VALUES (1, 1);
ALTER TABLE hen ADD FOREIGN KEY (egg) REFERENCES egg;
CREATE TABLE own (id int PRIMARY KEY, boss int REFERENCES own);
INSERT INTO own SELECT g, 2000 - g FROM generate_series(1000, 1999) g WHERE false;
INSERT INTO own SELECT g, nullif(g - 1, 0) FROM generate_series(1, 2000) g;
"""
ORDERS_OF_COLUMNS = """
CREATE TABLE parent (a int, b text);
CREATE TABLE child (x int) INHERITS (parent);
INSERT INTO parent VALUES (1, 'p'); INSERT INTO child (a, b, x) VALUES (2, 'c', 3);
CREATE TABLE part (k int, v text, gone int) PARTITION BY LIST (k);
CREATE TABLE part_1 (dropped int, v text, k int NOT NULL, gone int);
ALTER TABLE part_1 DROP COLUMN dropped;
ALTER TABLE part ATTACH PARTITION part_1 FOR VALUES IN (1);
ALTER TABLE part DROP COLUMN gone;
INSERT INTO part VALUES (1, 'one');
"""
ENUM_PARTITIONS = """
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE moods (m mood, n int) PARTITION BY HASH (m);
CREATE TABLE moods_0 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE moods_1 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO moods SELECT (ARRAY['sad', 'ok', 'happy']::mood[])[1 + g % 3], g
    FROM generate_series(1, 3000) g;
"""
EVENT_TRIGGERS = """
CREATE TABLE ddl_log (tag text);
INSERT INTO ddl_log VALUES ('made before');
CREATE FUNCTION log_ddl() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.ddl_log VALUES (tg_tag); END $$;
CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no'; END $$;
CREATE EVENT TRIGGER a_log ON ddl_command_end EXECUTE FUNCTION log_ddl();
CREATE EVENT TRIGGER b_drop ON sql_drop EXECUTE FUNCTION log_ddl();
CREATE EVENT TRIGGER z_no ON ddl_command_start WHEN TAG IN ('CREATE TABLE')
    EXECUTE FUNCTION no_ddl();
"""
VIEWS_ON_VIEWS = """
CREATE TABLE base (a int PRIMARY KEY, b int);
INSERT INTO base SELECT g, g % 7 FROM generate_series(1, 500) g;
CREATE MATERIALIZED VIEW first AS SELECT b, count(*) AS n FROM base GROUP BY b;
CREATE VIEW second AS SELECT sum(n) AS total FROM first;
CREATE MATERIALIZED VIEW third AS SELECT total FROM second;
CREATE UNIQUE INDEX ON first (b);
CREATE VIEW by_key AS SELECT a, b, count(*) FROM base GROUP BY a;
CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS one WITH NO DATA;
"""
GENERATED = """
CREATE TABLE g (gone int, a int, doubled int GENERATED ALWAYS AS (a * 2) STORED, note text,
    id bigint GENERATED ALWAYS AS IDENTITY);
ALTER TABLE g DROP COLUMN gone;
INSERT INTO g (a, note) SELECT x, 'n' FROM generate_series(1, 100) x;
CREATE TABLE nothing_left (a int);
INSERT INTO nothing_left VALUES (1), (2);
ALTER TABLE nothing_left DROP COLUMN a;
CREATE TABLE only_generated (a int GENERATED ALWAYS AS (42) STORED);
INSERT INTO only_generated DEFAULT VALUES;
"""
ODD = {
    "nothing at all": "DROP SCHEMA public",
    "an unlogged table": "CREATE UNLOGGED TABLE u AS SELECT g FROM generate_series(1, 3000) g;"
    "CREATE UNLOGGED TABLE e (id serial)",
    "rows that look like a dump": LINES_LIKE_A_DUMP,
    "1,600 columns": "SELECT format('CREATE TABLE wide (%s)', string_agg('c' || g || ' bool', ','))"
    " FROM generate_series(1, 1600) g \\gexec\nINSERT INTO wide (c1, c1600) VALUES (true, false)",
    "generated and dropped columns": GENERATED,
    "columns in other orders": ORDERS_OF_COLUMNS,
    "hash partitions by an enum": ENUM_PARTITIONS,
    "event triggers": EVENT_TRIGGERS,
    "views on materialized views": VIEWS_ON_VIEWS,
    "foreign keys in a circle": CIRCLE,
    "publications": "CREATE TABLE p (a int PRIMARY KEY); CREATE PUBLICATION one FOR TABLE p;"
    "CREATE PUBLICATION every FOR ALL TABLES WITH (publish = 'insert')",
    "an extension's own rows": "CREATE EXTENSION pgsnap_demo",
}


@pytest.fixture
def made(cluster: Cluster) -> Iterator[list[str]]:
    """The names of databases that a test made: dropped after it, with all that a restore kept."""
    names: list[str] = []
    yield names
    for name in names:
        cluster.drop_database(name)
    for name in databases_like(Database(cluster, "postgres"), "%\\_\\_snap\\_%"):
        cluster.drop_database(name)


def create(cluster: Cluster, made: list[str], name: str, options: str) -> Database:
    made.append(name)
    cluster.psql(f"CREATE DATABASE {ident(name)} TEMPLATE template0 {options}")
    return Database(cluster, name)


@pytest.mark.parametrize("case", ODD)
def test_an_odd_database_comes_back(repo: Repository, database: Database, case: str) -> None:
    database.psql(ODD[case])
    with round_trip(repo, database) as trip:
        assert trip.report.warnings == ()


def test_an_inherited_table_comes_back_with_the_columns_in_its_parents_order(
    repo: Repository, database: Database
) -> None:
    """pg_dump's own doing: what it writes for such a table says no more."""
    database.psql(
        "CREATE TABLE parent (a int, b text); CREATE TABLE child (b text, x int, a int);"
        "ALTER TABLE child INHERIT parent; INSERT INTO child VALUES ('b', 2, 3), ('c', 4, 5)"
    )
    server = server_of(database)
    snapshot = commit_database(repo, server)
    copy = Database(database.cluster, new_name("copy"))
    try:
        restore_now(repo, snapshot, server, RestoreOptions(to=copy.name))
        assert copy.psql("SELECT a, b, x FROM child") == database.psql("SELECT a, b, x FROM child")
        assert copy.psql("SELECT * FROM child LIMIT 1") == "3|b|2"
    finally:
        database.cluster.drop_database(copy.name)


NAMES = ["-x", "--help", "a=b 'c' \"d\" \\e 100% %s %41", "größe 数据", "ä" * 31 + "x", " "]


@pytest.mark.parametrize("name", NAMES)
def test_a_database_of_every_name_is_committed_restored_and_replaced(
    repo: Repository, cluster: Cluster, made: list[str], name: str
) -> None:
    database = create(cluster, made, name, "")
    database.psql("CREATE TABLE t AS SELECT g FROM generate_series(1, 100) g")
    server = server_of(database)
    report = commit(repo, PostgresSource(server), database=name, message="m", tags=["t"])
    before = database.dump()
    database.psql("DROP TABLE t")
    restored = restore_now(repo, report.snapshot_id, server)
    assert database.dump() == before
    assert restored.kept is not None
    assert resolve(repo, "t", database=name) == report.snapshot_id


def test_a_label_must_not_be_empty(repo: Repository, database: Database) -> None:
    with pytest.raises(UsageError):
        commit(repo, PostgresSource(server_of(database)), database="", message="m")


HIGH = b"\xff\xfe caf\xe9".decode("utf-8", "surrogateescape")
RAW_NAMES = (
    "SET client_encoding = SQL_ASCII;"
    f'CREATE SCHEMA "s{HIGH}"; CREATE TABLE "s{HIGH}"."t{HIGH}" ("c{HIGH}" text);'
    f"INSERT INTO \"s{HIGH}\".\"t{HIGH}\" VALUES ('{HIGH}'), (E'\\200\\n');"
    f'COMMENT ON TABLE "s{HIGH}"."t{HIGH}" IS \'{HIGH}\''
)


def test_bytes_that_are_no_text_come_back_also_in_names(
    repo: Repository, cluster: Cluster, made: list[str]
) -> None:
    options = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
    database = create(cluster, made, new_name("raw"), options)
    database.psql(RAW_NAMES)
    with round_trip(repo, database) as trip:
        names = [str(s.name) for s in repo.sections(repo.snapshot(trip.snapshot))]
        assert any(HIGH in name for name in names)


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1252", "EUC_JP", "KOI8R", "EUC_TW"])
def test_databases_of_other_encodings_come_back(
    repo: Repository, cluster: Cluster, made: list[str], encoding: str
) -> None:
    words = {"LATIN1": "grün", "WIN1252": "€ „x“", "EUC_JP": "日本語", "EUC_TW": "中文"}
    word = words.get(encoding, "Привет")
    options = f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
    database = create(cluster, made, new_name("encoded"), options)
    database.psql(
        f'CREATE TABLE "{word}" ("{word}" text); INSERT INTO "{word}" SELECT \'{word} \' || g'
        " FROM generate_series(1, 2000) g"
    )
    with round_trip(repo, database) as trip:
        names = {s.name.name for s in repo.sections(repo.snapshot(trip.snapshot))}
        # Python does not know what the bytes of EUC_TW say.
        assert (word in names) is (encoding != "EUC_TW")


def test_collations_and_databases_of_icu_come_back(
    repo: Repository, cluster: Cluster, made: list[str]
) -> None:
    icu = "SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'"
    if not cluster.psql(icu):
        pytest.skip(
            "this PostgreSQL has no ICU: run pytest with --pg-major=15 and Debian's package"
        )
    since_15 = "LOCALE_PROVIDER icu ICU_LOCALE 'de-AT'" if cluster.major >= 15 else ""
    database = create(cluster, made, new_name("icu"), f"{since_15} LOCALE 'C'")
    database.psql(
        "CREATE COLLATION numeric_order (provider = icu, locale = 'en-u-kn-true');"
        "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2',"
        " deterministic = false);"
        "CREATE TABLE words (a text COLLATE numeric_order PRIMARY KEY,"
        " b text COLLATE blind UNIQUE);"
        "INSERT INTO words SELECT 'w' || g, 'x' || g FROM generate_series(1, 2000) g"
    )
    with round_trip(repo, database) as trip:
        assert trip.report.warnings == ()


def test_databases_of_the_builtin_provider_come_back(
    repo: Repository, cluster: Cluster, made: list[str]
) -> None:
    if cluster.major < 17:
        pytest.skip("the builtin provider came with 17: run pytest with --pg-major=17")
    options = "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"
    database = create(cluster, made, new_name("builtin"), options)
    database.psql("CREATE TABLE t AS SELECT upper('ä') AS a")
    with round_trip(repo, database) as trip:
        locale = f"SELECT datlocprovider FROM pg_database WHERE datname = '{trip.copy.name}'"
        assert trip.copy.psql(locale) == "b"


def test_rows_hidden_by_row_security_are_never_left_out(
    repo: Repository, database: Database
) -> None:
    role = new_name("reader")
    database.psql(
        f"CREATE ROLE {role} LOGIN; GRANT pg_read_all_data TO {role};"
        "CREATE TABLE secret (a int); INSERT INTO secret VALUES (1);"
        "ALTER TABLE secret ENABLE ROW LEVEL SECURITY;"
        f"CREATE POLICY p ON secret USING (a > 1)"
    )
    try:
        with pytest.raises(DumpFailed) as caught:
            commit_database(repo, server_of(database, user=role))
        assert "secret" in caught.value.detail
        assert f"ALTER ROLE {role} BYPASSRLS" in caught.value.hint
        assert repo.newest(None) == []
    finally:
        database.psql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_an_index_that_cannot_be_made_again_is_named_and_the_live_database_untouched(
    repo: Repository, database: Database
) -> None:
    if database.cluster.major >= 17:
        pytest.skip("17 refuses such an index itself: run pytest with --pg-major=16")
    database.psql(
        "CREATE TABLE factors (k int, f int); INSERT INTO factors VALUES (1, 2);"
        "CREATE FUNCTION scaled(int) RETURNS int IMMUTABLE LANGUAGE sql AS"
        " 'SELECT $1 * f FROM factors LIMIT 1';"
        "CREATE TABLE t (a int); INSERT INTO t VALUES (1);"
        "CREATE INDEX by_scaled ON t (scaled(a))"
    )
    server = server_of(database)
    snapshot = commit_database(repo, server)
    before = database.dump()
    with pytest.raises(RestoreFailed) as caught:
        restore_now(repo, snapshot, server)
    told = f"{caught.value.message} {caught.value.detail}"
    assert 'relation "factors" does not exist' in told
    assert "in post-data: INDEX by_scaled" in told
    assert '"scaled"' in told
    assert "ALTER FUNCTION ... SET search_path" in caught.value.hint
    assert database.dump() == before
    assert databases_like(database, f"{database.name}%") == [database.name]


def test_what_holds_a_database_is_named_and_nothing_is_restored(
    repo: Repository, database: Database
) -> None:
    database.psql("CREATE TABLE t (a int)")
    server = server_of(database)
    snapshot = commit_database(repo, server)
    slot = new_name("slot")
    database.psql(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    database.psql(f"BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '{slot}'")
    try:
        # Neither is part of a dump; both forbid that the database gives its name away.
        assert commit_database(repo, server) != snapshot
        with pytest.raises(TargetRefused, match="2 reasons") as caught:
            restore_now(repo, snapshot, server)
        assert f"ROLLBACK PREPARED '{slot}'" in caught.value.hint
        assert f"pg_drop_replication_slot('{slot}')" in caught.value.hint
    finally:
        database.psql(f"ROLLBACK PREPARED '{slot}'")
        database.psql(f"SELECT pg_drop_replication_slot('{slot}')")


def test_marks_of_cycles_that_the_server_cannot_read_back_come_back(
    repo: Repository, database: Database
) -> None:
    def walk(marks: str) -> str:
        return (
            "WITH RECURSIVE r (a) AS (SELECT 1 UNION ALL SELECT a % 3 + 1 FROM r)"
            f" CYCLE a SET c {marks} USING p SELECT a, c::text AS c FROM r"
        )

    marks = {
        "letters": "TO 'y' DEFAULT 'n'",
        "days": "TO date '2020-01-01' DEFAULT NULL",
        "spans": "TO interval '1' DAY DEFAULT interval '2:03' HOUR TO MINUTE",
        "moods": "TO mood 'it''s' DEFAULT mood 'no'",
        "short": "TO varchar(2) 'abc' DEFAULT NULL",
        "slashes": r"TO E'\\' DEFAULT ''",
        "bits": "TO B'1' DEFAULT B'0'",
        "plain": "TO 1 DEFAULT 2",
    }
    database.psql("CREATE TYPE mood AS ENUM ('it''s', 'no'); CREATE TABLE t (a int, c text)")
    for name, each in marks.items():
        database.psql(f"CREATE VIEW {name} AS {walk(each)}")
    query = walk(marks["letters"])
    database.psql(
        f"CREATE MATERIALIZED VIEW kept AS {query};"
        f"CREATE RULE also AS ON DELETE TO t DO ALSO INSERT INTO t {query};"
        f"CREATE POLICY p ON t USING ('y' IN (SELECT q.c FROM ({query}) q));"
    )
    database.psql(f"CREATE FUNCTION f() RETURNS text BEGIN ATOMIC SELECT c FROM ({query}) q; END")
    expected = {name: database.psql(f"SELECT * FROM {name}") for name in (*marks, "kept")}
    with round_trip(repo, database) as trip:
        assert trip.report.warnings == ()
        for name, rows in expected.items():
            assert trip.copy.psql(f"SELECT * FROM {name}") == rows
