"""Object stores pass the contract of stores, on servers that honour all it takes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from contract.store_contract import StoreBasics
from contract.store_races import RacesOfProcesses
from pgsnap.stores.base import Store
from support.running.breadth import times
from support.servers.object_server import ObjectServer
from support.servers.object_stores import SERVERS, Running, aws_environ


class ObjectStoreContract(StoreBasics):
    """Every test has a prefix of its own; the server is the class's."""

    SERVER: str

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
        folder: Path = tmp_path_factory.mktemp(cls.SERVER)
        with SERVERS[cls.SERVER](folder) as running:
            yield running

    @pytest.fixture
    def again(self, server: Running) -> Callable[[], Store]:
        return partial(server.store, f"test/{secrets.token_hex(4)}")

    @pytest.fixture
    def store(self, again: Callable[[], Store]) -> Store:
        return again()


class TestMoto(ObjectStoreContract):
    SERVER = "moto"
    # The other S3 servers have more than a page.
    MANY = times(150, 1100)


class TestAzurite(ObjectStoreContract):
    SERVER = "azurite"
    # A page of Azure's has 5,000.
    MANY = times(150, 5500)


class OwnServerContract(ObjectStoreContract):
    """The server that injects faults, without any."""

    SCHEME: str

    @pytest.fixture(scope="class")
    @classmethod
    def server(cls) -> Iterator[Running]:
        with ObjectServer() as made:
            environ = {**aws_environ(made.endpoint), "GOOGLE_BEARER_TOKEN": "a-token"}
            yield Running(made.endpoint, environ, cls.SCHEME)


class TestOwnS3(OwnServerContract):
    SCHEME = "s3"


class TestOwnGoogleCloudStorage(OwnServerContract):
    SCHEME = "gs"


class TestMinistack(ObjectStoreContract, RacesOfProcesses):
    SERVER = "ministack"
    START = "spawn"
