"""Runs histories, with a kill in each, and cuts the power at random moments of them."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

from pgsnap.errors import NotARepository, RepositoryNotFound
from pgsnap.repository.index.connection import IndexDamaged
from pgsnap.repository.layout import INDEX_FILE
from pgsnap.repository.repository import Repository
from support.faults.disk import Log, read_log, watched
from support.faults.power import Disk
from support.repositories.histories import (
    LATER,
    PACK_BYTES,
    check_and_go_on,
    commit_state,
    play,
    use_torn_index,
)
from support.repositories.made import in_child, make

REPOSITORY = Path("database") / "backups"


class History:
    """The effects of three processes on one repository; the second was killed in mid-commit."""

    def __init__(self, folder: Path, kill_at: int, *, in_doubt: bool) -> None:
        self._base = folder / "disk"
        self._log = folder / "log"
        self._indexes = folder / "indexes"
        for made in (folder, self._base, self._indexes):
            made.mkdir()
        assert in_child(self._first) == 0
        in_child(lambda: self._killed(Log(self._log, kill_at, in_doubt=in_doubt)))
        assert in_child(self._last) == 0
        self.effects: list[tuple[Any, ...]] = read_log(self._log)

    @property
    def path(self) -> Path:
        return self._base / REPOSITORY

    def _mark(self, log: Log, label: str) -> None:
        shutil.copy(self.path / INDEX_FILE, self._indexes / label)
        log.mark(label)

    def _first(self) -> None:
        log = Log(self._log)
        with watched(self._base, log):
            make(self.path, pack_bytes=PACK_BYTES)
            log.mark("made")
            play(self.path, 0, 1, lambda label: self._mark(log, label))

    def _killed(self, log: Log) -> None:
        with watched(self._base, log):
            commit_state(self.path, 2)

    def _last(self) -> None:
        log = Log(self._log)
        with watched(self._base, log):
            # The state of the commit that was killed: its packs are there, and may not be durable.
            play(self.path, 2, 3, lambda label: self._mark(log, label))

    def cut(self, target: Path, at: int, chance: random.Random) -> tuple[set[str], bool]:
        """Write what is left when the power goes before the effect *at*. Return the marks that
        were passed, and whether the index is torn."""
        disk, marks = Disk(), set()
        for record in self.effects[:at]:
            disk.do(record)
            if record[0] == "mark":
                marks.add(record[1])
        disk.cut(target, chance)
        torn = False
        if (target / REPOSITORY).is_dir():
            torn = self._leave_index(target / REPOSITORY / INDEX_FILE, chance)
        return marks, torn

    def _leave_index(self, index: Path, chance: random.Random) -> bool:
        """Leave an index of any moment, also one that tells of what is lost; whole, torn or none.
        Return whether it is torn: SQLite's own journal prevents that unless the disk lies."""
        choices = sorted(self._indexes.iterdir())
        data = bytearray(chance.choice(choices).read_bytes())
        how = chance.choice(("none", "whole", "whole", "torn", "cut"))
        if how == "torn":
            start = chance.randrange(0, len(data), 4096)
            data[start : start + 4096] = bytes(4096)
        elif how == "cut":
            del data[chance.randrange(0, len(data), 512) :]
        if how != "none":
            index.write_bytes(data)
        return how in ("torn", "cut")


def cut_power(folder: Path, *, histories: int, cuts: int, seed: int) -> int:
    """Cut the power *cuts* times in each of *histories*; check what is left. Return how often
    there was a commit that had to survive."""
    chance = random.Random(seed)
    survived = 0
    for number in range(histories):
        in_doubt = number % 2 == 0
        kill_at = chance.randrange(12) if in_doubt else chance.randrange(10, 110)
        history = History(folder / f"history-{number}", kill_at, in_doubt=in_doubt)
        for serial in range(cuts):
            at = chance.randrange(len(history.effects) + 1)
            target = folder / f"cut-{number}-{serial}"
            marks, torn = history.cut(target, at, chance)
            where = f"seed {seed}, history {number}, cut {serial} at {at}: {target}"
            try:
                # No second cut comes: waiting for the disk would only take time.
                with mock.patch.object(os, "fsync", return_value=None):
                    survived += bool(check_cut(target / REPOSITORY, marks, torn))
            except BaseException as error:
                error.add_note(where)
                raise
            shutil.rmtree(target)
    return survived


def check_cut(path: Path, marks: set[str], torn: bool) -> set[int]:
    """Check what a cut left of a history; return the states that had to survive."""
    returned = {int(mark) for mark in marks if mark != "made"}
    if not marks:
        try:
            Repository.open(path).close()
        except (RepositoryNotFound, NotARepository):
            return set()
        except IndexDamaged:
            pass
    if torn:
        returned |= use_torn_index(path)
    check_and_go_on(path, returned)
    return returned - {LATER}
