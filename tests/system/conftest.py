"""Fixtures of the tests that run the installed command."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.cluster.binaries import Binaries
from support.restoring.clients import databases_like
from support.restoring.steps import SCRATCH_OR_KEPT
from support.running.installed import Shop
from support.servers.containers import Container, Podman
from support.servers.databases import Database


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Iterator[Shop]:
    """A database in state "old" that was committed, and is in state "new" now."""
    yield Shop.made(database, tmp_path)
    for name in databases_like(database, SCRATCH_OR_KEPT):
        database.cluster.drop_database(name)


@pytest.fixture(scope="session")
def podman(binaries: Binaries) -> Iterator[Podman]:
    """A container engine of the tests' own, with an image of PostgreSQL."""
    if shutil.which("podman") is None and shutil.which("apt-get") is not None:
        subprocess.run(
            # Several workers may come here at the same time.
            ["apt-get", "-o", "DPkg::Lock::Timeout=300", "install", "-y", "-q",
             "--no-install-recommends", "podman"],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    if shutil.which("podman") is None:
        pytest.skip("needs Podman: run `apt-get install podman`")
    # Podman refuses a path of more than 50 characters, and pytest's own are longer.
    under = tempfile.gettempdir()
    if len(f"{under}/podman-12345678/run") > 50:
        under = "/tmp"
    engine = Podman(Path(tempfile.mkdtemp(prefix="podman-", dir=under)), binaries)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def server(podman: Podman) -> Container:
    """A server in a container that all tests share: role and database are both called shop."""
    return podman.postgres(POSTGRES_USER="shop", POSTGRES_DB="shop")
