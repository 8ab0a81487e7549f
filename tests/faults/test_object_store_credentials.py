"""Credentials that are wrong, too old, or may not do what is asked: errors in words, no secrets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pgsnap.errors import ObjectExists, StoreError
from pgsnap.stores.base import Store
from pgsnap.stores.objects.store import ObjectStore
from pgsnap.stores.opening import open_store
from support.servers.object_server import Fault, ObjectServer, Rights, Seen
from support.servers.object_stores import QUICK, SERVERS, aws_environ, free_port

PROFILE = "[default]\naws_access_key_id = {key}\naws_secret_access_key = geheim\n"


@pytest.mark.parametrize("name", ["nanio", "rclone"])
def test_a_wrong_secret_is_named_by_its_source_and_never_shown(name: str, tmp_path: Path) -> None:
    with SERVERS[name](tmp_path) as running:
        environ = aws_environ(running.endpoint, secret="geheimgeheimgeheim")
        store = open_store("s3://bucket/p", environ, pace=QUICK)
        for call in (
            lambda: store.get("config"),
            lambda: store.put("a", b"x"),
            lambda: list(store.list("a/")),
        ):
            with pytest.raises(StoreError) as caught:
                call()
            error = caught.value
            assert "access is denied" in error.message
            assert "the environment (AWS_ACCESS_KEY_ID)" in error.detail
            assert "AWS_PROFILE" in error.hint
            assert "geheim" not in f"{error.message} {error.detail} {error.hint}"


def test_keys_that_were_renewed_in_their_file_are_used_once_the_old_ones_expired(
    tmp_path: Path,
) -> None:
    expired = {"OLDKEY"}

    def plan(seen: Seen) -> Fault | None:
        return Fault.EXPIRED if seen.who in expired else None

    file = tmp_path / "credentials"
    file.write_text(PROFILE.format(key="OLDKEY"))
    with ObjectServer(plan=plan) as server:
        environ = {
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_SHARED_CREDENTIALS_FILE": str(file),
            "AWS_CONFIG_FILE": "/dev/null",
        }
        store = open_store("s3://bucket/p", environ, pace=QUICK)
        with pytest.raises(StoreError) as caught:
            store.put("a", b"x")
        assert "the credentials have expired" in caught.value.message
        assert 'the profile "default"' in caught.value.detail
        file.write_text(PROFILE.format(key="NEWKEY"))
        store.put("a", b"x")
        assert server.data("p/") == {"a": b"x"}
        assert server.seen[-1].who == "NEWKEY"


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("http://127.0.0.1:{port}", "Connection refused"),
        ("http://host.invalid:{port}", "lookup"),
    ],
)
def test_a_server_that_cannot_be_reached_is_reported_after_a_few_attempts(
    endpoint: str, reason: str
) -> None:
    environ = aws_environ(endpoint.format(port=free_port()))
    store = open_store("s3://bucket/p", environ)
    assert isinstance(store, ObjectStore)
    with pytest.raises(StoreError) as caught:
        store.get("config")
    assert caught.value.message == 'cannot read "config"'
    assert reason in caught.value.detail
    assert environ["AWS_ENDPOINT_URL"] in caught.value.detail
    assert store.counts().get == 4


ALLOWED: dict[str, tuple[Callable[[Store], None], bool]] = {
    "create": (lambda store: store.create("packs/new", b"x"), True),
    "read": (lambda store: _ignored(store.get("packs/old")), True),
    "list": (lambda store: _ignored(list(store.list("packs/"))), True),
    "put": (lambda store: store.put("packs/new", b"x"), False),
    "overwrite": (lambda store: store.put("packs/old", b"y"), False),
    "swap": (lambda store: store.replace("packs/old", b"y", b"x"), False),
    "swap away": (lambda store: store.replace("packs/old", None, b"x"), False),
    "delete": (lambda store: store.delete("packs/old"), False),
    "delete several": (lambda store: store.delete("packs/old", "packs/older"), False),
}


def _ignored(value: object) -> None:
    """Take the result of a read."""


@pytest.mark.parametrize("task", ALLOWED)
def test_credentials_that_may_only_create_change_nothing_that_is_there(task: str) -> None:
    rights = {"ONLYCREATES": Rights(overwrites=(), deletes=())}
    with ObjectServer(rights=rights) as server:
        server.write("p/config", b"x", lambda _: 0)
        server.write("p/packs/old", b"x", lambda _: 0)
        server.write("p/packs/older", b"x", lambda _: 0)
        environ = aws_environ(server.endpoint, key="ONLYCREATES")
        store = open_store("s3://bucket/p", environ, pace=QUICK)
        call, may = ALLOWED[task]
        if may:
            call(store)
            return
        with pytest.raises(StoreError) as caught:
            call(store)
        assert "access is denied" in caught.value.message
        assert server.data("p/packs/") == {"old": b"x", "older": b"x"}


def test_a_create_of_what_exists_is_no_lack_of_rights() -> None:
    rights = {"ONLYCREATES": Rights(overwrites=(), deletes=())}
    with ObjectServer(rights=rights) as server:
        server.write("p/config", b"x", lambda _: 0)
        store = open_store("s3://bucket/p", aws_environ(server.endpoint, key="ONLYCREATES"))
        with pytest.raises(ObjectExists):
            store.create("config", b"y")
