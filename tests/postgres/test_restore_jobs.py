"""Tables, indexes and foreign keys that several psql load side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.errors import CorruptionError, RestoreFailed
from pgsnap.repository.repository import Repository
from pgsnap.targets.load.feeder import Feeder
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from support.dumps.round_trips import round_trip, without_volatile
from support.restoring.clients import commit_database, databases_like, restore_now, server_of
from support.servers.databases import Database, new_name

# Two tables that refer to each other, and one that both refer to; partitions; names to be quoted;
# rows of very different lengths; comments on indexes and constraints; an index with a setting.
SCHEMA = """
CREATE TABLE "Kun; de" (id int PRIMARY KEY, "na me" text, UNIQUE ("na me", id));
INSERT INTO "Kun; de" SELECT i, repeat('k', hashint4(i) & 1023) FROM generate_series(1, 3000) i;
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES "Kun; de", last_item int);
INSERT INTO orders SELECT i, 1 + i % 3000, NULL FROM generate_series(1, 5000) i;
CREATE TABLE items (id int PRIMARY KEY, orders int NOT NULL REFERENCES orders, customer int
    REFERENCES "Kun; de", up int REFERENCES items, words text);
INSERT INTO items SELECT i, 1 + i % 5000, 1 + i % 3000, nullif(i / 2, 0),
    repeat('w', hashint4(i) & 255) FROM generate_series(1, 9000) i;
UPDATE orders SET last_item = id;
ALTER TABLE orders ADD CONSTRAINT last_item FOREIGN KEY (last_item) REFERENCES items DEFERRABLE;
CREATE INDEX ON items (customer); CREATE INDEX words ON items ((upper(words)));
CREATE INDEX ON items (orders) WHERE id % 2 = 0; CREATE UNIQUE INDEX ON items (id, orders);
ALTER TABLE items CLUSTER ON words; ALTER INDEX words ALTER COLUMN 1 SET STATISTICS 500;
COMMENT ON INDEX words IS 'by words'; COMMENT ON CONSTRAINT last_item ON orders IS 'the last';
ALTER TABLE items REPLICA IDENTITY USING INDEX items_id_orders_idx;
CREATE TABLE parts (id int, day date, customer int REFERENCES "Kun; de", PRIMARY KEY (id, day))
    PARTITION BY RANGE (day);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-07-01');
CREATE TABLE parts_b PARTITION OF parts FOR VALUES FROM ('2026-07-01') TO ('2027-01-01');
INSERT INTO parts SELECT i, '2026-01-01'::date + i % 360, 1 + i % 3000
    FROM generate_series(1, 4000) i;
CREATE INDEX ON parts (customer);
CREATE TABLE of_parts (id int, day date, FOREIGN KEY (id, day) REFERENCES parts);
INSERT INTO of_parts SELECT id, day FROM parts;
CREATE MATERIALIZED VIEW summed AS SELECT customer, count(*) FROM items GROUP BY 1;
CREATE UNIQUE INDEX ON summed (customer);
CREATE SEQUENCE numbers; SELECT setval('numbers', 77);
"""


@pytest.fixture(autouse=True)
def aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load every table aside that can be at all."""
    monkeypatch.setattr("pgsnap.workflows.restore.aside.ASIDE_BYTES_MIN", 1)


@pytest.fixture
def filled(database: Database) -> Database:
    database.psql(SCHEMA)
    return database


def leftovers(database: Database) -> list[str]:
    return databases_like(database, f"{database.name}%snap%")


@pytest.mark.parametrize("jobs", [2, 7])
def test_a_restore_with_jobs_gives_the_same_dump(
    repo: Repository, filled: Database, jobs: int
) -> None:
    snapshot = commit_database(repo, server_of(filled))
    copy = Database(filled.cluster, new_name("copy"))
    report = restore_now(repo, snapshot, server_of(filled), RestoreOptions(to=copy.name, jobs=jobs))
    try:
        assert report.rows == repo.snapshot(snapshot).rows
        assert report.warnings == ()
        assert without_volatile(copy.dump()) == without_volatile(filled.dump())
    finally:
        filled.cluster.drop_database(copy.name)


