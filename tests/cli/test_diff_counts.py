"""What `snap diff` counts is what SQL says, between snapshots and against the live database."""

from __future__ import annotations

from typing import Any

from support.documents import documentation
from support.running.commandline import CommandLine
from support.servers.databases import Database

SCHEMA = """
CREATE TABLE keyed (id integer PRIMARY KEY, status text, note text);
INSERT INTO keyed SELECT n, 'new', repeat(md5(n::text), 4) FROM generate_series(1, 9000) n;
CREATE TABLE pair (b text, extra text, a integer, PRIMARY KEY (a, b));
INSERT INTO pair SELECT 'tab' || chr(9) || n % 7, NULL, n FROM generate_series(1, 500) n;
CREATE TABLE keyless (v text, w integer);
INSERT INTO keyless SELECT 'same', 1 FROM generate_series(1, 50);
INSERT INTO keyless SELECT NULL, n FROM generate_series(1, 50) n;
CREATE TABLE "Odd ""Name" ("Order No" serial PRIMARY KEY, data text);
INSERT INTO "Odd ""Name" (data)
    SELECT E'back\\\\slash\\nline\\ttab ' || n FROM generate_series(1, 30) n;
CREATE TABLE part (id integer, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE bare (id integer) PARTITION BY HASH (id);
INSERT INTO part SELECT n, date '2026-01-01' + n % 59 FROM generate_series(1, 1000) n;
CREATE TABLE wide (id integer PRIMARY KEY, body text);
INSERT INTO wide SELECT n, repeat(md5(n::text), 40000 * n) FROM generate_series(1, 4) n;
CREATE TABLE still (id integer PRIMARY KEY);
INSERT INTO still SELECT generate_series(1, 20000);
CREATE TABLE dropped AS SELECT generate_series(1, 10) AS n;
CREATE TABLE copied (id integer, status text, note text);
"""
CHANGES = """
CREATE TABLE before_keyed AS TABLE keyed;
UPDATE keyed SET status = 'paid' WHERE id % 100 = 3;
UPDATE keyed SET note = NULL WHERE id = 4711;
UPDATE keyed SET status = status WHERE id % 10 = 1;
DELETE FROM keyed WHERE id BETWEEN 50 AND 69;
INSERT INTO keyed VALUES (10001, 'new', '\\N'), (10002, NULL, 'a');
UPDATE pair SET extra = '' WHERE a <= 5;
DELETE FROM pair WHERE a = 500;
DELETE FROM keyless WHERE ctid IN (SELECT ctid FROM keyless WHERE v = 'same' LIMIT 3);
INSERT INTO keyless VALUES ('other', NULL), ('other', NULL), (NULL, 7);
UPDATE "Odd ""Name" SET data = data || '!' WHERE "Order No" = 3;
DELETE FROM part WHERE id = 1;
UPDATE part SET at = '2026-02-20' WHERE id = 2;
UPDATE wide SET body = body || 'x' WHERE id = 2;
DELETE FROM wide WHERE id = 1;
DROP TABLE dropped;
CREATE TABLE made AS SELECT generate_series(1, 12) AS n;
ALTER TABLE copied ADD COLUMN more integer;
DROP TABLE before_keyed;
"""
# Of each table: rows removed, added, changed.
EXPECTED = {
    "keyed": (20, 2, 91),
    "pair": (1, 0, 5),
    "keyless": (3, 3, 0),
    'Odd "Name': (0, 0, 1),
    # Row 2 moves to the other partition.
    "part_1": (2, 0, 0),
    "part_2": (0, 1, 0),
    "wide": (1, 0, 1),
    "dropped": (10, 0, 0),
    "made": (0, 12, 0),
    "copied": (0, 0, 0),
}


def counts(report: dict[str, Any]) -> dict[str, tuple[int, int, int]]:
    return {
        table["table"]: (table["removed"], table["added"], table["changed"])
        for table in report["tables"]
    }


def test_counts_are_what_was_done_in_sql(snap: CommandLine, database: Database) -> None:
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    database.psql(SCHEMA)
    snap.ok("commit", "-m", "before", "--tag", "one")
    assert snap.ok("diff", "one", "--json").json["differ"] is False
    assert snap.ok("diff", "one", "--exit-code").out.splitlines()[-1] == "no differences"
    database.psql(CHANGES)
    live = snap("diff", "one", "--json", "--exit-code")
    assert live.code == 3
    live_rows = snap.ok("diff", "one", "--table", "keyed", "--rows", "--limit", "0").out
    snap.ok("commit", "-m", "after")
    stored = snap("diff", "one", "latest", "--json", "--exit-code")
    assert stored.code == 3
    for report in (live.json, stored.json):
        assert counts(report) == EXPECTED
        assert report["unchanged_tables"] == 1
        [moved] = report["sequences"] or [{"name": None}]
        assert moved["name"] is None
        titles = {entry["title"]: entry["change"] for entry in report["definitions"]}
        assert titles["TABLE public.copied"] == "changed"
        assert titles["TABLE public.dropped"] == "dropped"
        assert titles["TABLE public.made"] == "added"
        redefined = {table["table"] for table in report["tables"] if table["schema_changed"]}
        assert redefined == {"copied", "dropped", "made"}
    assert live.json["tables"] == stored.json["tables"]
    assert snap.ok("diff", "one", "latest", "--table", "keyed", "--rows", "--limit", "0").out == (
        live_rows
    )
    _rows_are_paired(snap)


