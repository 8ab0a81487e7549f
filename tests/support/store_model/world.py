"""A small repository on a disk that is watched: killed at any effect, cut from power, damaged."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pgsnap.format.small import decode_config, encode_config
from pgsnap.model import ChunkerParams
from pgsnap.repository.layout import CONFIG, INDEX_FILE
from pgsnap.repository.repository import Repository
from support.faults.damaging import flip
from support.faults.disk import KillAt, Log, read_log, watched
from support.faults.power import Disk
from support.repositories.made import in_child, make

# So small that a table of 30 kB has lists of chunks, and a commit some packs.
SIZES = ChunkerParams(256, 512, 2048)
PACK_BYTES = 12_000


def make_small(path: Path) -> Path:
    """Make a repository that cuts small chunks and closes packs early."""
    make(path)
    file = path / CONFIG
    config = decode_config(file.read_bytes())
    file.write_bytes(encode_config(replace(config, chunker=SIZES, pack_bytes=PACK_BYTES)))
    return path


class World:
    """Holds the repository in `path`. All that writes to it runs in `running` or `killed`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._disks = 0
        # What may have changed how packs are found and read.
        self.faults = 0
        base = folder / "disk-0"
        base.mkdir(parents=True)
        make_small(base / "backups")
        self._use(base)

    def _use(self, base: Path) -> None:
        """Go on with what is in *base*; all of it is durable."""
        self.faults += 1
        self._base = base
        self._log = base.with_name(base.name + ".log")
        self._log.unlink(missing_ok=True)
        self._watcher = Log(self._log)
        self._disk = Disk.holding(base)

    @property
    def path(self) -> Path:
        return self._base / "backups"

    @contextmanager
    def running(self) -> Iterator[None]:
        with watched(self._base, self._watcher):
            yield

    def killed(self, task: Callable[[Path], object], moment: int) -> bool:
        """Run *task* in a child that is killed at an effect; tell whether it was."""

        def run() -> None:
            with watched(self._base, Log(self._log, moment)):
                task(self.path)

        return self._status(run)

    def killed_unlogged(self, task: Callable[[Path], object], moment: int) -> bool:
        """The same, killed also in the middle of writes; what it did is durable."""

        def run() -> None:
            with watched(self._base, KillAt(moment)):
                task(self.path)

        try:
            return self._status(run)
        finally:
            self._use(self._base)

    def _status(self, run: Callable[[], None]) -> bool:
        self.faults += 1
        status = in_child(run)
        assert status in (0, -signal.SIGKILL), status
        return status != 0

    def cut_power(self, chance: random.Random) -> str:
        """Go on with what a power cut now leaves; return which index there is: "none", the
        "latest", or an "older" one."""
        for record in read_log(self._log):
            self._disk.do(record)
        self._disks += 1
        target, before = self._folder / f"disk-{self._disks}", self._base
        self._disk.cut(target, chance)
        index = chance.choice(("none", "latest", "latest", "older"))
        if index == "older" and not self._copies.exists():
            index = "latest"
        found = before / "backups" if index == "latest" else self._copies
        if index != "none":
            _copy_index(found, target / "backups")
        shutil.rmtree(before)
        self._use(target)
        return index

    @property
    def _copies(self) -> Path:
        return self._folder / "index"

    def keep_index(self) -> None:
        """Keep a copy of the index, as another host that shares the repository has one."""
        shutil.rmtree(self._copies, ignore_errors=True)
        self._copies.mkdir()
        _copy_index(self.path, self._copies)

    def use_kept_index(self) -> bool:
        if not self._copies.exists():
            return False
        self.lose_index()
        _copy_index(self._copies, self.path)
        return True

    def lose_index(self) -> None:
        self.faults += 1
        for file in self.path.glob(f"{INDEX_FILE}*"):
            file.unlink()

    def copy(self) -> Path:
        """Return a whole copy of the repository."""
        target = self._folder / "copy"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.path, target)
        return target

    def damage(self, chance: random.Random) -> Path:
        """Damage one object, and return its file."""
        places = ["packs", "packs", "snapshots", "tags", "notes"]
        place = chance.choice([name for name in places if any(self._files(name))])
        file = chance.choice(self._files(place))
        # The loss of a tag or a note is no damage that can be seen.
        how = chance.choice(["flip", "cut", "delete"] if place in places[:3] else ["flip", "cut"])
        data = file.read_bytes()
        if how == "flip":
            flip(file, chance.randrange(len(data)))
        elif how == "cut":
            file.write_bytes(data[: chance.randrange(len(data))])
        else:
            file.unlink()
        self._use(self._base)
        return file

    def _files(self, place: str) -> list[Path]:
        return sorted(file for file in (self.path / place).rglob("*") if file.is_file())

    def open(self, *, alone: bool = False) -> Repository:
        return Repository.open(self.path, alone=alone, lock_timeout_seconds=20)


def _copy_index(source: Path, target: Path) -> None:
    for name in (INDEX_FILE, f"{INDEX_FILE}-wal"):
        if (source / name).exists():
            shutil.copy(source / name, target / name)
