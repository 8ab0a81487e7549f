from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from pgsnap.repository.repository import Repository
from support.restoring.clients import databases_like
from support.running.commandline import CommandLine
from support.running.terminals import on_terminal
from support.servers.databases import Database


@pytest.fixture
def shop(snap: CommandLine, database: Database) -> Iterator[CommandLine]:
    """A snapshot of a database that was changed since."""
    snap.setenv("DATABASE_URL", database.dsn)
    database.psql("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)")
    snap.ok("init")
    snap.ok("commit", "-m", "two rows", "--tag", "two")
    database.psql("INSERT INTO t VALUES (3)")
    yield snap
    for name in databases_like(database, f"{database.name}%snap%"):
        database.cluster.drop_database(name)


def rows(database: Database) -> str:
    return database.psql("SELECT count(*) FROM t").strip()


def test_without_a_yes_the_plan_is_shown_and_nothing_is_done(
    shop: CommandLine, database: Database
) -> None:
    result = shop("restore", "two")
    assert result.code == 5
    assert result.out == ""
    for words in ("Replaces:", database.name, "Last saved:", "safety snapshot", "Space:"):
        assert words in result.err
    assert rows(database) == "3"
    assert shop("restore", "two", "--json").error["kind"] == "declined"


@pytest.mark.parametrize(
    ("answer", "code", "count"),
    [("y\nno", 5, "3"), ("", 5, "3"), ("NAME", 0, "2"), ("y\nYES\nNAME", 0, "2")],
)
def test_on_a_terminal_only_the_name_of_the_database_lets_it_go_on(
    shop: CommandLine, database: Database, answer: str, code: int, count: str
) -> None:
    answer = answer.replace("NAME", database.name)
    found, shown = on_terminal(shop, answer, "restore", "two")
    assert found == code, shown
    assert f"Restore to {database.name}? Type its name to go on:" in shown
    assert (f"Not y, its name, {database.name}:" in shown) == answer.startswith("y")
    assert rows(database) == count


def test_restore_and_undo_take_turns(shop: CommandLine, database: Database) -> None:
    done = shop.ok("restore", "two", "--yes", "--json").json
    assert rows(database) == "2"
    assert done["rows"] == 2
    tags = {tag["name"]: tag["snapshot"] for tag in shop.ok("tag", "--json").json}
    [safety] = [name for name in tags if name.startswith("before-restore/")]
    assert tags[safety] == done["safety_snapshot"]
    assert shop.ok("show", safety, "--json").json["rows"] == 3
    undone = shop.ok("undo", "--yes")
    assert rows(database) == "3"
    assert f"put back {database.name}" in undone.out
    assert "snap undo --discard" in undone.out
    shop.ok("undo", "--yes")
    assert rows(database) == "2"


def test_a_restore_of_what_a_restore_replaced_says_so(
    shop: CommandLine, database: Database
) -> None:
    shop.ok("restore", "two", "--yes")
    shop.ok("undo", "--discard", "--yes")
    # The newest snapshot is now the one that the restore took of what it replaced.
    again = shop.ok("restore", "latest", "--yes")
    assert "what an earlier restore or undo replaced (before-restore/" in again.err
    assert rows(database) == "3"


def test_what_the_plan_warns_of_is_told_with_json_too(
    shop: CommandLine, database: Database
) -> None:
    database.psql(f"ALTER DATABASE \"{database.name}\" SET work_mem = '5MB'")
    done = shop.ok("restore", "two", "--yes", "--no-safety-snapshot", "--json").json
    assert any("work_mem" in warning for warning in done["warnings"])


def on_screen(shown: str) -> list[str]:
    """Return the lines of a terminal's output without what was erased, and without styles."""
    left = [re.split("\x1b\\[2K|\r", line.rstrip("\r"))[-1] for line in shown.split("\n")]
    return [re.sub("\x1b\\[[?0-9;]*[a-zA-Z]", "", line) for line in left]


