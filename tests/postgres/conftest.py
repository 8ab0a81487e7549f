"""What most tests with a real server need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.repository.repository import Repository
from support.restoring.clients import new_repository


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    """An empty repository, open."""
    with new_repository(tmp_path / "repo") as opened:
        yield opened
