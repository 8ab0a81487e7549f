"""SFTP passes the contract of stores, on OpenSSH's server and on asyncssh's."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.store_contract import StoreContract
from pgsnap.stores.base import Store
from pgsnap.stores.sftp.store import SftpStore
from support.servers.sshd import AsyncsshServer, Server, Sshd, serving, use_home

pytest.importorskip("asyncssh")


class SftpContract(StoreContract):
    """Inherited by the tests of each server, which give the fixture `server`."""

    @pytest.fixture
    def again(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Callable[[], Store]:
        server.knows(tmp_path)
        use_home(tmp_path, monkeypatch)
        address = server.address(secrets.token_hex(8))
        return lambda: SftpStore(address)

    @pytest.fixture
    def store(self, again: Callable[[], SftpStore]) -> Iterator[Store]:
        made = again()
        yield made
        made.close()


class TestOpenSsh(SftpContract):
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> Iterator[Server]:
        with serving(Sshd) as server:
            yield server


class TestAsyncssh(SftpContract):
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> Iterator[Server]:
        with serving(AsyncsshServer) as server:
            yield server
