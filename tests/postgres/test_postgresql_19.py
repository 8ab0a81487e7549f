"""What is new in PostgreSQL 19 and asks something of snap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contract.source_contract import read
from pgsnap.errors import DumpFailed
from pgsnap.model import Setting
from pgsnap.repository.repository import Repository
from pgsnap.sources.postgres import PostgresSource
from pgsnap.sources.properties import read_properties
from pgsnap.targets.preflight import look_at
from pgsnap.workflows.restore_checks import what_goes_back
from pgsnap.workflows.restore_plan import RestoreOptions
from support.databases import Database, new_name
from support.restoring import commit_database, new_repository, restore_now, server_of


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    with new_repository(tmp_path / "repo") as opened:
        yield opened


@pytest.fixture
def database(database: Database) -> Database:
    if database.cluster.major < 19:
        pytest.skip("needs PostgreSQL 19: name its folder in SNAP_PG_BINDIR, --pg-major=19")
    return database


def test_a_list_without_a_name_comes_back_as_that(repo: Repository, database: Database) -> None:
    for value in ("search_path TO NULL", "temp_tablespaces TO ''"):
        database.psql(f'ALTER DATABASE "{database.name}" SET {value}')
    server = server_of(database)
    snapshot = commit_database(repo, server)
    with server.connect() as session:
        before = read_properties(session).settings
    name = new_name("copy")
    try:
        report = restore_now(repo, snapshot, server, RestoreOptions(to=name))
        assert report.warnings == ()
        with server.connect(name) as session:
            assert read_properties(session).settings == before
    finally:
        database.cluster.drop_database(name)


def test_a_setting_that_is_gone_is_said_to_be_left_out_and_not_to_go_back(
    repo: Repository, database: Database
) -> None:
    server = server_of(database)
    snapshot = repo.snapshot(commit_database(repo, server))
    assert snapshot.origin.properties is not None
    gone = (
        Setting("escape_string_warning", "off"),
        Setting("standard_conforming_strings", "off"),
        Setting("work_mem", "5MB"),
    )
    properties = replace(snapshot.origin.properties, settings=gone)
    older = replace(snapshot, origin=replace(snapshot.origin, properties=properties))
    with server.connect("postgres") as session:
        live = look_at(session, database.name)
        assert live is not None
        told = what_goes_back(session, older, live).warnings
    assert len(told) == 3
    assert "work_mem = 5MB is missing; this goes back" in told[0]
    assert "escape_string_warning = off is left out: PostgreSQL 19" in told[1]
    assert "standard_conforming_strings = off is left out" in told[2]


def test_a_role_that_reads_everything_reads_large_objects(database: Database) -> None:
    database.psql("SELECT lo_from_bytea(4711, 'large'); CREATE ROLE reader LOGIN")
    dsn = replace(server_of(database).endpoint)
    try:
        server = server_of(database)
        server.endpoint = replace(
            dsn, keywords=(*(k for k in dsn.keywords if k[0] != "user"), ("user", "reader"))
        )
        with pytest.raises(DumpFailed) as caught:
            read(PostgresSource(server))
        assert caught.value.hint == "Run `GRANT pg_read_all_data TO reader` as a superuser."
        database.psql("GRANT pg_read_all_data TO reader")
        read(PostgresSource(server))
    finally:
        database.psql("DROP OWNED BY reader; DROP ROLE reader")
