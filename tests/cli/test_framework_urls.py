"""A framework's own DATABASE_URL, from the command line: what works, and what is said about it."""

from __future__ import annotations

from support.running.commandline import CommandLine
from support.servers.databases import Database

SCHEMA = '"schema" in the DSN has no effect: the whole database is'
LEFT_OUT = "left out of the DSN, since only frameworks read it: connection_limit, pgbouncer"


def test_the_url_of_a_framework_names_the_database_of_every_command(
    snap: CommandLine, database: Database
) -> None:
    url = database.dsn.replace("postgresql://", "postgresql+psycopg2://")
    snap.setenv("DATABASE_URL", f"{url}&schema=app&connection_limit=5&pgbouncer=true")
    database.psql("CREATE SCHEMA app; CREATE TABLE app.t (a int); CREATE TABLE other (a int)")
    snap.ok("init")
    first = snap.ok("commit", "-m", "both tables")
    assert f"{SCHEMA} recorded" in first.err
    assert LEFT_OUT not in first.err
    assert "other" in snap.ok("show", "latest").out
    assert LEFT_OUT in snap.ok("commit", "-m", "again", "--verbose").err
    assert SCHEMA not in snap.ok("commit", "-m", "again", "--quiet").err
    database.psql("DROP TABLE other")
    restored = snap.ok("restore", "latest", "--yes")
    assert f"{SCHEMA} replaced" in restored.err
    assert database.psql("SELECT count(*) FROM other").strip() == "0"
    snap.ok("undo", "--yes")
    snap.ok("undo", "--discard", "--yes")


def test_a_parameter_that_nobody_has_is_named_with_where_it_came_from(snap: CommandLine) -> None:
    snap.setenv("DATABASE_URL", "postgres://app@localhost/app?frobnicate=1")
    snap.ok("init")
    refused = snap("commit", "-m", "x")
    assert refused.code == 2
    assert '"frobnicate"' in refused.err
    assert "DATABASE_URL" in refused.err
