"""A table that is restored alone gets the types that are there now: the plan says which differ."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pgsnap.cluster.cluster import Cluster
from support.running.commandline import CommandLine
from support.servers.databases import Database

MADE = """
CREATE TYPE inner_part AS (n int);
CREATE TYPE shape AS (a int, b varchar(9), c inner_part);
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE DOMAIN positive AS int CONSTRAINT above CHECK (VALUE > 0);
CREATE DOMAIN many AS mood[];
CREATE TABLE typed OF shape (PRIMARY KEY (a));
INSERT INTO typed VALUES (1, 'x', ROW(2));
CREATE TABLE plain (m mood, p positive, s shape, l many);
INSERT INTO plain VALUES ('sad', 1, ROW(1, 'x', ROW(2)), '{sad}');
"""


@pytest.fixture(params=["psycopg", "psql"])
def plan(
    request: pytest.FixtureRequest, snap: CommandLine, database: Database, cluster: Cluster
) -> Callable[[str, str], tuple[int, str]]:
    """Returns the exit code and the words of a restore of a table, after SQL in the database."""
    snap.use_tools_of(cluster)
    database.psql(MADE)
    snap.setenv("DATABASE_URL", database.dsn)
    snap.ok("init")
    with (snap.work / "snap.toml").open("a") as file:
        file.write(f'client = "{request.param}"\n')
    snap.ok("commit", "-m", "one", "--tag", "good")

    def run(sql: str, table: str) -> tuple[int, str]:
        database.psql(sql)
        before = database.dump("--schema-only")
        result = snap("restore", "good", "--table", table, "--yes")
        if result.code:
            assert database.dump("--schema-only") == before
        return result.code, result.out + result.err

    return run


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TYPE shape ADD ATTRIBUTE d int CASCADE",
        "ALTER TYPE shape ALTER ATTRIBUTE b TYPE text CASCADE",
        "ALTER TYPE shape RENAME ATTRIBUTE b TO bb CASCADE",
        "ALTER TYPE shape DROP ATTRIBUTE b CASCADE; ALTER TYPE shape ADD ATTRIBUTE b varchar(9)"
        " CASCADE",
    ],
)
def test_a_table_of_a_type_that_changed_is_refused(
    plan: Callable[[str, str], tuple[int, str]], sql: str
) -> None:
    code, words = plan(f"DROP TABLE plain; {sql}", "typed")
    assert code == 40
    assert "public.typed is made of the type public.shape, which is not as it was" in words
    assert "CREATE TYPE public.shape AS ( a integer, b character varying(9)" in words
    assert "--to NEW --table public.typed" in words


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ("ALTER TYPE mood ADD VALUE 'so' BEFORE 'glad'", ["mood", "many"]),
        ("ALTER TYPE mood RENAME VALUE 'glad' TO 'happy'", ["mood"]),
        ("ALTER DOMAIN positive DROP CONSTRAINT above", ["positive"]),
        ("ALTER DOMAIN positive SET DEFAULT 7", ["positive"]),
        ("DROP TABLE typed, plain; ALTER TYPE inner_part ADD ATTRIBUTE m int", ["inner_part"]),
    ],
)
def test_types_of_columns_that_changed_are_named(
    plan: Callable[[str, str], tuple[int, str]], sql: str, named: list[str]
) -> None:
    _, words = plan(sql, "plain")
    assert f"public.{named[0]}, used by public.plain, is not as in the snapshot" in words


@pytest.mark.parametrize("table", ["typed", "plain"])
def test_nothing_is_said_where_the_types_are_as_they_were(
    plan: Callable[[str, str], tuple[int, str]], table: str
) -> None:
    again = (
        "DROP TABLE typed, plain; DROP TYPE shape; DROP DOMAIN positive;"
        "CREATE TYPE shape AS (gone int, a int4, b character varying(9), c inner_part);"
        "ALTER TYPE shape DROP ATTRIBUTE gone;"
        "CREATE DOMAIN positive AS integer CONSTRAINT other_name CHECK (VALUE > 0);"
    )
    for sql in ("SELECT 1", f"DROP TABLE {table}__good; {again}"):
        code, words = plan(sql, table)
        assert code == 0, words
        assert "as in the snapshot" not in words


def test_a_type_that_is_gone_refuses_it(plan: Callable[[str, str], tuple[int, str]]) -> None:
    code, words = plan("DROP TABLE typed, plain; DROP TYPE shape", "typed")
    assert code == 40
    assert 'type "public.shape" does not exist' in words
