"""A private PostgreSQL for one command, on this host; removed afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pgsnap.sessions.server import Server


@contextmanager
def private_server(major: int | None) -> Iterator[Server]:
    """Start a PostgreSQL of *major* (None: the newest here) in a temporary folder, and remove it
    at the end, even if this process is killed. Raises ToolMissing, ClusterError."""
    from pgsnap.cluster import binaries
    from pgsnap.cluster.cluster import Cluster
    from pgsnap.runners.local import LocalRunner
    from pgsnap.sessions.endpoint import Endpoint
    from pgsnap.sessions.server import Server

    found = binaries.find(major)
    with Cluster(found) as cluster:
        yield Server(Endpoint.parse(cluster.dsn(), {}), LocalRunner(found.bindir))