def test_the_sample_comes_back_through_several_psql(
    repo: Repository, sample_database: Database
) -> None:
    with round_trip(repo, sample_database) as trip:
        assert trip.report.warnings == ()


def test_statistics_are_gathered_over_several_connections(
    repo: Repository, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgsnap.targets.load.analyzing._PAGES_MIN", 1)
    monkeypatch.setattr("pgsnap.targets.load.analyzing._SINGLE", 3)
    server = server_of(filled)
    snapshot = commit_database(repo, server)
    restore_now(repo, snapshot, server, RestoreOptions(jobs=3))
    gathered = (
        "SELECT DISTINCT schemaname, tablename, attname, inherited FROM pg_stats"
        " WHERE schemaname <> 'pg_catalog' ORDER BY 1, 2, 3, 4"
    )
    found = filled.psql(gathered)
    assert {"summed", "items", "parts", "parts_a", "words"} <= {
        line.split("|")[1] for line in found.splitlines()
    }
    filled.psql("ANALYZE")
    assert filled.psql(gathered) == found
    # A function that fails in one connection fails the restore, and leaves nothing behind.
    filled.psql(
        "CREATE FUNCTION bad(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN IF"
        " current_setting('role') = 'none' AND current_query() LIKE 'ANALYZE%' THEN"
        " RAISE 'not now'; END IF; RETURN $1; END $$; CREATE INDEX ON items (bad(id))"
    )
    snapshot = commit_database(repo, server)
    with pytest.raises(RestoreFailed, match="not now"):
        restore_now(repo, snapshot, server, RestoreOptions(jobs=3, discard_old=True))
    assert len(leftovers(filled)) == 1


def test_rows_are_frozen_and_their_pages_all_visible(repo: Repository, filled: Database) -> None:
    filled.psql("CREATE EXTENSION pg_visibility")
    snapshot = commit_database(repo, server_of(filled))
    report = restore_now(repo, snapshot, server_of(filled), RestoreOptions(analyze=False))
    assert report.kept is not None
    filled.cluster.drop_database(report.kept)
    for table in ("items", "parts_a"):
        seen = f"SELECT count(*) FROM pg_visibility_map('{table}') WHERE NOT all_frozen"
        assert filled.psql(seen).strip() == "0"


def test_one_psql_reads_the_stream_and_each_job_has_one(
    repo: Repository, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Feeder] = []
    made = Feeder.__init__

    def counted(self: Feeder, *args: object, **kwargs: object) -> None:
        started.append(self)
        made(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Feeder, "__init__", counted)
    snapshot = commit_database(repo, server_of(filled))
    plan = plan_restore(repo, snapshot, server_of(filled), RestoreOptions(jobs=1))
    assert plan.jobs == 1
    for jobs, number in ((1, 1), (3, 4)):
        started.clear()
        report = restore_now(repo, snapshot, server_of(filled), RestoreOptions(jobs=jobs))
        assert report.kept is not None
        filled.cluster.drop_database(report.kept)
        assert len(started) == number


# -- faults ----------------------------------------------------------------------------------------


def test_a_damaged_table_stops_all_and_leaves_the_live_database_alone(
    repo: Repository, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = commit_database(repo, server_of(filled))
    from pgsnap.repository.chunks import stream

    real = stream._one_section

    def damaged(section, check, parts):  # type: ignore[no-untyped-def]
        events = real(section, check, parts)
        if section.name.name == "items":
            yield next(events)
            raise CorruptionError("chunk 0123 is damaged")
        yield from events

    monkeypatch.setattr(stream, "_one_section", damaged)
    filled.psql("INSERT INTO orders VALUES (9999)")
    with pytest.raises(CorruptionError, match="chunk 0123"):
        restore_now(repo, snapshot, server_of(filled))
    assert filled.psql("SELECT count(*) FROM orders").strip() == "5001"
    assert leftovers(filled) == []


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ("INSERT INTO items SELECT * FROM items WHERE id = 5", "CONSTRAINT items items_pkey"),
        ("UPDATE items SET customer = -1 WHERE id = 7", "FK CONSTRAINT items items_customer_fkey"),
    ],
)
def test_a_broken_rule_is_named_with_its_entry(
    repo: Repository, filled: Database, spoil: str, told: str
) -> None:
    filled.psql(
        "ALTER TABLE orders DROP CONSTRAINT last_item; ALTER TABLE items DROP CONSTRAINT"
        " items_up_fkey; ALTER TABLE items DISABLE TRIGGER ALL; "
        "UPDATE pg_index SET indisunique = false, indimmediate = true WHERE indexrelid ="
        " 'items_pkey'::regclass; ALTER TABLE items REPLICA IDENTITY DEFAULT;"
        " DROP INDEX items_id_orders_idx;"
        f" {spoil};"
        " UPDATE pg_index SET indisunique = true WHERE indexrelid = 'items_pkey'::regclass;"
        " ALTER TABLE items ENABLE TRIGGER ALL"
    )
    snapshot = commit_database(repo, server_of(filled))
    with pytest.raises(RestoreFailed) as caught:
        restore_now(repo, snapshot, server_of(filled), RestoreOptions(to=new_name("copy"), jobs=3))
    assert told in caught.value.detail
    assert "line" not in caught.value.detail.split(".")[0]
    assert leftovers(filled) == []


