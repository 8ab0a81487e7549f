"""The stores beside which snap is measured: restic and borg, fed with a dump by pipe or file."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from measure import Command
from setting import Setting

# restic cannot do without one. Nothing worth keeping is ever in these repositories.
THROW_AWAY_PASSWORD = "benchmark"
DUMP_NAME = "dump.sql"


class Peer(Protocol):
    """A deduplicating store that takes a dump on standard input."""

    @property
    def name(self) -> str: ...
    @property
    def repository(self) -> Path: ...
    def init(self) -> None:
        """Make an empty repository in the place of what was there."""

    def store(self, archive: str, database: str) -> Command:
        """Return the pipeline that stores a dump of *database*."""

    def store_file(self, archive: str, dump: Path) -> Command:
        """Return the command that stores a dump from a file."""

    def read(self, archive: str) -> Command:
        """Return the command that writes a stored dump to /dev/null."""


@dataclass(frozen=True, slots=True)
class Restic:
    """restic, with the compression that it has by default."""

    setting: Setting
    name: str = "restic"

    @property
    def repository(self) -> Path:
        return self.setting.scratch / "restic"

    @property
    def _environment(self) -> dict[str, str]:
        return self.setting.environment(
            RESTIC_REPOSITORY=str(self.repository),
            RESTIC_PASSWORD=THROW_AWAY_PASSWORD,
            RESTIC_CACHE_DIR=str(self.setting.scratch / "restic-cache"),
        )

    def init(self) -> None:
        self.setting.folder("restic-cache")
        self.setting.folder("restic")
        _quietly(("restic", "init", "--quiet"), self._environment)

    def _backup(self, archive: str) -> tuple[str, ...]:
        backup = ("restic", "backup", "--quiet", "--stdin", "--stdin-filename", DUMP_NAME)
        return (*backup, "--tag", archive)

    def store(self, archive: str, database: str) -> Command:
        return Command(
            (self.setting.server.pg_dump(database), self._backup(archive)),
            environment=self._environment,
        )

    def store_file(self, archive: str, dump: Path) -> Command:
        return Command((self._backup(archive),), stdin=dump, environment=self._environment)

    def read(self, archive: str) -> Command:
        dump = ("restic", "dump", "--quiet", "--tag", archive, "latest", DUMP_NAME)
        return Command((dump,), environment=self._environment)


@dataclass(frozen=True, slots=True)
class Borg:
    """borg, with zstd level 3 and without encryption, as snap has it."""

    setting: Setting
    name: str = "borg"

    @property
    def repository(self) -> Path:
        return self.setting.scratch / "borg"

    @property
    def _environment(self) -> dict[str, str]:
        return self.setting.environment(
            BORG_REPO=str(self.repository),
            BORG_BASE_DIR=str(self.setting.scratch / "borg-base"),
            BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK="yes",
        )

    def init(self) -> None:
        self.setting.folder("borg-base")
        self.setting.folder("borg")
        _quietly(("borg", "init", "--encryption", "none"), self._environment)

    def _create(self, archive: str) -> tuple[str, ...]:
        create = ("borg", "create", "--compression", "zstd,3", "--stdin-name", DUMP_NAME)
        return (*create, f"::{archive}", "-")

    def store(self, archive: str, database: str) -> Command:
        return Command(
            (self.setting.server.pg_dump(database), self._create(archive)),
            environment=self._environment,
        )

    def store_file(self, archive: str, dump: Path) -> Command:
        return Command((self._create(archive),), stdin=dump, environment=self._environment)

    def read(self, archive: str) -> Command:
        return Command(
            (("borg", "extract", "--stdout", f"::{archive}"),), environment=self._environment
        )


def installed_peers(setting: Setting) -> list[Peer]:
    """Return the peers that are installed, and say which are not."""
    peers: list[Peer] = []
    for peer in (Restic(setting), Borg(setting)):
        if shutil.which(peer.name):
            peers.append(peer)
        else:
            setting.say(f"{peer.name} is not installed: left out")
    return peers


def _quietly(argv: tuple[str, ...], environment: dict[str, str]) -> None:
    subprocess.run(argv, env=environment, check=True, capture_output=True, stdin=subprocess.DEVNULL)
