"""Fixtures of the command-line tests."""

from __future__ import annotations

import pytest

from pgsnap.cluster.cluster import Cluster
from support.servers.databases import Database, new_name


@pytest.fixture
def own_cluster_database(own_cluster: Cluster) -> Database:
    """A database of a cluster that the test may stop."""
    name = new_name()
    own_cluster.create_database(name)
    return Database(own_cluster, name)