def test_a_backend_that_is_ended_stops_all(repo: Repository, filled: Database) -> None:
    # Large enough to be loading for a while.
    filled.psql("CREATE TABLE large AS SELECT repeat('x', 500) FROM generate_series(1, 200000)")
    snapshot = commit_database(repo, server_of(filled))
    ended: list[str] = []

    def end_one() -> None:
        deadline = time.monotonic() + 60
        one = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE"
            " 'COPY public.large %' AND application_name LIKE 'snap%' AND datname LIKE '%snap%'"
        )
        while not ended and time.monotonic() < deadline:
            if "t" in filled.cluster.psql(one):
                ended.append("t")

    thread = threading.Thread(target=end_one)
    thread.start()
    try:
        with pytest.raises(RestoreFailed):
            restore_now(repo, snapshot, server_of(filled), RestoreOptions(jobs=2))
    finally:
        thread.join()
    assert ended
    assert leftovers(filled) == []


def test_fewer_connections_left_mean_fewer_jobs(repo: Repository, filled: Database) -> None:
    role = new_name("owner")
    filled.psql(
        f"CREATE ROLE {role} LOGIN CREATEDB CONNECTION LIMIT 5;"
        f"ALTER DATABASE {filled.name} OWNER TO {role}"
    )
    snapshot = commit_database(repo, server_of(filled))
    server = server_of(filled, user=role)
    assert plan_restore(repo, snapshot, server, RestoreOptions(jobs=8)).jobs == 2
    assert plan_restore(repo, snapshot, server_of(filled), RestoreOptions(jobs=8)).jobs == 8


def test_rows_of_a_role_switching_dump_stay_in_the_stream(
    repo: Repository, filled: Database, tmp_path: Path
) -> None:
    from support.restoring.clients import commit_file

    dump = filled.dump("--use-set-session-authorization")
    snapshot = commit_file(repo, tmp_path / "roles.sql", dump.decode())
    copy = Database(filled.cluster, new_name("copy"))
    restore_now(repo, snapshot, server_of(filled), RestoreOptions(to=copy.name, jobs=4))
    try:
        assert copy.psql("SELECT count(*) FROM items").strip() == "9000"
    finally:
        filled.cluster.drop_database(copy.name)


@pytest.fixture
def space(cluster: Cluster) -> Iterator[str]:
    name = new_name("space")
    cluster.psql(f"SET allow_in_place_tablespaces = on; CREATE TABLESPACE {name} LOCATION ''")
    yield name
    cluster.psql(f"DROP TABLESPACE {name}")


# -- what must not overtake what -------------------------------------------------------------------

# Its rows take a second to load.
SLOW = """
CREATE FUNCTION slow(int) RETURNS bool LANGUAGE plpgsql AS
    $$BEGIN PERFORM pg_sleep(0.25); RETURN true; END$$;
CREATE TABLE y (id int CHECK (slow(id)));
INSERT INTO y SELECT generate_series(1, 4);
"""


