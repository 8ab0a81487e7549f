"""URLs as web frameworks and drivers write them, and what libpq gets of them."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from pgsnap.errors import UsageError
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.framework_urls import to_libpq

SERVER = {"user": "u", "password": "p%w", "host": "db", "port": "6543", "dbname": "shop"}
PLACE = "u:p%25w@db:6543/shop"


def read(url: str) -> dict[str, object]:
    """Return the keywords that libpq itself reads in the translated *url*."""
    return dict(conninfo_to_dict(to_libpq(url).dsn))


SCHEMES = """
    postgres postgresql postgis psql pgsql ecto timescale timescalegis pgx5 POSTGRESQL
    postgresql+psycopg2 postgresql+psycopg postgresql+asyncpg postgres+pg8000
    jdbc:postgresql
"""


@pytest.mark.parametrize("scheme", SCHEMES.split())
def test_a_scheme_of_a_framework_means_postgresql(scheme: str) -> None:
    assert read(f"{scheme}://{PLACE}") == SERVER


@pytest.mark.parametrize("url", ["jdbc:postgresql:shop", "jdbc:postgresql:///shop"])
def test_a_jdbc_url_need_not_name_a_host(url: str) -> None:
    assert read(url) == {"dbname": "shop"}


@pytest.mark.parametrize(
    "parameters",
    [
        "connection_limit=5&pgbouncer=true&pool_timeout=10&statement_cache_size=0",
        "pool=5&prepared_statements=false&checkout_timeout=5",
        "conn_max_age=600&conn_health_checks=true",
        "prepared_statement_cache_size=500",
        "pool_size=10&queue_target=50",
        "prepareThreshold=0&reWriteBatchedInserts=true&stringtype=unspecified",
        "pool_max_conns=10&default_query_exec_mode=simple_protocol",
        "x-migrations-table=m&binary_parameters=yes",
        "statement-cache-capacity=100",
        "serverVersion=16&charset=utf8",
        "supa=base-pooler.x&pgbouncer=true",
    ],
)
def test_what_only_a_framework_reads_is_left_out_and_named(parameters: str) -> None:
    url = f"postgresql://{PLACE}?{parameters}&application_name=web"
    assert read(url) == {**SERVER, "application_name": "web"}
    names = tuple(pair.partition("=")[0] for pair in parameters.split("&"))
    assert to_libpq(url).left_out == names


@pytest.mark.parametrize("name", ["schema", "currentSchema", "schema_search_path", "search_path"])
def test_a_schema_is_left_out_and_reported_apart(name: str) -> None:
    endpoint = Endpoint.parse(f"postgresql://{PLACE}?{name}=tenant", {})
    assert endpoint.schema == name
    assert "tenant" not in endpoint.conninfo(application_name="snap")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgres://db/shop?ssl=true", {"sslmode": "require"}),
        ("postgres://db/shop?ssl=1", {"sslmode": "require"}),
        ("postgres://db/shop?ssl=no-verify", {"sslmode": "require"}),
        ("postgres://db/shop?sslmode=no-verify", {"sslmode": "require"}),
        ("postgres://db/shop?ssl=verify-full", {"sslmode": "verify-full"}),
        ("postgres://db/shop?ssl=false", {"sslmode": "disable"}),
        ("postgres://db/shop?ssl=false&sslmode=verify-ca", {"sslmode": "verify-ca"}),
        ("postgres://db/shop?sslmode=verify-ca&ssl=true", {"sslmode": "verify-ca"}),
        ("jdbc:postgresql://db/shop?ssl=true", {"sslmode": "verify-full"}),
        ("jdbc:postgresql://db/shop?ssl", {"sslmode": "verify-full"}),
        ("jdbc:postgresql://db/shop?ssl=true&sslmode=require", {"sslmode": "require"}),
        (
            "jdbc:postgresql://db/shop?ssl=true&sslfactory=org.postgresql.ssl.NonValidatingFactory",
            {"sslmode": "require"},
        ),
        ("jdbc:postgresql://db/shop?ssl=false", {}),
        (
            "postgresql://db/shop?sslmode=require&sslaccept=strict&sslcert=/ca.pem",
            {"sslmode": "verify-full", "sslrootcert": "/ca.pem"},
        ),
        (
            "postgresql://db/shop?sslaccept=strict&sslmode=prefer",
            {"sslmode": "verify-full"},
        ),
        (
            "postgresql://db/shop?sslcert=/c.pem&sslkey=/k.pem&sslmode=verify-full",
            {"sslcert": "/c.pem", "sslkey": "/k.pem", "sslmode": "verify-full"},
        ),
        (
            "postgresql://db/shop?ssl-mode=verify-ca&ssl-ca=/c",
            {"sslmode": "verify-ca", "sslrootcert": "/c"},
        ),
        (
            "jdbc:postgresql://db/shop?channelBinding=require&gssEncMode=require",
            {"channel_binding": "require", "gssencmode": "require"},
        ),
        (
            "jdbc:postgresql://db/shop?targetServerType=preferSecondary",
            {"target_session_attrs": "prefer-standby"},
        ),
        ("jdbc:postgresql://db/shop?user=me&password=a%26b", {"user": "me", "password": "a&b"}),
        ("ecto:///shop?socket_dir=/run/pg", {"host": "/run/pg"}),
    ],
)
def test_encryption_and_identity_are_translated(url: str, words: dict[str, str]) -> None:
    expected: dict[str, object] = {"host": "db", "dbname": "shop", **words}
    assert read(url) == expected


@pytest.mark.parametrize(
    "parameter",
    [
        "sslidentity=/me.p12",
        "sslfactory=com.example.Factory",
        "socketFactory=com.google.cloud.sql.postgres.SocketFactory",
        "authenticationPluginClassName=x",
        "role=reader",
        "options[role]=reader",
        "auth_methods=scram",
        "ssl=perhaps",
        "sslaccept=perhaps",
        "targetServerType=perhaps",
    ],
)
def test_encryption_or_identity_without_an_equivalent_is_refused(parameter: str) -> None:
    with pytest.raises(UsageError) as found:
        Endpoint.parse(f"postgresql://{PLACE}?{parameter}", {})
    assert parameter.partition("=")[0] in found.value.message
    assert "left out" in found.value.detail
    assert found.value.hint


def test_a_parameter_that_nobody_has_is_named() -> None:
    with pytest.raises(UsageError, match='"frobnicate"'):
        Endpoint.parse(f"postgresql://{PLACE}?frobnicate=1", {})


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:secret?word=x@db/shop",
        "postgresql+asyncpg://u:secret?word=x",
        "jdbc:postgresql://u:secret?word=x@db",
    ],
)
def test_a_password_with_a_question_mark_is_not_taken_for_a_parameter(url: str) -> None:
    with pytest.raises(UsageError) as found:
        Endpoint.parse(url, {})
    shown = f"{found.value.message} {found.value.detail} {found.value.hint}"
    assert "word" not in shown.replace("password", "")
    assert "secret" not in shown


@pytest.mark.parametrize(
    "dsn", ["host=db pool=5", "mysql://db/shop", "postgresql+mysql://db/shop", "shop"]
)
def test_anything_else_is_left_as_it_is(dsn: str) -> None:
    assert to_libpq(dsn).dsn == dsn
