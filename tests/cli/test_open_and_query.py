"""`snap open` and `snap query`: a throw-away server with a snapshot, for a look into the past."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.workflows.throw_away.needed import read_besides
from support.documents import documentation
from support.restoring.clients import server_of
from support.running.commandline import CommandLine
from support.servers.databases import Database

pytestmark = pytest.mark.timeout(300)

SHOP = """
CREATE TABLE orders (id int PRIMARY KEY, total numeric(20,2), note json);
INSERT INTO orders VALUES (1, 12345678901234.50, '{"a": 1}'), (2, 2.00, NULL);
CREATE TABLE items (id int PRIMARY KEY, order_id int REFERENCES orders, "Odd, name" text);
INSERT INTO items SELECT n, 1, 'x' || n FROM generate_series(1, 30) n;
CREATE TABLE visits (day date, n int) PARTITION BY RANGE (day);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO visits VALUES ('2026-01-05', 7);
CREATE VIEW big AS SELECT o.* FROM orders o JOIN items i ON i.order_id = o.id;
CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql AS 'SELECT sum(n) FROM visits';
"""

OLD = """--
-- PostgreSQL database dump
--

-- Dumped from database version 12.3
-- Dumped by pg_dump version 12.3

SET client_encoding = 'UTF8';

--
-- PostgreSQL database dump complete
--