def test_neither_rows_nor_news_are_written_into_the_bar(shop: CommandLine) -> None:
    code, shown = on_terminal(shop, "", "diff", "two", "--table", "t", "--rows")
    assert (code, "━" in shown) == (0, True)
    assert "+ a=3" in on_screen(shown)
    (shop.work / "snap.toml").write_text('[services.app]\nstop = "true"\nstart = "true"\n')
    code, shown = on_terminal(shop, "", "restore", "two", "--yes")
    assert (code, "━" in shown) == (0, True)
    assert {"stopped app", "started app"} <= set(on_screen(shown))


def test_quiet_drops_news_and_keeps_warnings(shop: CommandLine, database: Database) -> None:
    database.psql(f"ALTER DATABASE \"{database.name}\" SET work_mem = '5MB'")
    done = shop.ok("restore", "two", "--yes", "--no-safety-snapshot", "--quiet")
    (line,) = done.err.splitlines()
    assert line.startswith("warning: ")
    assert "work_mem" in line
    folder = shop.work / "bin"
    folder.mkdir()
    for name in ("pg_dump", "pg_dumpall", "psql"):
        wrapper = folder / name
        wrapper.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] || echo "{name}: warning: odd" >&2\n'
            f'exec "{database.cluster.binaries.program(name)}" "$@"\n'
        )
        wrapper.chmod(0o755)
    toml = shop.work / "snap.toml"
    toml.write_text(f'{toml.read_text()}\nbindir = "bin"\n')
    quiet = shop.ok("commit", "-m", "x", "--quiet")
    assert quiet.err.splitlines() == ["pg_dump: warning: odd"]


def test_discard_asks_and_drops_the_kept_database(shop: CommandLine, database: Database) -> None:
    kept = shop.ok("restore", "two", "--yes", "--no-safety-snapshot", "--json").json["kept"]
    refused = shop("undo", "--discard")
    assert refused.code == 5
    assert kept in refused.err
    assert kept in shop.ok("undo", "--discard", "--yes").out
    again = shop("undo", "--discard", "--yes")
    assert again.code == 40


def test_a_third_copy_is_refused_and_discard_old_helps(
    shop: CommandLine, database: Database
) -> None:
    kept = shop.ok("restore", "two", "--yes", "--no-safety-snapshot", "--json").json["kept"]
    refused = shop("restore", "two", "--yes")
    assert refused.code == 40
    assert "--discard-old" in refused.err
    done = shop.ok("restore", "two", "--yes", "--discard-old", "--json").json
    assert done["discarded"] == [kept]


def test_safety_snapshots_can_be_turned_off_in_snap_toml(
    shop: CommandLine, database: Database
) -> None:
    (shop.work / "snap.toml").write_text("safety_snapshot = false\n")
    assert shop.ok("restore", "two", "--yes", "--json").json["safety_snapshot"] is None
    assert shop.ok("undo", "--yes", "--json").json["safety_snapshot"] is None


def test_restore_to_a_new_database_replaces_nothing(shop: CommandLine, database: Database) -> None:
    name = f"{database.name}__snap_copy"
    result = shop.ok("restore", "two", "--to", name, "--yes")
    assert result.out.splitlines()[-1].split("  ")[0].endswith(f"to {name}")
    assert Database(database.cluster, name).psql("SELECT count(*) FROM t").strip() == "2"
    assert rows(database) == "3"


def test_a_bar_shows_progress_on_a_terminal_only(shop: CommandLine, database: Database) -> None:
    code, shown = on_terminal(shop, "", "commit", "-m", "x")
    assert code == 0
    assert "\x1b[" in shown
    database.psql("INSERT INTO t VALUES (4)")
    plain = shop.ok("commit", "-m", "x")
    assert plain.err.startswith("commit ")
    assert len(plain.err.splitlines()) == 1
    assert "\x1b[" not in plain.err
    code, shown = on_terminal(shop, "", "commit", "-m", "x", "--no-progress")
    assert "\x1b[?25l" not in shown


