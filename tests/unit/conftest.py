"""Repositories for unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.repository.repository import Repository
from support.repositories.made import make


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The folder of a new repository."""
    return make(tmp_path / "backups")


@pytest.fixture
def repo(path: Path) -> Iterator[Repository]:
    """The same repository, open."""
    with Repository.open(path) as opened:
        yield opened
