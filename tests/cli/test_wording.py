"""Words that are right in the odd case too: one of something, an option of the wrong kind, a dump
without roles, two databases that are looked at alike."""

from __future__ import annotations

import json

import pytest

from support.dumps.texts import plain_dump
from support.running.commandline import CommandLine
from support.servers.databases import Database


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["log", "-n", "abc"], '--limit "abc" is not a whole number, 1 or more'),
        (["log", "--limit", "0"], '--limit "0" is not a whole number, 1 or more'),
        (["demo", "--scale", "x"], '--scale "x" is not a number from 0.01 to 100'),
        (["demo", "--scale", "101"], '--scale "101.0" is not a number from 0.01 to 100'),
    ],
)
def test_a_number_that_is_none_is_named_with_what_is_wanted(
    snap: CommandLine, arguments: list[str], message: str
) -> None:
    error = snap(*arguments, "--json").error
    assert (error["message"], error["exit_code"]) == (message, 2)


@pytest.mark.parametrize("arguments", [["--version", "--json"], ["log", "--json", "--version"]])
def test_the_version_is_an_object_with_json(snap: CommandLine, arguments: list[str]) -> None:
    found = snap.ok(*arguments).json
    assert snap.ok("--version").out == f"{found['program']} {found['version']}\n"


def test_a_dump_without_roles_says_nothing_about_them(
    snap: CommandLine, database: Database
) -> None:
    database.psql("CREATE TABLE t (a int)")
    snap.ok("init")
    snap.ok("commit", "-m", "one", "--dsn", database.dsn, "--database", "shop")
    (snap.work / "shop.sql").write_text(snap.ok("cat", "latest").out)
    again = snap.ok("commit", "-m", "two", "--file", "shop.sql", "--database", "shop")
    assert again.out.splitlines()[0] == "nothing changed"


def test_what_is_said_of_both_databases_is_said_once(snap: CommandLine, database: Database) -> None:
    role = f"{database.name}_restorer"
    sql = database.cluster.psql
    sql(f"CREATE ROLE {role} LOGIN CREATEDB; ALTER DATABASE {database.name} OWNER TO {role}")
    try:
        snap.setenv(
            "DATABASE_URL", f"{database.dsn}{'&' if '?' in database.dsn else '?'}user={role}"
        )
        snap.ok("init")
        snap.ok("commit", "-m", "one")
        snap.ok("restore", "latest", "--yes")
        shown = snap("undo")
        assert shown.code == 5
        assert shown.err.count("sessions of other roles") == 1
        snap.ok("undo", "--discard", "--yes")
    finally:
        sql(f"ALTER DATABASE {database.name} OWNER TO CURRENT_USER")
        sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_the_report_of_a_drill_can_be_moved_and_is_no_file_for_git(
    snap: CommandLine,
) -> None:
    (snap.work / ".git").mkdir()
    assert ".gitignore" in snap.ok("init").out
    assert (snap.work / ".gitignore").read_text() == "/rollback-test-report.json\n"
    (snap.work / "dump.sql").write_bytes(plain_dump(1))
    snap.ok("commit", "-m", "one", "--file", "dump.sql", "--database", "shop")
    with (snap.work / "snap.toml").open("a") as file:
        file.write('[drill]\nreport = "database/drill.json"\n')
    snap("drill", "--dry-run", "--database", "shop")
    assert json.loads((snap.work / "database" / "drill.json").read_text())["schema_version"] == 1
    snap("drill", "--dry-run", "--database", "shop", "--report", "here.json")
    assert (snap.work / "here.json").exists()
    # One that is there is the user's.
    (snap.work / ".gitignore").write_text("mine\n")
    (snap.work / "snap.toml").unlink()
    snap.ok("init", "elsewhere")
    assert (snap.work / ".gitignore").read_text() == "mine\n"
