"""Fixtures of the command-line tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.cluster.cluster import Cluster
from pgsnap.repository.repository import Repository
from support.repositories.collecting import commit_versions
from support.repositories.made import make
from support.running import cron as running_cron
from support.running.commandline import CommandLine
from support.servers import object_stores
from support.servers.databases import Database, new_name
from support.servers.object_stores import Running


@pytest.fixture
def cron(
    snap: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[running_cron.Cron]:
    with running_cron.running(snap, monkeypatch, tmp_path) as running:
        yield running


@pytest.fixture
def own_cluster_database(own_cluster: Cluster) -> Database:
    """A database of a cluster that the test may stop."""
    name = new_name()
    own_cluster.create_database(name)
    return Database(own_cluster, name)


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with object_stores.moto(tmp_path_factory.mktemp("moto")) as running:
        yield running


@pytest.fixture(params=["file", "s3"])
def remote(request: pytest.FixtureRequest, snap: CommandLine, tmp_path: Path) -> str:
    """The URL of a place for a repository."""
    if request.param == "file":
        return (tmp_path / "off site").as_uri()
    running: Running = request.getfixturevalue("moto")
    for name, value in running.environ.items():
        snap.setenv(name, value)
    return running.url(tmp_path.name.replace("_", "-"))


@pytest.fixture
def repository(snap: CommandLine) -> Path:
    """A repository of three snapshots, and a snap.toml that names it."""
    path = make(snap.work / "backups")
    with Repository.open(path) as repo:
        commit_versions(repo, range(3))
    (snap.work / "snap.toml").write_text('repository = "backups"\ndatabase = "shop"\n')
    return path
