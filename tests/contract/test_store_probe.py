"""What the probe says of real servers that honour all, some or none of the conditions."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.errors import StoreError
from pgsnap.stores.local import LocalStore
from pgsnap.stores.probe import FOLDER, Probe, Shortfall, Use, probe
from support.servers.object_server import Fault, ObjectServer, Seen
from support.servers.object_stores import SERVERS, Running, aws_environ

SHORT_OF = {
    "moto": set(),
    "ministack": set(),
    "azurite": set(),
    "localbucket": {Shortfall.SWAP, Shortfall.SWAP_ABSENT, Shortfall.DELETE_VERSION},
    "nanio": {
        Shortfall.CREATE,
        Shortfall.SWAP,
        Shortfall.SWAP_ABSENT,
        Shortfall.DELETE_VERSION,
    },
    "rclone": {
        Shortfall.PARTS,
        Shortfall.CREATE,
        Shortfall.SWAP,
        Shortfall.SWAP_ABSENT,
        Shortfall.DELETE_VERSION,
    },
}
USE = {
    "moto": Use.FULL,
    "ministack": Use.FULL,
    "azurite": Use.FULL,
    "localbucket": Use.ONE_WRITER,
    "nanio": Use.ONE_WRITER,
    "rclone": Use.REFUSED,
}


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_is_used_for_what_it_honours(name: str, tmp_path: Path) -> None:
    with SERVERS[name](tmp_path) as running:
        store = running.store("p")
        found = probe(store)
        assert set(found.shortfalls) == SHORT_OF[name]
        assert found.use is USE[name]
        assert len(found.reasons) == len(found.shortfalls)
        assert list(store.list(FOLDER)) == []


def test_a_local_folder_is_fully_usable(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    store.make_root()
    assert probe(store) == Probe(())
    assert list(store.list(FOLDER)) == []


def probed(server: ObjectServer, scheme: str = "s3") -> Probe:
    environ = {**aws_environ(server.endpoint), "GOOGLE_BEARER_TOKEN": "a-token"}
    return probe(Running(server.endpoint, environ, scheme).store("p"))


@pytest.mark.parametrize(
    ("ignored", "shortfalls"),
    [
        ({}, set()),
        ({"if_none_match": False}, {Shortfall.CREATE}),
        (
            {"if_match": False, "delete_if_match": False},
            {Shortfall.SWAP, Shortfall.SWAP_ABSENT, Shortfall.DELETE_VERSION},
        ),
        ({"delete_if_match": False}, {Shortfall.DELETE_VERSION}),
    ],
)
def test_each_condition_that_is_ignored_is_found(
    ignored: dict[str, bool], shortfalls: set[Shortfall]
) -> None:
    with ObjectServer(**ignored) as server:
        assert set(probed(server).shortfalls) == shortfalls
        assert server.data("p/probe/") == {}


def test_google_cloud_storage_is_probed_by_its_own_conditions() -> None:
    with ObjectServer(if_none_match=False, if_match=False) as server:
        assert probed(server, "gs") == Probe(())


def test_creates_that_win_together_are_found() -> None:
    """The server looks and stores in two steps, with a pause between them."""
    with ObjectServer(gap_seconds=0.2) as server:
        assert set(probed(server).shortfalls) == {Shortfall.CREATE}


def test_a_deleted_object_that_stays_is_found() -> None:
    with ObjectServer(deletes=False) as server:
        found = probed(server)
        assert Shortfall.DELETE in found.shortfalls
        assert found.use is Use.REFUSED


def test_a_store_without_rights_is_an_error_and_no_finding() -> None:
    def plan(seen: Seen) -> Fault | None:
        return Fault.DENIED if seen.method == "PUT" else None

    with ObjectServer(plan=plan) as server, pytest.raises(StoreError):
        probed(server)