"""


@pytest.fixture
def shop(snap: CommandLine, database: Database, tmp_path: Path) -> Iterator[CommandLine]:
    database.psql(SHOP)
    snap.use_tools_of(database.cluster)
    snap.setenv("DATABASE_URL", database.dsn)
    snap.setenv("SNAP_PG_BINDIR", str(database.cluster.binaries.bindir))
    snap.ok("init")
    snap.ok("commit", "-m", "first", "--tag", "first")
    database.psql("DELETE FROM items; DELETE FROM orders; INSERT INTO orders VALUES (9, 9, NULL)")
    # Short, since a socket lies below it.
    temporary = Path(os.environ.get("TMPDIR", "/tmp")) / f"open-{os.getpid()}-{tmp_path.name[-6:]}"
    temporary.mkdir(mode=0o777)
    temporary.chmod(0o777)
    snap.setenv("TMPDIR", str(temporary))
    yield snap
    left = list(temporary.iterdir())
    assert not left
    temporary.rmdir()


def test_a_query_loads_the_tables_that_it_needs_and_prints_table_csv_or_json(
    shop: CommandLine,
) -> None:
    found = shop("query", "first", "select count(*) as n from items")
    assert (found.code, found.out.split()) == (0, ["n", "----", "30", "(1", "row)"]), found.err
    assert "loaded: public.items" in found.err

    rows = "select id, total, note from orders order by id -- all of them\n;"
    found = shop("query", "first", "--format", "csv", rows)
    assert found.out == 'id,total,note\n1,12345678901234.50,"{""a"": 1}"\n2,2.00,\n', found.err
    found = shop("query", "first", "--format", "json", rows)
    assert '"total":12345678901234.50' in found.out
    assert [row["note"] for row in json.loads(found.out)] == [{"a": 1}, None]

    # A view needs what it reads; a partitioned table its partitions; a function may need anything.
    found = shop("query", "first", "--json", "select count(*) from big")
    assert (found.json["rows"], found.err) == ([{"count": 30}], "")
    assert sorted(found.json["tables"]) == ["public.items", "public.orders"]
    named = documentation.fields(documentation.section("snap query"))
    assert [set(found.json)] == named
    found = shop("query", "first", "--json", 'select sum(n) from "visits"')
    assert found.json["rows"] == [{"sum": 7}]
    assert sorted(found.json["tables"]) == ["public.visits", "public.visits_1"]
    found = shop("query", "first", "select counted()")
    assert "all tables are loaded: function public.counted may read any of them" in found.err
    assert "7" in found.out.split()
    found = shop("query", "first", "--table", "items", "select count(*) from orders")
    assert "0" in found.out.split()


def test_wrong_queries_get_clear_errors_and_leave_nothing(shop: CommandLine) -> None:
    for words, code, message in (
        (("first", "select no from orders"), 30, 'the query failed: column "no" does not exist'),
        (("first", "delete from orders"), 30, "cannot execute DELETE in a read-only transaction"),
        (("first", " ; "), 2, "the query is empty"),
        (("first", "\\! true"), 2, "the query is a command of psql"),
        (("first", "select 1", "--table", "nope"), 20, "the snapshot has no table public.nope"),
        (("nope", "select 1"), 20, 'no snapshot is named "nope"'),
        (("first", "select 1", "--format", "xml"), 2, 'there is no format "xml"'),
    ):
        found = shop("query", *words)
        assert (found.code, message in found.err) == (code, True), found.err
    (shop.work / "old.sql").write_text(OLD)
    file = ("--file", "old.sql", "--database", "old")
    made = shop.ok("commit", *file, "-m", "old", "--json").json["id"]
    for more, message, hint in (
        ((), "no PostgreSQL 12 server on this host", "SNAP_PG_BINDIR"),
        (("--install",), "there is no PostgreSQL 12 for Linux on", "package manager"),
    ):
        old = shop("query", made, "select 1", "--json", *more).error
        assert (old["exit_code"], message in old["message"], hint in old["hint"]) == (
            30,
            True,
            True,
        )
    missing = shop("open", "first", "--", "no-such-program")
    assert (missing.code, "was not found" in missing.err) == (127, True)
    both = shop("open", "first", "--print-dsn", "--", "true")
    assert (both.code, both.out) == (2, "")


def test_open_runs_psql_or_a_command_read_only_unless_asked(shop: CommandLine) -> None:
    child = shop.popen("open", "first", "--table", "orders", stdin=subprocess.PIPE)
    text = "select count(*) from orders; select count(*) from items; delete from orders;\n"
    out, err = child.communicate(text, timeout=120)
    assert child.returncode == 0, err
    assert [line.strip() for line in out.splitlines() if line.strip().isdigit()] == ["2", "0"]
    assert "cannot execute DELETE in a read-only transaction" in err
    assert "default_transaction_read_only" in err
    assert "all other tables are there, and empty" in err

    count = 'psql -XAtc "delete from orders where id = 2 returning id" && echo $PGDATABASE; exit 7'
    found = shop("open", "first", "--writable", "--", "sh", "-c", count)
    assert (found.code, found.out.split()[0]) == (7, "2"), found.err
    asked = 'psql -XAtc "select count(*) from orders" "$DATABASE_URL"'
    found = shop("open", "first", "--tcp", "--", "sh", "-c", asked)
    assert (found.code, found.out) == (0, "2\n"), found.err


def test_a_plan_is_asked_for_in_a_session_that_cannot_write(database: Database) -> None:
    with server_of(database).connect() as session:
        read_besides(session, "SELECT 1; CREATE TABLE made ()", ())
        assert session.query("SELECT to_regclass('made')") == [(None,)]


def test_ctrl_c_and_kill_leave_no_server_and_no_folder(
    shop: CommandLine, database: Database
) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        child = shop.popen("open", "first", "--print-dsn", "--json", start_new_session=True)
        assert child.stdout is not None
        fields = ""
        while not fields.endswith("\n}\n") and (line := child.stdout.readline()):
            fields += line
        shown = json.loads(fields)
        assert [set(shown)] == documentation.fields(documentation.section("snap open"))
        dsn = shown["dsn"]
        psql = [database.cluster.binaries.program("psql"), "-XAtc", "select count(*) from items"]
        done = subprocess.run([*psql, dsn], capture_output=True, text=True, check=False)
        assert done.stdout == "30\n", done.stderr
        child.send_signal(number)
        code = child.wait(timeout=120)
        child.communicate()
        assert code == (-9 if number == signal.SIGKILL else 0)
        folder = Path(os.environ["TMPDIR"])
        deadline = time.monotonic() + 240
        while list(folder.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not list(folder.iterdir())
        gone = subprocess.run([*psql, dsn], capture_output=True, text=True, check=False)
        assert gone.returncode == 2


def test_a_snapshot_of_an_encrypted_remote_is_looked_into(
    shop: CommandLine, tmp_path: Path
) -> None:
    url = (tmp_path / "there").as_uri()
    (shop.work / "key").write_bytes(bytes(range(32)))
    (shop.work / "key").chmod(0o600)
    shop.ok("init", url, "--encrypt", "--key-file", "key")
    shop.ok("remote", "add", "offsite", url)
    with (shop.work / "snap.toml").open("a") as settings:
        settings.write('key_file = "key"\n')
    shop.ok("commit", "-m", "theirs", "--tag", "theirs", "--repo", url, "--key-file", "key")
    shop.ok("fetch")
    found = shop("query", "offsite/theirs", "--json", "select id from orders")
    assert (found.code, found.json["rows"]) == (0, [{"id": 9}]), found.err
    assert found.json["notices"][0] == "it is not in this repository, and so read from offsite"
