"""Endpoints: what a DSN and the environment mean, and what never shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from pgsnap.errors import UsageError
from pgsnap.sessions.endpoint import Endpoint

SECRET = "s3cr'et \\pass word"
URI = "postgresql://alice:s3cr%27et%20%5Cpass%20word@db.example:6543/shop?sslmode=require"


FORMS = [
    "postgresql://u:{}@h/d",
    "postgres://u:{}@h:5432/d?sslmode=require",
    "postgresql://:{}@h",
    "postgresql://u:{}@/d?host=/tmp",
    "postgresql://h/d?user=u&password={}",
    "postgresql://u:{}@[::1]:5432/d",
    "postgresql://u:{}@h1:1,h2:2/d",
    "postgresql+asyncpg://u:{}@h/d",
    " postgresql://u:{}@h/d",
    "host=h user=u password={} dbname=d",
    "host=h password='{}' dbname=d",
]


def words(endpoint: Endpoint) -> dict[str, object]:
    return dict(conninfo_to_dict(endpoint.conninfo(application_name="snap")))


@pytest.mark.parametrize("dsn", [URI, URI.replace("postgresql:", "postgres:")])
def test_a_uri_is_read_and_its_password_kept_apart(dsn: str) -> None:
    endpoint = Endpoint.parse(dsn, {})
    assert endpoint.password == SECRET
    assert (endpoint.database, endpoint.user, endpoint.host) == ("shop", "alice", "db.example")
    assert words(endpoint)["sslmode"] == "require"
    assert endpoint.display() == "alice@db.example:6543/shop"
    shown = repr(endpoint) + endpoint.display() + endpoint.conninfo(application_name="snap")
    assert "cr'et" not in shown
    assert "pass word" not in shown
    assert endpoint.environment()["PGPASSWORD"] == SECRET


def test_a_keyword_string_is_read() -> None:
    endpoint = Endpoint.parse("host=/run/pg user=bob password='a b' dbname='my db'", {})
    assert (endpoint.database, endpoint.password) == ("my db", "a b")
    assert endpoint.display() == "bob@/run/pg/my db"


def test_without_a_dsn_libpq_finds_everything_itself() -> None:
    environ = {"PGDATABASE": "shop", "PGUSER": "alice", "PGHOST": "db", "PGPASSWORD": SECRET}
    endpoint = Endpoint.parse(None, environ)
    assert endpoint.keywords == ()
    assert endpoint.display() == "alice@db:5432/shop"
    assert "PGPASSWORD" not in endpoint.environment()
    assert set(words(endpoint)) == {"dbname", "options", "application_name", "client_encoding",
                                    "connect_timeout", "keepalives_idle", "keepalives_interval",
                                    "keepalives_count"}  # fmt: skip


def test_a_host_that_is_gone_is_noticed_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    assert words(Endpoint.parse("host=db", {}))["keepalives_idle"] == "60"
    own = Endpoint.parse("host=db keepalives_idle=7", {})
    assert words(own)["keepalives_idle"] == "7"
    path = tmp_path / "services"
    path.write_text("[shop]\nkeepalives_idle=9\n")
    service = Endpoint.parse("service=shop", {"PGSERVICEFILE": str(path)})
    assert "keepalives_idle" not in words(service)


def test_the_database_is_the_users_name_where_nothing_names_one() -> None:
    assert Endpoint.parse("user=carol", {}).database == "carol"
    assert Endpoint.parse(None, {"PGUSER": "dave"}).database == "dave"


def test_a_service_names_database_and_options(tmp_path: Path) -> None:
    path = tmp_path / "services"
    path.write_text("[other]\ndbname=no\n[shop]\n# c\nhost=h\ndbname=fromservice\n"
                    "options=-c role=x\npassword=nono\n")  # fmt: skip
    environ = {"PGSERVICEFILE": str(path), "PGDATABASE": "fromvariable", "PGOPTIONS": "-c a.b=1"}
    endpoint = Endpoint.parse("service=shop", environ)
    assert endpoint.database == "fromservice"
    assert str(words(endpoint)["options"]).startswith("-c role=x -c TimeZone=UTC")
    assert "nono" not in endpoint.conninfo(application_name="snap")


@pytest.mark.parametrize(
    "name", ["-x", "a b'c\"d\\e", "postgresql://x", "host=evil", "", "\\", "'", "ä\n"]
)
def test_a_database_of_any_name_stands_safely_in_a_conninfo(name: str) -> None:
    endpoint = Endpoint.parse("host=h user=u dbname=other", {}).with_database(name)
    text = endpoint.conninfo(application_name="snap 'x'")
    assert not text.startswith("-")
    parsed = conninfo_to_dict(text)
    assert parsed["dbname"] == (name or "u")
    assert (parsed["host"], parsed["application_name"]) == ("h", "snap 'x'")


def test_options_of_the_dsn_beat_those_of_the_environment_and_stand_before_the_pins() -> None:
    endpoint = Endpoint.parse("options='-c work_mem=1MB'", {"PGOPTIONS": "-c work_mem=2MB"})
    options = str(words(endpoint)["options"])
    assert options.startswith("-c work_mem=1MB -c TimeZone=UTC -c DateStyle=ISO")
    assert "2MB" not in options
    spaced = endpoint.conninfo(application_name="s", options=(("a.b", "x y\\z"),))
    assert str(conninfo_to_dict(spaced)["options"]).endswith("-c a.b=x\\ y\\\\z")


def test_no_encoding_of_the_user_reaches_a_dump() -> None:
    endpoint = Endpoint.parse("dbname=x client_encoding=LATIN1", {"PGCLIENTENCODING": "LATIN1"})
    assert words(endpoint)["client_encoding"] == ""
    environment = endpoint.environment()
    assert environment["PGCLIENTENCODING"] == ""
    assert (environment["PGTZ"], environment["PGDATESTYLE"]) == ("default", "default")


def test_the_users_own_connect_timeout_is_kept() -> None:
    assert words(Endpoint.parse("connect_timeout=3", {}))["connect_timeout"] == "3"
    assert "connect_timeout" not in words(Endpoint.parse(None, {"PGCONNECT_TIMEOUT": "4"}))


@pytest.mark.parametrize(
    ("dsn", "detail"),
    [
        ("host=h password=hunter2 words", '"="'),
        ("hunter2", '"="'),
        ("postgresql://u:hunter2@h/d?%2Fx=hunter2", "parameter"),
        ("hunter2option=1", "keyword"),
        ("postgresql+other://u:hunter2@h/d", "postgresql+other://"),
        ("mysql://u:hunter2@h/d", "mysql://"),
        ("postgresql://u:hunter2%zz@h/d", "percent"),
        ("password='hunter2", "no end"),
    ],
)
def test_a_bad_dsn_is_a_usage_error_that_repeats_nothing_of_it(dsn: str, detail: str) -> None:
    with pytest.raises(UsageError) as caught:
        Endpoint.parse(dsn, {})
    error = caught.value
    assert detail in error.detail
    assert "postgresql://user@host" in error.hint
    assert "hunter2" not in f"{error.message}{error.detail}{error.hint}"
    assert error.__cause__ is None
    assert error.__suppress_context__


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:hunter2/x@h:5432/d",
        "postgresql://u:12/hunter2@h/d",
        "postgresql://u:p@hunter2@h/d",
        "postgresql://u:hunter2",
        "postgresql://u:12?user=hunter2@h/d",
        "postgresql://u:p;#hunter2@h[/d",
        "postgresql://u:p@h:0/hunter2",
        "host=h port=hunter2",
        "dbname=postgresql://u:hunter2@h/d",
    ],
)
def test_a_password_that_passes_for_something_else_is_refused_without_it(dsn: str) -> None:
    with pytest.raises(UsageError) as caught:
        Endpoint.parse(dsn, {})
    error = caught.value
    assert error.hint
    assert "hunter2" not in f"{error.message}{error.detail}{error.hint}"


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://u@h:5432/d?password=p@ss", "u@h:5432/d"),
        ("postgresql://u:p@[::1]:6543/d", "u@::1:6543/d"),
        ("postgresql://u:p@h1:1,h2:2/d", "u@h1,h2:1,2/d"),
        ("postgresql://u%40corp:p@h/my%40db", "u@corp@h:5432/my@db"),
        ("postgresql://u@%2Fvar%2Frun/d", "u@/var/run/d"),
        ("postgresql://u:p@bücher.example:/d", "u@bücher.example:5432/d"),
        ("postgresql:///d?host=/tmp&user=u", "u@/tmp/d"),
        ("host=@abstract user=u dbname=a@b", "u@@abstract:5432/a@b"),
    ],
)
def test_what_is_special_where_it_may_stand_is_read(dsn: str, shown: str) -> None:
    assert Endpoint.parse(dsn, {}).display() == shown


@given(st.data())
def test_no_password_is_shown_whatever_is_special_in_it(data: st.DataObject) -> None:
    special = st.lists(st.sampled_from([*"/?@#:%&= '\\[],+;", "12", "é", "://"]), max_size=3)
    before, after = (data.draw(special.map("".join)) for _ in range(2))
    form = data.draw(st.sampled_from(FORMS))
    try:
        endpoint = Endpoint.parse(form.format(f"{before}Zq7Xw{after}"), {})
        shown = f"{endpoint.display()} {endpoint!r} {endpoint.conninfo(application_name='x')}"
    except UsageError as error:
        shown = f"{error.message} {error.detail} {error.hint}"
    assert "Zq7Xw" not in shown


@pytest.mark.parametrize("password", ["a&Zq7Xw", "&Zq7Xw=", "a&x&Zq7Xw=1"])
@pytest.mark.parametrize("name", ["password", "sslpassword"])
def test_what_may_be_a_part_of_a_password_is_not_named(name: str, password: str) -> None:
    with pytest.raises(UsageError) as caught:
        Endpoint.parse(f"postgresql://h/d?user=u&{name}={password}", {})
    assert "Zq7Xw" not in f"{caught.value.message}{caught.value.detail}{caught.value.hint}"
    assert "%26 for &" in caught.value.hint
    with pytest.raises(UsageError, match='"unknown"'):
        Endpoint.parse("postgresql://h/d?unknown=1&password=x", {})


def test_a_port_or_a_name_of_the_environment_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="port in the environment") as caught:
        Endpoint.parse(None, {"PGPORT": "hunter2"})
    assert "hunter2" not in f"{caught.value.message}{caught.value.detail}{caught.value.hint}"
    with pytest.raises(UsageError, match='"dbname" in the environment'):
        Endpoint.parse(None, {"PGDATABASE": "postgresql://u:hunter2@h/d"})


def test_an_empty_dsn_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="empty"):
        Endpoint.parse(" ", {})


def test_secrets_that_only_a_conninfo_can_carry_are_refused() -> None:
    with pytest.raises(UsageError) as caught:
        Endpoint.parse("host=h sslpassword=hunter2", {})
    assert "hunter2" not in f"{caught.value.message}{caught.value.detail}{caught.value.hint}"
    assert "pg_service.conf" in caught.value.hint
