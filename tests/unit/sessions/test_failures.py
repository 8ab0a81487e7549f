"""What refused connections and failed dumps say, turned into hints."""

from __future__ import annotations

import pytest

from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.failures import connection_failed, connection_lost
from pgsnap.sessions.psql_session import parse_error

ENDPOINT = Endpoint.parse("postgresql://alice:hunter2@db/shop", {})


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("FATAL:  unsupported startup parameter: options", "directly to PostgreSQL"),
        ("FATAL:  unsupported startup parameter in options: bytea_output", "pooler"),
        ("RDS Proxy currently doesn't support command-line options", "pooler"),
        ('FATAL:  no pg_hba.conf entry for host "1.2.3.4"', "pg_hba.conf"),
        ("FATAL:  sorry, too many clients already", "idle connections"),
        ("FATAL:  the database system is starting up", "Try again"),
        ('FATAL:  permission denied for database "shop"', "GRANT CONNECT"),
        ('FATAL:  Peer authentication failed for user "alice"', "system user"),
        ("connection timeout expired", "firewall"),
        ("something nobody foresaw", "psql"),
    ],
)
def test_each_refusal_has_a_hint(text: str, hint: str) -> None:
    error = connection_failed(f"psql: error: {text}\n", ENDPOINT)
    assert hint in error.hint
    assert error.message == "cannot connect to alice@db:5432/shop"
    assert error.detail.endswith(".")
    assert "psql: error" not in error.detail


def test_a_socket_in_a_container_that_asks_for_a_password_says_where_it_goes() -> None:
    inside = Endpoint(keywords=(("user", "app"), ("dbname", "shop")), place="db")
    error = connection_failed(
        'psql: error: connection to server on socket "/tmp/.s.PGSQL.5432" failed: fe_sendauth:'
        " no password supplied\n",
        inside,
    )
    assert "PGPASSWORD=$(" in error.hint
    assert "POSTGRES_PASSWORD_FILE" in error.hint


def test_a_password_in_a_servers_words_is_covered() -> None:
    for error in (connection_failed("FATAL: bad hunter2", ENDPOINT),
                  connection_lost("bad hunter2", ENDPOINT)):  # fmt: skip
        assert "hunter2" not in error.detail


def test_psqls_verbose_error_is_taken_apart() -> None:
    error = parse_error(
        "psql:<stdin>:12: error: ERROR:  23505: duplicate key\nin two lines\n"
        "DETAIL:  Key (a)=(1) already exists.\nHINT:  try another\n"
        "SCHEMA NAME:  public\nLOCATION:  _bt_check_unique, nbtinsert.c:664\n"
    )
    assert (error.sqlstate, error.message) == ("23505", "duplicate key\nin two lines")
    assert (error.detail, error.hint) == ("Key (a)=(1) already exists.", "Try another.")


def test_an_error_of_unknown_shape_is_kept_whole() -> None:
    error = parse_error("something else\n")
    assert (error.sqlstate, error.message) == ("", "something else")
