"""A repository on an object server that fails on request, and hosts with caches of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pgsnap.repository.places.remote import RemotePlace
from pgsnap.repository.repository import Repository
from pgsnap.stores.opening import open_store
from pgsnap.stores.pacing import Pace
from support.repositories.collecting import sound_versions_in
from support.servers.object_server import ObjectServer
from support.servers.object_stores import KEY, aws_environ

# Two attempts: a fault that is repeated ends the command. A busy machine may take its time.
PATIENT = Pace(
    attempts=2,
    first_pause_seconds=0.01,
    longest_pause_seconds=0.02,
    base_seconds=60,
)
# For requests that are not answered.
HASTY = replace(PATIENT, base_seconds=0.5)


class Remote:
    """A repository on *server*, and hosts with caches of their own."""

    def __init__(self, server: ObjectServer, caches: Path, prefix: str = "p") -> None:
        self.server = server
        self._caches = caches
        self.pace = PATIENT
        self._url = f"s3://bucket/{prefix}"
        Repository.create(self.place())

    def place(self, key: str = KEY) -> RemotePlace:
        environ = aws_environ(self.server.endpoint, key=key)
        return RemotePlace(self._url, open_store(self._url, environ, pace=self.pace))

    def open(
        self,
        host: str = "here",
        *,
        key: str = KEY,
        alone: bool = False,
        lock_timeout_seconds: float = 20.0,
        whole: bool = False,
    ) -> Repository:
        return Repository.open(
            self.place(key),
            index_folder=self._caches / host,
            alone=alone,
            lock_timeout_seconds=lock_timeout_seconds,
            whole=whole,
        )

    def check(self) -> set[int]:
        """Check that all that is seen reads back; return the numbers of the versions."""
        # As `snap verify` does: what was to be published may not be in the log yet.
        with self.open("checker", whole=True) as repo:
            return sound_versions_in(repo)
