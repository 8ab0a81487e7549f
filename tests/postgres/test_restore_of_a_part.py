"""A dump in a file that is of a part of a database: what it holds is recorded, and it replaces no
whole database unasked. Whatever a snapshot lacks of the live database is told before."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.errors import TargetRefused
from pgsnap.repository.repository import Repository
from pgsnap.sources.file import FileSource
from pgsnap.sources.parts import left_out
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.restore.plan import RestoreOptions, RestorePlan, plan_restore
from support.restoring.clients import (
    LABEL,
    commit_database,
    commit_file,
    restore_now,
    server_of,
)
from support.servers.databases import Database

TABLES = """
CREATE SCHEMA shop; CREATE SCHEMA "Audit Log";
CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 9);
CREATE TABLE shop.items (id int); INSERT INTO shop.items VALUES (1);
CREATE TABLE "Audit Log"."Row; Type:
TABLE" (id int); CREATE TABLE nothing_in_it ();
CREATE TABLE days (day date) PARTITION BY RANGE (day);
CREATE TABLE day_1 PARTITION OF days FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
INSERT INTO days VALUES ('2026-01-01');
CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT lo_from_bytea(0, 'x');
"""


@pytest.fixture
def shop(database: Database) -> Database:
    database.psql(TABLES)
    return database


def planned(
    repo: Repository, database: Database, path: Path, *options: str, partial: bool = False
) -> tuple[RestorePlan, str]:
    """Commit pg_dump's own text by way of a file; return the plan to restore it in place, and what
    the snapshot says it was made without."""
    path.write_bytes(database.dump(*options))
    made = commit(repo, FileSource(path), database=LABEL, message="file")
    plan = plan_restore(
        repo, made.snapshot_id, server_of(database), RestoreOptions(partial=partial)
    )
    return plan, left_out(made.snapshot.origin)


@pytest.mark.parametrize(
    ("options", "without", "refusals"),
    [
        (["-t", "orders"], "", ["lacks what", "5 tables"]),
        (["-t", "shop.items"], "the schemas of its tables", ["made without", "5 tables"]),
        (["-n", "shop"], "", ["lacks what", "1 schema (Audit Log), 5 tables"]),
        (["-T", "orders"], "", ["lacks what", "1 table (public.orders)"]),
        (["-N", "shop"], "", ["lacks what", "1 schema (shop), 1 table (shop.items)"]),
        (["-s"], "any rows", ["made without any rows"]),
        (["--section=pre-data"], "any rows", ["made without any rows"]),
        (["-a"], "any definitions", ["made without any definitions"]),
        (
            ["--exclude-table-data=orders"],
            "the rows of some tables",
            ["made without the rows of some tables"],
        ),
        (["--no-large-objects"], "", ["lacks what", "1 large object"]),
    ],
    ids=str,
)
def test_a_dump_of_a_part_replaces_a_database_only_where_that_is_said(
    repo: Repository,
    shop: Database,
    tmp_path: Path,
    options: list[str],
    without: str,
    refusals: list[str],
) -> None:
    if options == ["--no-large-objects"] and shop.cluster.binaries.major < 16:
        options = ["--no-blobs"]
    plan, words = planned(repo, shop, tmp_path / "part.sql", *options)
    assert words.startswith(without)
    assert bool(words) == bool(without)
    said = "\n".join(problem.message for problem in plan.refusals)
    for text in refusals:
        assert text in said
    assert all("--partial" in problem.hint for problem in plan.refusals if "-a" not in options)
    with pytest.raises(TargetRefused):
        plan.check()
    if "-a" not in options:
        meant, _ = planned(repo, shop, tmp_path / "part.sql", *options, partial=True)
        meant.check()


@pytest.mark.parametrize(
    "options", [[], ["-O", "-x"], ["--inserts"], ["-C"], ["-c", "--if-exists"]]
)
def test_a_dump_of_all_goes_back_unasked(
    repo: Repository, shop: Database, tmp_path: Path, options: list[str]
) -> None:
    plan, words = planned(repo, shop, tmp_path / "all.sql", *options)
    assert words == ""
    assert plan.refusals == ()
    assert str(plan.gone) == ""


def test_a_database_of_partitioned_tables_alone_is_none_of_definitions(
    repo: Repository, database: Database, tmp_path: Path
) -> None:
    database.psql("CREATE TABLE days (day date) PARTITION BY RANGE (day)")
    assert planned(repo, database, tmp_path / "all.sql")[1] == ""


def test_rows_alone_are_refused_for_a_new_database_too(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    path = tmp_path / "rows.sql"
    path.write_bytes(shop.dump("-a"))
    rows = commit(repo, FileSource(path), database=LABEL, message="file").snapshot_id
    plan = plan_restore(repo, rows, server_of(shop), RestoreOptions(to="new", partial=True))
    (problem,) = plan.refusals
    assert "defines no tables" in problem.message
    assert "snap cat" in problem.hint


def test_what_came_after_a_snapshot_is_named_and_the_restore_goes_on(
    repo: Repository, shop: Database
) -> None:
    snapshot = commit_database(repo, server_of(shop))
    plain = plan_restore(repo, snapshot, server_of(shop), RestoreOptions())
    assert plain.warnings == ()
    shop.psql("CREATE SCHEMA later; CREATE TABLE later.t (id int); DROP TABLE orders;"
              "CREATE TABLE orders_v2 (id int); CREATE TEMP TABLE gone (id int)")  # fmt: skip
    plan = plan_restore(repo, snapshot, server_of(shop), RestoreOptions())
    (warning,) = plan.warnings
    assert "1 schema (later), 2 tables (later.t, public.orders_v2)" in warning
    assert plan.refusals == ()
    assert restore_now(repo, snapshot, server_of(shop)).kept


def test_an_extension_that_came_later_is_named_and_its_tables_are_its_own(
    repo: Repository, shop: Database
) -> None:
    snapshot = commit_database(repo, server_of(shop))
    shop.psql("CREATE EXTENSION hstore; CREATE TABLE mine (id int); CREATE TABLE other (id int);"
              "ALTER EXTENSION hstore ADD TABLE mine")  # fmt: skip
    (warning,) = plan_restore(repo, snapshot, server_of(shop), RestoreOptions()).warnings
    assert warning.endswith("loses it: 1 table (public.other), 1 extension (hstore)")


def test_tables_that_other_sql_makes_are_found_in_it(
    repo: Repository, shop: Database, tmp_path: Path
) -> None:
    shop.psql('DROP SCHEMA shop, "Audit Log" CASCADE; DROP TABLE days, nothing_in_it;'
              "SELECT lo_unlink(oid) FROM pg_largeobject_metadata")  # fmt: skip
    shop.psql('CREATE TABLE "Mixed" (id int)')
    text = 'create table if not exists Orders (id int);\nCREATE TABLE public . "Mixed" (id int);\n'
    server = server_of(shop)
    options = RestoreOptions(trust_sql=True)
    whole = plan_restore(repo, commit_file(repo, tmp_path / "a.sql", text), server, options)
    assert str(whole.gone) == ""
    part = text.replace('"Mixed"', "Mixed")
    found = plan_restore(repo, commit_file(repo, tmp_path / "b.sql", part), server, options)
    assert "lacks what" in found.refusals[0].message
    assert found.gone.tables == ('public."Mixed"',)
