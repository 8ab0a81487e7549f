"""The local folder passes the contract of stores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contract.store_contract import StoreContract
from pgsnap.stores.base import Store
from pgsnap.stores.local import LocalStore


class TestLocalStore(StoreContract):
    @pytest.fixture
    def again(self, tmp_path: Path) -> Callable[[], Store]:
        return lambda: LocalStore(tmp_path / "store")

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        made = LocalStore(tmp_path / "store")
        made.make_root()
        return made
