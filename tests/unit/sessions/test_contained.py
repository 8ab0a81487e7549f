"""Which server and role is meant inside a container."""

from __future__ import annotations

import pytest

from pgsnap.errors import UsageError
from pgsnap.sessions.contained import endpoint_inside
from pgsnap.sessions.failures import connection_failed

IMAGE = {"POSTGRES_USER": "shop", "POSTGRES_DB": "shopdb", "POSTGRES_PASSWORD": "geheim"}


def test_nothing_said_means_what_the_image_made() -> None:
    found = endpoint_inside(None, {}, IMAGE, "db")
    assert (found.user, found.database, found.host) == ("shop", "shopdb", "")
    assert found.password == "geheim"
    assert found.display() == "shop@container db/shopdb"
    bare = endpoint_inside(None, {}, {}, "db")
    assert (bare.user, bare.database, bare.password) == ("postgres", "postgres", None)
    assert endpoint_inside(None, {}, {"POSTGRES_USER": "me"}, "db").database == "me"


def test_the_role_is_in_the_connection_string_and_the_password_is_not() -> None:
    words = endpoint_inside(None, {}, IMAGE, "db").conninfo(application_name="x")
    assert "user='shop'" in words
    assert "dbname='shopdb'" in words
    assert "geheim" not in words


def test_variables_of_this_host_say_who_but_not_where() -> None:
    ours = {
        "PGUSER": "me", "PGDATABASE": "mine", "PGHOST": "far", "PGPORT": "9", "PGPASSWORD": "own",
        "PGSERVICE": "prod", "PGOPTIONS": "-c work_mem=1MB",
    }  # fmt: skip
    found = endpoint_inside(None, ours, {**IMAGE, "PGHOST": "/sock"}, "db")
    assert (found.user, found.database, found.host) == ("me", "mine", "/sock")
    assert found.password == "own"
    words = found.conninfo(application_name="x")
    assert "-c work_mem=1MB" in words
    assert "far" not in words


def test_the_images_password_is_for_its_own_role_and_socket_only() -> None:
    assert endpoint_inside("user=other", {}, IMAGE, "db").password is None
    assert endpoint_inside("host=elsewhere", {}, IMAGE, "db").password is None
    assert endpoint_inside("password=said", {}, IMAGE, "db").password == "said"


def test_a_refused_connection_is_explained_from_inside() -> None:
    error = connection_failed("Peer authentication failed", endpoint_inside(None, {}, {}, "db"))
    assert 'container_user = "postgres"' in error.hint
    error = connection_failed("Connection refused", endpoint_inside(None, {}, {}, "db"))
    assert "seen from inside" in error.hint


def test_a_service_file_of_this_host_is_refused() -> None:
    with pytest.raises(UsageError, match="service file"):
        endpoint_inside("service=shop", {}, {}, "db")