def _rows_are_paired(snap: CommandLine) -> None:
    shown = snap.ok("diff", "one", "latest", "--table", "public.keyed", "--rows", "--limit", "0")
    lines = shown.out.splitlines()
    assert "~ id=103: status: 'new' -> 'paid'" in lines
    assert "+ id=10001, status='new', note='\\N'" in lines
    assert "+ id=10002, status=NULL, note='a'" in lines
    assert len([line for line in lines if line.startswith("-")]) == 20
    pair = snap.ok("diff", "one", "latest", "--table", "pair", "--rows", "--json").json
    assert pair["key"] == ["a", "b"]
    assert ["tab\t5", None, "5"] in [row["before"] for row in pair["rows"]]
    assert ["tab\t5", "", "5"] in [row["after"] for row in pair["rows"]]
    odd = snap.ok("diff", "one", "latest", "--table", 'Odd "Name', "--rows").out
    assert odd.startswith("~ Order No=3: data: 'back\\slash\\nline\\ttab 3' -> ")
    wide = snap.ok("diff", "one", "latest", "--table", "wide", "--rows").out.splitlines()
    assert any(line.startswith("~ id=2: body: '...") for line in wide)
    schema = snap.ok("diff", "one", "latest", "--schema").out
    assert "+    more integer" in schema
    assert "status text" in schema
    assert "still" not in schema
    wrong = snap("diff", "one", "latest", "--table", "keyd", "--rows")
    assert wrong.code == 2
    assert "public.keyed" in wrong.err
    for side in ((), ("latest",)):
        wrong = snap("diff", "one", *side, "--table", "part", "--rows")
        assert wrong.code == 2
        words = " ".join(wrong.err.split())
        assert "the rows of public.part are in its partitions" in words
        assert "There are public.part_1, public.part_2." in words
        assert "--table public.part_1" in words
        empty = snap("diff", "one", *side, "--table", "public.bare", "--rows")
        assert (empty.code, "There are none with rows." in empty.err) == (2, True)
    assert pair["changed"] == 5
    limited = snap.ok("diff", "one", "latest", "--table", "keyed", "--rows", "--limit", "3").out
    assert limited.splitlines()[3] == "... and 110 more rows: --limit 0 shows all"
    _fields_are_documented(snap, pair)


def _fields_are_documented(snap: CommandLine, rows: dict[str, Any]) -> None:
    database = snap.ok("diff", "one", "latest", "--json").json
    # None of these is in this diff.
    database["sequences"] = [{"name": "", "before": 0, "after": 0}]
    schema = snap.ok("diff", "one", "latest", "--schema", "--json").json
    written = documentation.fields(documentation.section("snap diff"))
    assert [documentation.field_names(found) for found in (database, schema, rows)] == written


def test_a_rewritten_table_and_moved_sequences_are_told_apart_from_changed_rows(
    snap: CommandLine, sample_database: Database
) -> None:
    snap.setenv("DATABASE_URL", sample_database.dsn)
    snap.ok("init")
    sample_database.psql(
        "CREATE TABLE t (id integer PRIMARY KEY, v text);"
        "INSERT INTO t SELECT n, md5(n::text) FROM generate_series(1, 3000) n;"
        "CREATE SEQUENCE s; SELECT lo_from_bytea(4711, 'a')"
    )
    snap.ok("commit", "-m", "one")
    sample_database.psql(
        "UPDATE t SET v = v WHERE id % 3 = 0; SELECT setval('s', 41); CREATE ROLE diff_role;"
        "SELECT lo_put(4711, 0, 'b')"
    )
    snap.ok("commit", "-m", "two")
    report = snap.ok("diff", "latest~1", "latest", "--json").json
    sample_database.psql("DROP ROLE diff_role")
    [table] = report["tables"]
    assert (table["table"], table["state"]) == ("t", "reordered")
    assert report["sequences"] == [{"name": "shop.s", "before": 1, "after": 41}]
    assert report["large_objects_changed"]
    assert report["globals_changed"]


def test_what_pg_dump_complains_of_is_told_with_json_too(
    snap: CommandLine, database: Database
) -> None:
    role = f"reader_{database.name}"
    database.psql(
        f"CREATE ROLE {role} LOGIN; GRANT pg_read_all_data TO {role}; CREATE TABLE t (a int);"
        f"CREATE SUBSCRIPTION {role} CONNECTION 'dbname=x' PUBLICATION p"
        " WITH (connect = false, slot_name = NONE)"
    )
    snap.setenv("DATABASE_URL", database.cluster.dsn(database.name, user=role))
    snap.ok("init")
    assert "subscriptions" in str(snap.ok("commit", "-m", "one", "--json").json["notices"])
    for more in ((), ("--schema",), ("--table", "t", "--rows")):
        assert "subscriptions" in str(snap.ok("diff", "latest", *more, "--json").json["notices"])
        assert "pg_dump: " in snap.ok("diff", "latest", *more, "--quiet").err
    database.psql(f"DROP SUBSCRIPTION {role}; DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_diff_names_a_comment_that_changed(snap: CommandLine, database: Database) -> None:
    database.psql("CREATE TABLE u (a int); COMMENT ON TABLE u IS 'one'")
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    snap.ok("commit", "-m", "one")
    database.psql("COMMENT ON TABLE u IS 'two'")
    assert "definitions: COMMENT ON TABLE public.u (changed)" in snap.ok("diff", "latest").out
