"""What is read from the catalogs beside the dump."""

from __future__ import annotations

import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.model import Setting
from pgsnap.runners.local import LocalRunner
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.server import ClientKind, Server
from pgsnap.sources.properties import read_properties, read_server
from support.servers.databases import Database


def server_of(database: Database, client: ClientKind = "psycopg", user: str = "") -> Server:
    dsn = database.cluster.dsn(database.name, user=user) if user else database.dsn
    return Server(Endpoint.parse(dsn, {}), LocalRunner(database.cluster.binaries.bindir),
                  client=client)  # fmt: skip


@pytest.fixture
def decorated(database: Database) -> Database:
    name = database.name
    for role in ("p_owner", "p_reader", "p_setting", "p_policy", "p_default", "p_other"):
        database.cluster.psql(f"CREATE ROLE {role} LOGIN")
    database.psql(
        f"""
        ALTER DATABASE {name} OWNER TO p_owner;
        ALTER DATABASE {name} CONNECTION LIMIT 17;
        ALTER DATABASE {name} SET search_path = app, "Ä b";
        ALTER DATABASE {name} SET work_mem = '8MB';
        ALTER ROLE p_setting IN DATABASE {name} SET statement_timeout = '5s';
        ALTER ROLE p_other SET work_mem = '1MB';
        GRANT CONNECT ON DATABASE {name} TO p_reader WITH GRANT OPTION;
        COMMENT ON DATABASE {name} IS E'it''s a\\ncomment';
        CREATE SCHEMA app AUTHORIZATION p_owner;
        SET ROLE p_owner; CREATE TABLE app.t (id int); RESET ROLE;
        CREATE POLICY p ON app.t TO p_policy;
        ALTER DEFAULT PRIVILEGES FOR ROLE p_owner GRANT SELECT ON TABLES TO p_default;
        """
    )
    return database


@pytest.fixture(autouse=True)
def _without_roles(cluster: Cluster, database: Database):  # type: ignore[no-untyped-def]
    yield
    owner = cluster.superuser
    database.psql(f"ALTER DATABASE {database.name} OWNER TO {owner}")
    roles = cluster.psql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'p\\_%'").split()
    for role in roles:
        database.psql(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.mark.parametrize("client", ["psycopg", "psql"])
def test_every_property_of_a_database_is_read(decorated: Database, client: ClientKind) -> None:
    with server_of(decorated, client).connect() as session:
        found = read_properties(session)
    assert (found.name, found.owner, found.encoding) == (decorated.name, "p_owner", "UTF8")
    assert (found.connection_limit, found.is_template) == (17, False)
    assert found.comment == "it's a\ncomment"
    assert found.acl is not None
    assert "p_reader=c*/p_owner" in found.acl
    assert found.settings == (
        Setting("search_path", 'app, "Ä b"'),
        Setting("work_mem", "8MB"),
        Setting("statement_timeout", "5s", role="p_setting"),
    )
    assert found.roles == ("p_default", "p_owner", "p_policy", "p_reader", "p_setting")
    assert [(e.name, e.schema) for e in found.extensions] == [("plpgsql", "pg_catalog")]
    assert found.tablespace == "pg_default"
    assert found.locale_provider in ("c", "i", "b")
    assert found.lc_collate
    assert found.size_bytes > 1_000_000


def test_a_plain_database_has_the_built_in_acl(database: Database) -> None:
    with server_of(database).connect() as session:
        found = read_properties(session)
    assert found.acl is None
    assert found.settings == ()
    assert (found.comment, found.connection_limit) == (None, -1)


def test_an_emptied_acl_is_not_the_built_in_one(database: Database) -> None:
    database.psql(
        f"REVOKE ALL ON DATABASE {database.name} FROM PUBLIC, {database.cluster.superuser}"
    )
    with server_of(database).connect() as session:
        assert read_properties(session).acl == ()


def test_the_bootstrap_superuser_counts_once_it_owns_something(database: Database) -> None:
    database.psql("CREATE ROLE p_owner")
    database.psql(f"ALTER DATABASE {database.name} OWNER TO p_owner")
    with server_of(database).connect() as session:
        assert read_properties(session).roles == ("p_owner",)
        database.psql("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        assert read_properties(session).roles == ("p_owner", "postgres")


def test_the_icu_locale_is_read_where_it_exists(database: Database) -> None:
    if database.cluster.major < 15:
        pytest.skip("needs PostgreSQL 15 or newer: run pytest with --pg-major=15")
    if not database.psql("SELECT 1 FROM pg_collation WHERE collname = 'und-x-icu'"):
        pytest.skip(
            "this PostgreSQL has no ICU: run pytest with --pg-major=15 and Debian's package"
        )
    name = f"{database.name}_icu"
    database.cluster.psql(
        f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-DE'"
        " LOCALE 'C.UTF-8'"
    )
    try:
        with server_of(database).connect(name) as session:
            found = read_properties(session)
        assert (found.locale_provider, found.locale, found.lc_ctype) == ("i", "de-DE", "C.UTF-8")
        assert found.collation_version
    finally:
        database.cluster.drop_database(name)


def test_the_server_and_its_place_in_life_are_read(database: Database) -> None:
    with server_of(database).connect() as session:
        info = read_server(session)
        assert info.version_num == session.server_version_num
    assert info.version.startswith(str(database.cluster.major))
    assert info.system_identifier.isdigit()
    assert (info.timeline, info.in_recovery) == (1, False)
    assert "/" in info.wal_lsn
    oid = database.psql("SELECT oid FROM pg_database WHERE datname = current_database()")
    assert info.database_oid == int(oid)


def test_a_role_without_rights_reads_what_it_may(decorated: Database) -> None:
    refused = "pg_control_system(), pg_control_checkpoint(), pg_current_wal_lsn()"
    decorated.psql(f"REVOKE EXECUTE ON FUNCTION {refused} FROM PUBLIC")
    try:
        with server_of(decorated, user="p_reader").connect() as session:
            info = read_server(session)
            properties = read_properties(session)
    finally:
        decorated.psql(f"GRANT EXECUTE ON FUNCTION {refused} TO PUBLIC")
    assert (info.system_identifier, info.timeline, info.wal_lsn) == ("", 0, "")
    with server_of(decorated).connect() as session:
        assert properties == read_properties(session)
