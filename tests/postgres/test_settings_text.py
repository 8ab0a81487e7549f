"""Settings that change text, wherever they are set: the root of a snapshot stays the same."""

from __future__ import annotations

import os

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster
from pgsnap.repository.repository import Repository
from pgsnap.runners.local import LocalRunner
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import Server
from pgsnap.workflows.restore.plan import RestoreOptions
from support.restoring.clients import commit_database, restore_now
from support.servers.databases import Database, new_name

# Every value differs from the default, and shows in the text of ALL_TYPES where it is let.
STRINGS = "standard_conforming_strings"
SETTINGS = {
    "TimeZone": "'Asia/Kathmandu'",
    "DateStyle": "'SQL, DMY'",
    "IntervalStyle": "sql_standard",
    "bytea_output": "escape",
    "extra_float_digits": "0",
    "lc_monetary": "'POSIX'",
    STRINGS: "off",
    "quote_all_identifiers": "on",
    "client_encoding": "LATIN1",
    "xmlbinary": "hex",
    "array_nulls": "off",
    "statement_timeout": "1",
    "backslash_quote": "off",
}
ALL_TYPES = r"""
CREATE TABLE everything (
    id int PRIMARY KEY, at timestamptz, day date, span interval, bytes bytea, tiny float4,
    wide float8, price money, word text, parts int[], doc xml
        DEFAULT xmlelement(name a, '\xff00'::bytea));
INSERT INTO everything VALUES
    (1, '2026-03-29 01:30:00+01', '2026-02-01', '-1 day 2:03:04', '\xdeadbeef00', 0.1, 1/3.0,
     12.34, E'gr\u00fcn \\ ''quoted''', '{1,NULL,3}', '<a/>'),
    (2, 'infinity', '0044-03-15 BC', '1 year -3 months',
     '\x5c27', 1e-40, 'NaN', -5, '\N', '{}', DEFAULT);
CREATE VIEW later AS SELECT at + interval '1 day 2 hours' AS moment, E'a\\b' AS word,
    DATE '2026-02-01' AS day, '\x00ff'::bytea AS bytes,
    TIMESTAMPTZ '2026-01-01 00:00+00' AS year, 0.1::float8 AS f FROM everything;
CREATE FUNCTION f() RETURNS text LANGUAGE sql SET DateStyle = 'German' AS $$ SELECT 'x\y' $$;
"""


@pytest.fixture(autouse=True)
def known_settings(binaries: Binaries, monkeypatch: pytest.MonkeyPatch) -> None:
    if binaries.major >= 19:
        # It can be set to nothing but its default there.
        monkeypatch.delitem(SETTINGS, STRINGS)


@pytest.fixture
def filled(database: Database) -> Database:
    database.psql(ALL_TYPES)
    return database


def root_of(repo: Repository, server: Server) -> bytes:
    return repo.snapshot(commit_database(repo, server)).root


def server_now(database: Database) -> Server:
    """Return the server as the environment of this very moment names it."""
    runner = LocalRunner(database.cluster.binaries.bindir)
    return Server(Endpoint.parse(database.dsn, os.environ), runner)


def assert_all_is_as_before(
    repo: Repository, database: Database, before: bytes, *, restores: bool = True
) -> None:
    server = server_now(database)
    assert root_of(repo, server) == before
    if not restores:
        return
    name = new_name("set")
    try:
        snapshot = commit_database(repo, server)
        restore_now(repo, snapshot, server, RestoreOptions(to=name))
        assert root_of(repo, server_now(Database(database.cluster, name))) == before
    finally:
        database.cluster.drop_database(name)


def test_settings_of_the_database_change_nothing(repo: Repository, filled: Database) -> None:
    before = root_of(repo, server_now(filled))
    for name, value in SETTINGS.items():
        filled.psql(f'ALTER DATABASE "{filled.name}" SET {name} = {value}')
    assert_all_is_as_before(repo, filled, before)


def test_settings_of_the_role_change_nothing(repo: Repository, filled: Database) -> None:
    before = root_of(repo, server_now(filled))
    role = new_name("styled")
    filled.psql(f"CREATE ROLE {role} SUPERUSER LOGIN")
    try:
        for name, value in SETTINGS.items():
            filled.psql(f"ALTER ROLE {role} SET {name} = {value}")
        dsn = filled.cluster.dsn(filled.name, user=role)
        server = Server(Endpoint.parse(dsn, {}), LocalRunner(filled.cluster.binaries.bindir))
        with server.connect() as session:
            assert session.query("SHOW backslash_quote") == [("off",)]
        assert root_of(repo, server) == before
    finally:
        filled.psql(f"DROP ROLE {role}")


def test_settings_of_the_server_change_nothing(repo: Repository, own_cluster: Cluster) -> None:
    database = Database(own_cluster, "styled")
    own_cluster.create_database(database.name)
    database.psql(ALL_TYPES)
    before = root_of(repo, server_now(database))
    for name, value in SETTINGS.items():
        # The cluster's own psql, which knows no pins, must still do its work.
        if name != "statement_timeout":
            own_cluster.psql(f"ALTER SYSTEM SET {name} = {value}")
    own_cluster.restart()
    assert own_cluster.psql("SHOW IntervalStyle") == "sql_standard"
    assert_all_is_as_before(repo, database, before)


def test_settings_of_the_environment_change_nothing(
    repo: Repository, filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = root_of(repo, server_now(filled))
    words = " ".join(
        f"-c {name}={value.strip(chr(39)).replace(' ', chr(92) + ' ')}"
        for name, value in SETTINGS.items()
        if name != "client_encoding"
    )
    monkeypatch.setenv("PGOPTIONS", words)
    monkeypatch.setenv("PGTZ", "Asia/Kathmandu")
    monkeypatch.setenv("PGDATESTYLE", "German")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    assert_all_is_as_before(repo, filled, before)


def test_the_settings_would_change_a_dump_without_pins(filled: Database) -> None:
    """The other tests prove nothing where the values do not show."""
    before = filled.cluster.psql("SELECT * FROM everything ORDER BY id", filled.name)
    for name in ("TimeZone", "DateStyle", "IntervalStyle", "bytea_output", "extra_float_digits"):
        shown = f"SET {name} = {SETTINGS[name]}; SELECT * FROM everything ORDER BY id"
        assert filled.psql(shown) != before, name


def test_nothing_is_compiled_for_a_query_whatever_the_database_says(filled: Database) -> None:
    """A second for each query of the catalogs, of which a restore makes hundreds."""
    filled.psql(f'ALTER DATABASE "{filled.name}" SET jit = on')
    assert filled.psql("SHOW jit") == "on"
    server = server_now(filled)
    with server.connect() as session:
        assert session.query("SHOW jit") == [("off",)]
    child = server.start_tool("psql", ["-XAtc", "SHOW jit"])
    assert child.read(100) == b"off\n"
    assert child.wait() == 0
