"""Fixtures of the tests that run the installed command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.databases import Database
from support.installed import Shop
from support.restore_steps import SCRATCH_OR_KEPT
from support.restoring import databases_like


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Iterator[Shop]:
    """A database in state "old" that was committed, and is in state "new" now."""
    yield Shop.made(database, tmp_path)
    for name in databases_like(database, SCRATCH_OR_KEPT):
        database.cluster.drop_database(name)