def restored_alike(repo: Repository, database: Database, **options: object) -> None:
    """Restore *database* beside itself, and compare the dumps."""
    snapshot = commit_database(repo, server_of(database))
    copy = Database(database.cluster, new_name("copy"))
    wanted = RestoreOptions(to=copy.name, jobs=3, **options)  # type: ignore[arg-type]
    report = restore_now(repo, snapshot, server_of(database), wanted)
    try:
        assert report.warnings == ()
        assert without_volatile(copy.dump()) == without_volatile(database.dump())
    finally:
        database.cluster.drop_database(copy.name)


def test_definitions_wait_for_the_rows_of_the_stream(repo: Repository, database: Database) -> None:
    database.psql(
        f"{SLOW} CREATE TABLE z (id int PRIMARY KEY); INSERT INTO z VALUES (1);"
        "CREATE TABLE a (z int, t text); CREATE TABLE b (z int PRIMARY KEY);"
        "INSERT INTO a SELECT 1, repeat('x', 900) FROM generate_series(1, 99);"
        "ALTER TABLE a ADD FOREIGN KEY (z) REFERENCES z;"
        "ALTER TABLE b ADD FOREIGN KEY (z) REFERENCES z"
    )
    restored_alike(repo, database)


def test_definitions_wait_for_a_definition_of_the_stream(
    repo: Repository, database: Database
) -> None:
    database.psql(
        f"{SLOW} CREATE TABLE z (id int PRIMARY KEY); INSERT INTO z VALUES (1);"
        "CREATE TABLE a (z int, t text); CREATE TABLE b (z int);"
        "INSERT INTO a SELECT 1, repeat('x', 900) FROM generate_series(1, 99);"
        "ALTER TABLE a ADD FOREIGN KEY (z) REFERENCES z;"
        "ALTER TABLE b ADD FOREIGN KEY (z) REFERENCES z"
    )
    restored_alike(repo, database)


def test_a_setting_holds_only_for_what_follows_it(
    repo: Repository, space: str, database: Database
) -> None:
    database.psql("CREATE TABLE t (id int, x int); CREATE TABLE u AS SELECT repeat('x', 99999) x")
    database.psql(
        f"ALTER TABLE t ADD CONSTRAINT one PRIMARY KEY (id) USING INDEX TABLESPACE {space};"
        "CREATE INDEX two ON t (x)"
    )
    restored_alike(repo, database)
    database.psql(
        f"CREATE INDEX three ON t (x) TABLESPACE {space}; CREATE INDEX four ON t (id);"
        f"CREATE INDEX five ON t (id, x) TABLESPACE {space};"
        f"CREATE TABLE v (id int PRIMARY KEY USING INDEX TABLESPACE {space});"
        "CREATE TABLE w (id int PRIMARY KEY)"
    )
    restored_alike(repo, database)


@pytest.mark.parametrize(
    "checked",
    [
        "c int CHECK (is_known(c))",
        "c known",
        "c known[]",
        "c holds_known",
        "c int, d bool GENERATED ALWAYS AS (is_known(c)) STORED",
    ],
)
def test_rows_whose_checks_read_other_tables_come_after_these(
    repo: Repository, database: Database, checked: str
) -> None:
    row = {"c known[]": "'{2}'::known[]", "c holds_known": "'(2)'::holds_known"}.get(checked, "2")
    database.psql(
        "CREATE TABLE a_looked_up (id int, t text);"
        "INSERT INTO a_looked_up SELECT i, md5(i::text) FROM generate_series(1, 200000) i;"
        "CREATE FUNCTION is_known(i int) RETURNS bool LANGUAGE plpgsql IMMUTABLE AS $$BEGIN"
        " IF NOT EXISTS (SELECT FROM public.a_looked_up WHERE id = i) THEN"
        " RAISE 'not known: %', i; END IF; RETURN true; END$$;"
        "CREATE DOMAIN known AS int CHECK (is_known(VALUE)); CREATE TYPE holds_known AS (k known);"
        f"CREATE TABLE b_checked ({checked});"
        f"INSERT INTO b_checked SELECT {row} FROM generate_series(1, 5);"
        f"CREATE TABLE c_checked ({checked}, t text);"
        f"INSERT INTO c_checked (c, t) SELECT {row}, repeat('y', 999) FROM generate_series(1, 50);"
    )
    restored_alike(repo, database)
