"""The data of `make bench-storage`: the same seed makes the same dumps."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgsnap.cluster.binaries import Binaries
from pgsnap.cluster.cluster import Cluster

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MEGABYTES = 0.1
VERSIONS = 3
# One for each way in which versions are made: rewriting a table, values made outside the server,
# loading by several processes, a copy of the database.
NAMES = ("cluster", "bytea", "staging")


@pytest.fixture(scope="module")
def rooms() -> Iterator[tuple[Any, Any, Any]]:
    """The benchmarks' modules data_sets, setting and workshop: they are no package."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        one, two, three = map(importlib.import_module, ("data_sets", "setting", "workshop"))
        yield one, two, three


@pytest.fixture(scope="module")
def making_cluster(binaries: Binaries, rooms: tuple[Any, Any, Any]) -> Iterator[Cluster]:
    """A server with the settings on which equal dumps depend."""
    with Cluster(binaries, fsync=False, settings=rooms[2].SERVER_SETTINGS) as made:
        yield made


def made(cluster: Cluster, rooms: tuple[Any, Any, Any], name: str, folder: Path) -> list[bytes]:
    """Return the dumps of a tiny data set."""
    data_sets, setting, workshop = rooms
    order = workshop.Order(data_sets.DATA_SETS[name], 7, MEGABYTES, VERSIONS)
    server, environment = setting.server_of(cluster), cluster.environment()
    versions = workshop.versions(order, server, environment, folder)
    return [version.dump.read_bytes() for version in versions]


def data_lines(dump: bytes) -> list[bytes]:
    # pg_dump before its minor versions of 2025 has no way to fix the key of \restrict.
    return [line for line in dump.splitlines() if b"restrict " not in line]


def test_the_same_seed_makes_the_same_versions(
    making_cluster: Cluster, rooms: tuple[Any, Any, Any], tmp_path: Path
) -> None:
    for name in NAMES:
        once = [data_lines(dump) for dump in made(making_cluster, rooms, name, tmp_path)]
        again = [data_lines(dump) for dump in made(making_cluster, rooms, name, tmp_path)]
        assert len(once) == VERSIONS
        assert once == again, name
        assert once[0] != once[1] != once[2], name
        assert not list(tmp_path.rglob("*.sql")), "dumps that nobody wanted to keep are left"


def test_a_kept_dump_is_used_again_only_for_the_same_wish(
    making_cluster: Cluster, rooms: tuple[Any, Any, Any], tmp_path: Path
) -> None:
    data_sets, setting, workshop = rooms
    server, environment = setting.server_of(making_cluster), making_cluster.environment()

    def wished(seed: int) -> list[str]:
        order = workshop.Order(data_sets.DATA_SETS["append"], seed, MEGABYTES, 2, tmp_path)
        said: list[str] = []
        list(workshop.versions(order, server, environment, tmp_path, said.append))
        return said

    assert len(wished(1)) == 2
    kept = (tmp_path / "append" / "02.sql").read_bytes()
    assert wished(1) == []
    assert (tmp_path / "append" / "02.sql").read_bytes() == kept
    assert len(wished(2)) == 2
    assert (tmp_path / "append" / "02.sql").read_bytes() != kept