def test_the_psql_client_does_what_psycopg_does(shop: CommandLine, database: Database) -> None:
    (shop.work / "snap.toml").write_text('client = "psql"\n')
    shop.ok("restore", "two", "--yes")
    assert rows(database) == "2"


def test_cat_warns_when_it_writes_to_a_terminal(shop: CommandLine, database: Database) -> None:
    code, shown = on_terminal(shop, "", "cat", "two")
    assert code == 0
    assert "warning: the dump goes to the terminal" in shown


def test_globals_come_with_masked_verifiers_unless_asked_for(
    shop: CommandLine, database: Database
) -> None:
    role = f"{database.name}_role"
    odd = f"{role[:-4]} PASSWORD '"
    database.psql(
        f"CREATE ROLE {role} LOGIN PASSWORD 'very-secret'; CREATE ROLE \"{odd}\" PASSWORD 'x';"
        f"COMMENT ON ROLE \"{odd}\" IS 'its PASSWORD '''"
    )
    try:
        shop.ok("commit", "-m", "with a role")
        masked = shop.ok("cat", "latest", "--section", "globals").out
        shown = shop.ok("cat", "latest", "--section", "globals", "--with-secrets").out
    finally:
        database.psql(f'DROP ROLE {role}, "{odd}"')
    assert f"CREATE ROLE {role};" in masked
    assert f"COMMENT ON ROLE \"{odd}\" IS 'its PASSWORD ''';" in masked
    assert "SCRAM-SHA-256" not in masked
    assert "SCRAM-SHA-256" in shown
    assert role not in shop.ok("cat", "latest").out


def test_after_a_wrong_clock_latest_is_what_was_committed_last(
    shop: CommandLine, database: Database
) -> None:
    path = shop.work / "database" / "backups"
    with Repository.open(path) as repo:
        [two] = repo.newest(None)
        known = repo.snapshot(two)
        wrong, _ = repo.publish(
            replace(known, time=known.time + timedelta(days=3650), parent=two, wished_tags=())
        )
    told = shop.ok("commit", "-m", "three rows", "--tag", "three")
    assert f"snap forget {wrong.hex()[:12]}" in told.err
    for remedy in (shop("log").out, shop("log", "--oneline").err, shop("check").out):
        assert f"snap forget {wrong.hex()[:12]}" in remedy
    assert f"snap forget {wrong.hex()[:12]}" in shop("doctor").out
    database.psql("DELETE FROM t")
    plan = shop("restore", "latest").err
    assert "three rows" in plan
    shop.ok("restore", "latest", "--yes")
    assert rows(database) == "3"
    # What it replaced is the newest now, and no drill of what was wanted.
    safety = shop.ok("show", "latest", "--json").json
    assert [tag.startswith("before-restore/") for tag in safety["tags"]] == [True]
    three = shop.ok("show", "three", "--json").json["id"]
    assert shop.ok("diff", "--json").json["before"]["id"] == three
    shop.ok("forget", wrong.hex()[:12])
    assert "dated" not in shop("check").out


@pytest.mark.parametrize(
    "given",
    [
        *(["--partial"], ["--no-acl"], ["--create-roles"], ["--read-only"], ["--discard-old"]),
        *(["--trust-sql"], ["--no-analyze"], ["--jobs", "2"], ["--any-order"], ["--load"]),
    ],
)
@pytest.mark.parametrize("instead", [["--table", "public.t"], ["--changed-only"]])
def test_what_is_about_a_load_of_a_whole_database_is_refused_without_one(
    snap: CommandLine, given: list[str], instead: list[str]
) -> None:
    result = snap("restore", "two", *instead, *given)
    assert result.code == 2
    assert given[0] in result.err
    assert "Leave " in result.err


@pytest.mark.parametrize("given", ["--any-order", "--load", "--read-only", "--discard-old"])
def test_what_warm_copies_are_not_made_with_is_refused(snap: CommandLine, given: str) -> None:
    result = snap("restore", "two", "--warm", given)
    assert result.code == 2
    assert f"{given} is about a restore, and --warm replaces nothing" in result.err
