"""Fixtures of the command-line tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.cluster.cluster import Cluster
from support.running.commandline import CommandLine
from support.servers.databases import Database, new_name


@pytest.fixture
def snap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CommandLine:
    """`snap` in an empty folder, with nothing set in its environment."""
    return CommandLine(tmp_path, monkeypatch, capfd)


@pytest.fixture
def own_cluster_database(own_cluster: Cluster) -> Database:
    """A database of a cluster that the test may stop."""
    name = new_name()
    own_cluster.create_database(name)
    return Database(own_cluster, name)
