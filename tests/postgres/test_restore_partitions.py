"""A partitioned table comes back with its partitions, and tables of several schemas together."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from pgsnap.cli.views.tables import tables_fields, tables_lines, tables_plan_lines
from pgsnap.errors import TargetRefused
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.workflows.contents.table_names import parse_tables
from pgsnap.workflows.restore.plan import RestoreOptions
from pgsnap.workflows.restore_tables.chosen import TableOptions
from pgsnap.workflows.restore_tables.plan import TablesPlan, plan_tables
from pgsnap.workflows.restore_tables.restore import TablesReport, restore_tables
from support.restoring.clients import commit_database, restore_now, server_of
from support.servers.databases import Database

# Names as long as those of real partitions: with an ending they have to be cut.
EVENTS = r"""
CREATE SCHEMA log;
CREATE SCHEMA old;
CREATE FUNCTION log.seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE log.kinds (id int PRIMARY KEY);
INSERT INTO log.kinds VALUES (1), (2);
CREATE TABLE log.events (
    id bigserial,
    at date NOT NULL,
    kind int REFERENCES log.kinds,
    note text DEFAULT 'log.events' CHECK (note <> ''),
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE TABLE old.application_event_log_of_the_shop_partition_2024_01 PARTITION OF log.events
    FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE log.application_event_log_of_the_shop_partition_2024_02 PARTITION OF log.events
    FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') PARTITION BY RANGE (at);
CREATE TABLE log.application_event_log_of_the_shop_partition_2024_02_1
    PARTITION OF log.application_event_log_of_the_shop_partition_2024_02 DEFAULT;
CREATE TABLE log.events_rest PARTITION OF log.events DEFAULT;
CREATE INDEX events_note ON log.events (note);
CREATE INDEX only_rest ON log.events_rest (kind) WHERE kind = 2;
CREATE STATISTICS log.of_events ON id, kind FROM log.events;
CREATE STATISTICS old.of_rest ON id, kind FROM log.events_rest;
CREATE TRIGGER seen AFTER INSERT ON log.events FOR EACH ROW EXECUTE FUNCTION log.seen();
ALTER TABLE log.events_rest DISABLE TRIGGER seen;
COMMENT ON TABLE log.events_rest IS 'the others';
INSERT INTO log.events (at, kind) SELECT date '2024-01-01' + g, 1 + g / 60
    FROM generate_series(0, 99) g;
CREATE TABLE log.about (event bigint, at date, FOREIGN KEY (event, at) REFERENCES log.events);
INSERT INTO log.about VALUES (1, '2024-01-01');
CREATE VIEW log.newest AS SELECT max(id) FROM log.events;
CREATE VIEW log.others AS SELECT count(*) FROM log.events_rest;
CREATE TABLE old.kinds (id serial PRIMARY KEY, a int, b int);
CREATE STATISTICS old.of_kinds ON a, b FROM old.kinds;
INSERT INTO old.kinds (a) VALUES (7);
"""


@pytest.fixture
def events(repo: Repository, database: Database) -> SnapshotId:
    database.psql(EVENTS)
    return commit_database(repo, server_of(database))


def again(
    repo: Repository, snapshot: SnapshotId, database: Database, *names: str, replace: bool = False
) -> tuple[TablesPlan, TablesReport]:
    options = TableOptions(parse_tables(list(names)), "was", replace, check_keys=True)
    server = server_of(database)
    plan = plan_tables(repo, snapshot, server, options, datetime.now(UTC))
    return plan, restore_tables(repo, plan, server)


def lines_of(dump: bytes) -> Counter[bytes]:
    """The lines of a dump but for the empty ones and comments: entries may be in another order."""
    return Counter(line for line in dump.splitlines() if line and not line.startswith(b"--"))


def partitions(database: Database, table: str) -> list[str]:
    found = database.psql(
        f"SELECT relid FROM pg_partition_tree('{table}') WHERE level > 0 ORDER BY level, 1::text"
    )
    return found.splitlines()


def test_a_partitioned_table_comes_back_beside_the_live_one_with_its_partitions(
    repo: Repository, database: Database, events: SnapshotId
) -> None:
    before = database.dump()
    plan, report = again(repo, events, database, "log.events")
    assert report.rows == 100
    assert len(report.tables) == 5
    assert len(plan.partitions(plan.tables[0])) == 4
    made = partitions(database, "log.events__was")
    assert len(made) == 4
    assert all(name.endswith("__was") for name in made)
    assert len(partitions(database, "log.events")) == 4
    assert database.psql("SELECT count(*) FROM log.events__was") == "100"
    # The index of the whole has one of each partition, and none of the live ones.
    assert database.psql("SELECT indisvalid FROM pg_index WHERE indrelid = 'log.events__was'"
                         "::regclass").split() == ["t", "t"]  # fmt: skip
    database.psql("INSERT INTO log.events__was (at, kind) VALUES ('2025-01-01', 1)")
    assert database.psql("SELECT max(id) FROM log.events__was") == "101"
    assert database.psql("SELECT last_value FROM log.events_id_seq") == "100"
    assert database.psql("SELECT tgenabled FROM pg_trigger WHERE tgname = 'seen' AND tgrelid ="
                         " 'log.events_rest__was'::regclass") == "D"  # fmt: skip
    database.psql("DROP TABLE log.events__was")
    assert database.dump() == before


def test_a_replaced_partitioned_table_is_whole_and_the_old_one_is_kept_whole(
    repo: Repository, database: Database, events: SnapshotId
) -> None:
    before = database.dump()
    database.psql(
        "TRUNCATE log.about; DELETE FROM log.events WHERE id BETWEEN 2 AND 90;"
        " ALTER TABLE log.events DETACH PARTITION"
        " old.application_event_log_of_the_shop_partition_2024_01;"
        " DROP TABLE old.application_event_log_of_the_shop_partition_2024_01;"
        " CREATE TABLE log.events_2026 PARTITION OF log.events"
        " FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');"
        " INSERT INTO log.events (at, kind) VALUES ('2026-05-05', 1)"
    )
    plan, report = again(repo, events, database, "log.events", replace=True)
    assert report.rows == 100
    kept = report.tables[0].kept
    assert kept is not None
    assert [left.live.name for left in plan.aside] == [("log", "events_2026")]
    lines = tables_plan_lines(
        plan, repo.snapshot(events), with_safety=False, services=(), now=datetime.now(UTC)
    )
    text = " ".join(" ".join(lines).split())
    assert "Makes: log.events (100 rows, " in text
    assert ", 4 partitions)" in text
    assert "partitions that the snapshot lacks, as log.events_2026__replaced_" in text
    assert "Makes again: log.newest, log.others" in text
    made = [line for line in tables_lines(report) if line.startswith(("made ", "the replaced"))]
    assert made == [
        f"the replaced table is kept as log.{kept[1]}",
        "made log.events  100 rows in 4 partitions",
    ]
    (left,) = tables_fields(report)["set_aside"]
    assert left["table"] == "log.events_2026"
    assert f"which the snapshot lacks, is kept as {left['kept']}" in "".join(tables_lines(report))
    held = partitions(database, f"log.{kept[1]}")
    assert left["kept"] in held
    assert len(held) == 4
    assert all("__replaced_" in name for name in held)
    assert database.psql(f"SELECT count(*) FROM log.{kept[1]}") == "11"
    assert database.psql("SELECT * FROM log.newest, log.others") == "100|40"
    database.psql(f"DROP TABLE log.{kept[1]}; INSERT INTO log.about VALUES (1, '2024-01-01')")
    now, was = lines_of(database.dump()), lines_of(before)
    assert (now - was, was - now) == ({}, {})


def test_a_view_of_a_partition_that_the_snapshot_lacks_forbids_it(
    repo: Repository, database: Database, events: SnapshotId
) -> None:
    database.psql(
        "CREATE TABLE log.events_2026 PARTITION OF log.events FOR VALUES FROM ('2026-01-01') TO"
        " ('2027-01-01'); CREATE VIEW log.of_2026 AS SELECT * FROM log.events_2026"
    )
    before = database.dump()
    with pytest.raises(TargetRefused, match=r"no partition log.events_2026.*log.of_2026"):
        again(repo, events, database, "log.events", replace=True)
    assert database.dump() == before


def test_a_partition_alone_has_not_got_the_triggers_of_the_table_above_it(
    repo: Repository, database: Database
) -> None:
    database.psql(
        "CREATE TABLE top (id int, k int) PARTITION BY LIST (k);"
        " CREATE TABLE mid PARTITION OF top FOR VALUES IN (1) PARTITION BY LIST (id);"
        " CREATE TABLE low PARTITION OF mid FOR VALUES IN (1);"
        " CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
        ' CREATE TRIGGER "above; it" BEFORE INSERT ON top FOR EACH ROW EXECUTE FUNCTION f();'
        " CREATE TRIGGER here BEFORE INSERT ON mid FOR EACH ROW EXECUTE FUNCTION f();"
        ' ALTER TABLE low DISABLE TRIGGER "above; it"; ALTER TABLE low DISABLE TRIGGER here'
    )
    snapshot = commit_database(repo, server_of(database))
    again(repo, snapshot, database, "mid")
    assert database.psql(
        "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'low__was'::regclass"
    ) == "here|D"  # fmt: skip
    before = lines_of(database.dump())
    _, report = again(repo, snapshot, database, "top", replace=True)
    kept = report.tables[0].kept
    assert kept is not None
    database.psql(f"DROP TABLE {kept[1]}")
    assert lines_of(database.dump()) == before


def test_a_partition_alone_comes_back_as_a_table_of_its_own(
    repo: Repository, database: Database, events: SnapshotId
) -> None:
    before = database.dump()
    plan, _ = again(repo, events, database, "log.events_rest")
    assert any("is a partition" in warning for warning in plan.warnings)
    assert database.psql("SELECT count(*) FROM log.events_rest__was") == "40"
    assert len(partitions(database, "log.events")) == 4
    database.psql("DROP TABLE log.events_rest__was")
    assert database.dump() == before


def test_tables_of_the_same_name_in_two_schemas_are_replaced_together(
    repo: Repository, database: Database, events: SnapshotId
) -> None:
    before = database.dump()
    database.psql(
        "DELETE FROM old.kinds; UPDATE log.events SET kind = 1; DELETE FROM log.kinds WHERE id = 2;"
        " ALTER TABLE log.events DROP CONSTRAINT events_kind_fkey"
    )
    _, report = again(repo, events, database, "log.events", "log.kinds", "old.kinds", replace=True)
    for table in report.tables:
        if table.kept is not None:
            database.psql(f"DROP TABLE IF EXISTS {'.'.join(table.kept)}")
    now, was = lines_of(database.dump()), lines_of(before)
    assert (now - was, was - now) == ({}, {})
    assert database.psql(
        "SELECT stxname, stxnamespace::regnamespace FROM pg_statistic_ext ORDER BY 1"
    ) == "of_events|log\nof_kinds|old\nof_rest|old"  # fmt: skip


def test_a_table_that_became_a_partition_is_not_replaced(
    repo: Repository, database: Database
) -> None:
    database.psql("CREATE TABLE t (a int); CREATE TABLE u (LIKE t)")
    snapshot = commit_database(repo, server_of(database))
    database.psql(
        "CREATE TABLE whole (a int) PARTITION BY RANGE (a); ALTER TABLE whole ATTACH PARTITION t"
        " DEFAULT; CREATE TABLE above (a int); ALTER TABLE u INHERIT above"
    )
    for name, words in (("t", "a part of public.whole"), ("u", "a part of public.above")):
        with pytest.raises(TargetRefused, match=words):
            again(repo, snapshot, database, name, replace=True)


def test_with_to_the_rows_of_partitions_and_heirs_come_too(
    repo: Repository, database: Database, events: SnapshotId
) -> None:
    database.psql("CREATE TABLE above (a int); CREATE TABLE heir () INHERITS (above);"
                  " INSERT INTO above VALUES (1); INSERT INTO heir VALUES (2)")  # fmt: skip
    snapshot = commit_database(repo, server_of(database))
    with pytest.raises(TargetRefused, match="inherits from another table") as refused:
        again(repo, snapshot, database, "heir")
    assert f"snap restore {snapshot.hex()[:12]} --to NEW --table public.heir" in refused.value.hint
    plan = plan_tables(
        repo,
        snapshot,
        server_of(database),
        TableOptions((("public", "above"),), "was"),
        datetime.now(UTC),
    )
    assert any("public.heir" in warning for warning in plan.warnings)
    name = f"{database.name}_part"
    tables = parse_tables(["log.events", "above"])
    restore_now(repo, snapshot, server_of(database), RestoreOptions(to=name, tables=tables))
    try:
        copy = Database(database.cluster, name)
        assert copy.psql(
            "SELECT (SELECT count(*) FROM log.events), (SELECT sum(a) FROM above),"
            " (SELECT count(*) FROM log.kinds)"
        ) == "100|3|0"  # fmt: skip
    finally:
        database.cluster.drop_database(name)
