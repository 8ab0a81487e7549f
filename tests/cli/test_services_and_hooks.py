"""restore, undo, commit and gc with services, hooks, protection and parts of a database."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.documents import documentation
from support.restoring.clients import databases_like
from support.running.commandline import CommandLine
from support.running.installed import SNAP
from support.servers.databases import Database


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> Iterator[CommandLine]:
    """A snapshot "two" of two rows; there are three now."""
    snap.setenv("DATABASE_URL", database.dsn)
    snap.setenv("XDG_STATE_HOME", str(snap.folder / "state"))
    database.psql(
        "CREATE TABLE t (a int PRIMARY KEY, b int DEFAULT 7); INSERT INTO t VALUES (1), (2);"
        "CREATE TABLE u (a int REFERENCES t); INSERT INTO u VALUES (1)"
    )
    snap.ok("init")
    snap.ok("commit", "-m", "two rows", "--tag", "two")
    database.psql("INSERT INTO t VALUES (3)")
    yield snap
    for name in databases_like(database, f"{database.name}\\_%"):
        database.cluster.drop_database(name)


def configure(snap: CommandLine, text: str) -> None:
    (snap.work / "snap.toml").write_text(text)


def rows(database: Database, table: str = "t") -> str:
    return database.psql(f"SELECT count(*) FROM {table}").strip()


SERVICES = """
[services.app]
stop = "psql -X -A -t -c 'SELECT count(*) FROM t' >> log && rm app"
start = "psql -X -A -t -c 'SELECT count(*) FROM t' >> log && touch app"
running = "test -e app"
health = "test -e app"
timeout = "5s"
"""


def with_app(snap: CommandLine, database: Database) -> Path:
    """Configure a service that notes what the database holds when it is stopped and started."""
    bindir = database.cluster.binaries.bindir
    configure(snap, SERVICES.replace("psql ", f"{bindir}/psql -d '{database.dsn}' "))
    (snap.work / "app").touch()
    return snap.work / "log"


def test_a_service_is_stopped_before_the_swap_and_started_after_it(
    shop: CommandLine, database: Database
) -> None:
    log = with_app(shop, database)
    done = shop.ok("restore", "two", "--yes", "--no-safety-snapshot", "--json").json
    assert log.read_text().split() == ["3", "2"]
    assert [(one["name"], one["healthy"]) for one in done["services"]] == [("app", True)]
    shop.ok("undo", "--yes")
    assert log.read_text().split() == ["3", "2", "2", "3"]
    # A copy replaces nothing, so nothing is stopped for it.
    shop.ok("restore", "two", "--to", f"{database.name}_copy", "--yes")
    assert log.read_text().split() == ["3", "2", "2", "3"]
    assert (shop.work / "app").exists()


def test_a_service_that_stays_down_is_an_error_of_a_restore_that_was_done(
    shop: CommandLine, database: Database
) -> None:
    with_app(shop, database)
    text = (shop.work / "snap.toml").read_text()
    good = text
    configure(shop, text.replace("start = ", 'start = "exit 4" # '))
    failed = shop("restore", "two", "--yes", "--no-safety-snapshot")
    assert failed.code == 1
    assert "snap doctor --start-services" in failed.err
    assert rows(database) == "2"
    configure(shop, good)
    warned = shop("undo")
    assert "left stopped by an earlier run: app" in warned.err


def test_a_restore_killed_while_services_are_stopped_leaves_them_running(
    shop: CommandLine, database: Database
) -> None:
    with_app(shop, database)
    text = (shop.work / "snap.toml").read_text()
    configure(shop, text.replace("&& rm app", "&& rm app && kill -9 $(cat snap.pid)"))
    child = shop.popen("restore", "two", "--yes", "--no-safety-snapshot")
    (shop.work / "snap.pid").write_text(str(child.pid))
    assert child.wait(timeout=60) == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while not (shop.work / "app").exists() or list((shop.folder / "state").rglob("*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert rows(database) == "3"


def test_hooks_get_the_result_and_one_before_stops_it(
    shop: CommandLine, database: Database
) -> None:
    configure(
        shop,
        '[hooks]\nbefore_restore = "cat > before; exit 3"\nafter_restore = "cat > after"\n'
        'after_commit = "cat > after; exit 1"\nbefore_gc = "cat > before"\n',
    )
    refused = shop("restore", "two", "--yes", "--json")
    assert refused.code == 1
    assert refused.error["kind"] == "hook"
    assert rows(database) == "3"
    assert json.loads((shop.work / "before").read_text())["revision"] == "two"
    assert not (shop.work / "after").exists()
    done = shop.ok("commit", "-m", "three", "--json")
    told = json.loads((shop.work / "after").read_text())
    assert told["ok"]
    assert told["result"]["id"] == done.json["id"]
    assert "the hook after_commit failed with status 1" in done.err
    shop.ok("gc")
    assert json.loads((shop.work / "before").read_text())["hook"] == "before_gc"


def test_hooks_of_a_restore_run_around_it_and_only_when_it_was_agreed_to(
    shop: CommandLine, database: Database
) -> None:
    configure(
        shop,
        '[hooks]\nbefore_restore = "cat >> before"\nafter_restore = "cat > after"\n'
        '[services.app]\nstop = "exit 7"\nstart = "true"\n',
    )
    assert shop("restore", "nothing", "--yes").code == 20
    of_one = ("restore", "two", "--table", "t", "--replace")
    for declined in (("restore", "two"), (*of_one, "--cascade-check")):
        assert shop(*declined).code == 5
    assert shop(*of_one, "--yes").code == 40
    assert not (shop.work / "before").exists()
    assert not (shop.work / "after").exists()
    assert shop("restore", "two", "--yes", "--no-safety-snapshot").code == 1
    told = json.loads((shop.work / "after").read_text())
    assert (told["ok"], told["error"]["kind"]) == (False, "service")
    assert len((shop.work / "before").read_text().splitlines()) == 1
    configure(shop, f'[hooks]\nafter_restore = "cat > after; {SNAP} gc --lock-timeout 0s"\n')
    # The repository is let go of before it.
    done = shop.ok("restore", "two", "--yes", "--no-safety-snapshot")
    assert "warning" not in done.err
    assert json.loads((shop.work / "after").read_text())["result"]["snapshot"]


def test_a_protected_database_needs_to_be_meant(shop: CommandLine, database: Database) -> None:
    configure(shop, "protected = true\nsafety_snapshot = false\n")
    for arguments in (
        ("restore", "two"),
        ("restore", "two", "--table", "t", "--replace", "--cascade-check"),
        ("undo", "--discard"),
    ):
        refused = shop(*arguments, "--yes")
        assert refused.code == 40
        assert "--i-know" in refused.err
    assert rows(database) == "3"
    shop.ok("restore", "two", "--to", f"{database.name}_copy", "--yes")
    shop.ok("restore", "two", "--yes", "--i-know")
    assert shop("undo", "--yes").code == 40
    shop.ok("undo", "--yes", "--i-know")


def test_one_table_comes_back_beside_then_in_place_and_as_a_copy(
    shop: CommandLine, database: Database
) -> None:
    beside = shop.ok("restore", "two", "--table", "t", "--yes", "--json").json
    assert beside["tables"][0]["restored_as"] == "public.t__two"
    assert (rows(database), rows(database, "t__two")) == ("3", "2")
    assert shop("restore", "two", "--table", "t", "--yes").code == 40
    refused = shop("restore", "two", "--table", "t", "--replace", "--yes")
    assert "--cascade-check" in refused.err
    done = shop.ok(
        "restore", "two", "--table", "t", "--replace", "--cascade-check", "--yes", "--json"
    ).json
    assert rows(database) == "2"
    assert done["safety_snapshot"] is not None
    documented = documentation.fields(documentation.section("snap restore"))
    assert documentation.field_names(done) == documented[1]
    again = shop.ok(
        "restore", done["safety_snapshot"][:12], "--table", "public.t", "--replace",
        "--cascade-check", "--yes",
    )  # fmt: skip
    assert "DROP TABLE public.t__replaced_" in again.out
    assert rows(database) == "3"
    copy = Database(database.cluster, f"{database.name}_copy")
    shop.ok("restore", "two", "--table", "u", "--to", copy.name, "--yes")
    assert (rows(copy), rows(copy, "u")) == ("0", "1")
    assert shop("restore", "two", "--table", "v", "--to", "x", "--yes").code == 20
    for wrong in (
        ("--replace",),
        ("--table", "t", "--read-only"),
        ("--table", "t", "--no-owner"),
        ("--table", "t", "--to", "x", "--replace"),
    ):
        refused = shop("restore", "two", *wrong, "--yes", "--json")
        assert (refused.code, bool(refused.error["hint"])) == (2, True)


def test_a_snapshot_of_a_part_says_so_and_replaces_the_whole_only_if_meant(
    shop: CommandLine, database: Database
) -> None:
    database.psql("CREATE SCHEMA extra; CREATE TABLE extra.e (a int)")
    done = shop.ok(
        "commit", "-m", "part", "--exclude-table-data", "t", "--exclude-table-data", "public.u",
        "--tag", "part", "--json",
    ).json  # fmt: skip
    assert done["rows"] == 0
    assert shop.ok("show", "part", "--json").json["left_out"] == "the rows of t, public.u"
    assert "the rows of t" in shop.ok("show", "part").out
    shop.ok("diff", "part", "--exit-code")
    refused = shop("restore", "part", "--yes")
    assert refused.code == 40
    assert "--partial" in refused.err
    shop.ok("commit", "-m", "part", "--schema", "extra", "--tag", "extra")
    copy = f"{database.name}_extra"
    shop.ok("restore", "extra", "--to", copy, "--yes")
    assert Database(database.cluster, copy).psql("SELECT to_regclass('public.t')") == ""
    shop.ok("restore", "extra", "--partial", "--yes")
    assert database.psql("SELECT to_regclass('public.t')") == ""
    assert shop("commit", "-m", "x", "--file", "-", "--schema", "extra").code == 2


def test_a_copy_belongs_to_who_makes_it_and_grants_nothing(
    shop: CommandLine, database: Database
) -> None:
    role = f"owner_{database.name}"
    database.psql(
        f"CREATE ROLE {role}; ALTER TABLE t OWNER TO {role}; GRANT SELECT ON u TO {role};"
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$ SELECT '\n"
        "ALTER TABLE public.t OWNER TO nobody;'::text $$;"
        f"ALTER FUNCTION f() OWNER TO {role}; SELECT lo_from_bytea(7, 'x');"
        f"ALTER LARGE OBJECT 7 OWNER TO {role}"
    )
    shop.ok("commit", "-m", "owned", "--tag", "owned")
    database.psql(f"REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}")
    copy = Database(database.cluster, f"{database.name}_copy")
    assert role in shop("restore", "owned", "--to", copy.name, "--yes").err
    shop.ok("restore", "owned", "--to", copy.name, "--yes", "--no-owner", "--no-acl")
    dump = copy.dump().decode()
    assert role not in dump
    assert "OWNER TO nobody;'::text" in dump
    assert rows(copy) == "3"
    assert shop("restore", "owned", "--no-owner", "--yes").code == 2
