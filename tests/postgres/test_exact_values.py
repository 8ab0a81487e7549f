"""Values of extensions' types that hold more than they print: dumps are equal, values are not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pgsnap.repository.repository import Repository
from pgsnap.sessions.server import Server
from pgsnap.workflows.restore.plan import RestoreOptions, plan_restore
from pgsnap.workflows.restore.restore import restore
from support.restoring.clients import commit_database, server_of
from support.restoring.drilling import drill_now, failures
from support.servers.databases import Database
from support.servers.extensions import add_extension

# Eight bytes, of which the last four are printed.
HALF = """
CREATE TYPE half;
CREATE FUNCTION half_in(cstring) RETURNS half LANGUAGE internal IMMUTABLE STRICT AS 'int8in';
CREATE FUNCTION half_out(half) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'oidout';
CREATE FUNCTION half_send(half) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'int8send';
CREATE TYPE half (INPUT = half_in, OUTPUT = half_out, SEND = half_send, LIKE = bigint);
CREATE CAST (bigint AS half) WITHOUT FUNCTION;
"""
SILENT = HALF.replace(", SEND = half_send", "")
LARGE, SMALL = "(4294967296 + g)::half", "g::bigint::half"


def filled(database: Database, script: str, value: str) -> None:
    name = add_extension(database.cluster, script)
    database.psql(
        f'CREATE EXTENSION "{name}"; CREATE DOMAIN more AS half;'
        f"CREATE TABLE star AS SELECT g AS id, {value} AS at, ARRAY[{value}] AS places,"
        f" ({value})::more AS again, 1 AS size FROM generate_series(1::bigint, 50) g"
    )


def test_rounded_values_fail_the_drill_and_are_named(
    repo: Repository, database: Database, tmp_path: Path
) -> None:
    filled(database, HALF, LARGE)
    server = server_of(database)
    report = drill_now(repo, commit_database(repo, server), server, tmp_path)
    reason = failures(report)["contents"]
    for column in ("at", "places", "again"):
        assert f"public.star.{column} (half)" in reason
    assert "public.star.size" not in reason


def test_values_that_print_all_they_hold_pass_also_where_the_live_ones_changed(
    repo: Repository, database: Database, tmp_path: Path
) -> None:
    filled(database, HALF, SMALL)
    server = server_of(database)
    snapshot = commit_database(repo, server)
    report = drill_now(repo, snapshot, server, tmp_path)
    assert (failures(report), report.notices) == ({}, ())
    database.psql(
        "UPDATE star SET at = 7::bigint::half WHERE id < 9; DELETE FROM star WHERE id = 9"
    )
    report = drill_now(repo, snapshot, server, tmp_path)
    assert (failures(report), report.notices) == ({}, ())


def test_where_the_live_values_changed_rounded_ones_are_not_proven(
    repo: Repository, database: Database, tmp_path: Path
) -> None:
    filled(database, HALF, LARGE)
    server = server_of(database)
    snapshot = commit_database(repo, server)
    database.psql("DELETE FROM star WHERE id = 9")
    report = drill_now(repo, snapshot, server, tmp_path)
    assert report.passed
    (notice,) = report.notices
    assert "public.star.at (half)" in notice
    assert "may print less than they hold" in notice


def test_where_the_live_values_changed_the_kept_database_of_the_snapshot_is_asked(
    repo: Repository, database: Database, tmp_path: Path
) -> None:
    filled(database, HALF, LARGE)
    server = server_of(database)
    first = commit_database(repo, server)
    database.psql("DELETE FROM star WHERE id = 9")
    plan = plan_restore(repo, first, server, RestoreOptions())
    report = restore(repo, plan, server, safety=lambda: commit_database(repo, server))
    assert report.safety is not None
    # What it holds is in the kept database alone; the live one has what the first one lost.
    drilled = drill_now(repo, report.safety, server, tmp_path)
    reason = failures(drilled)["contents"]
    for column in ("at", "places", "again"):
        assert f"public.star.{column} (half)" in reason
    assert drilled.notices == ()
    # It says nothing of another snapshot.
    database.psql("DELETE FROM star WHERE id = 8")
    again = drill_now(repo, first, server, tmp_path)
    assert again.passed


def test_a_type_without_a_binary_form_is_proven_by_what_it_prints_or_not_at_all(
    repo: Repository, database: Database, tmp_path: Path
) -> None:
    filled(database, SILENT, SMALL)
    server = server_of(database)
    report = drill_now(repo, commit_database(repo, server), server, tmp_path)
    assert (failures(report), report.notices) == ({}, ())
    database.psql(f"UPDATE star SET at = {LARGE.replace('g', 'id')}")
    report = drill_now(repo, commit_database(repo, server), server, tmp_path)
    assert report.passed
    (notice,) = report.notices
    assert "public.star.at (half)" in notice
    assert "public.star.places" not in notice


def test_without_the_live_database_such_types_are_listed(
    repo: Repository, database: Database, tmp_path: Path
) -> None:
    filled(database, HALF, LARGE)
    server = server_of(database)

    @contextmanager
    def private(major: int | None) -> Iterator[Server]:
        yield server

    snapshot = commit_database(repo, server)
    report = drill_now(repo, snapshot, server, tmp_path, throw_away=private)
    assert report.passed
    (notice,) = report.notices
    assert "not proven beyond what they print" in notice
    assert "public.star.at (half)" in notice
