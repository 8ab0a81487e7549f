"""What the user, or a command, said of the snapshots of a search; a file in the user's state
folder, one for each repository, so that a search goes on tomorrow."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

from blake3 import blake3

from pgsnap.errors import UsageError
from pgsnap.files import whole
from pgsnap.files.folder import Folder
from pgsnap.files.owned import make_folders
from pgsnap.model import SnapshotId
from pgsnap.values import dataclass
from pgsnap.workflows.throw_away.bisection import Bisection, Mark

_BYTES_MAX = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Marks:
    """A search under way in the repository at *place*. *like* is a snapshot of the chain that it
    goes through. *marked* are its marks in the order in which they were made: hexadecimal ids,
    each with a value of Mark."""

    place: str
    like: str
    marked: tuple[tuple[str, str], ...] = ()

    def with_mark(self, snapshot: SnapshotId, mark: Mark) -> Marks:
        """Return it with one more mark, which replaces an earlier one of the same snapshot."""
        name = snapshot.hex()
        others = tuple(one for one in self.marked if one[0] != name)
        return replace(self, marked=(*others, (name, mark.value)))

    def over(self, snapshots: tuple[SnapshotId, ...]) -> Bisection:
        """Return the search through *snapshots*. Those marked that are gone do not count."""
        marked = {bytes.fromhex(name): Mark(value) for name, value in self.marked}
        return Bisection.of(snapshots, marked)


class MarksFile:
    """The file of the marks for the repository at *place*, below the user's state folder."""

    def __init__(self, state: Path, place: str) -> None:
        self._place = os.path.realpath(place) if "://" not in place else place.rstrip("/")
        self._folder = Folder(state.parent, below=f"{state.name}/bisect")
        digest = blake3(self._place.encode("utf-8", "surrogateescape")).hexdigest(length=16)
        self._name = f"{digest}.json"
        self.path = state / "bisect" / self._name

    def begin(self, like: SnapshotId) -> Marks:
        """Return a search without a mark yet."""
        return Marks(self._place, like.hex())

    def read(self) -> Marks | None:
        """Return the search under way, None if there is none. Raises UsageError."""
        try:
            value = json.loads(self._folder.read(self._name, _BYTES_MAX))
            marked = tuple((str(name), Mark(mark).value) for name, mark in value["marked"])
            for name in (str(value["like"]), *(name for name, _ in marked)):
                bytes.fromhex(name)
            return Marks(str(value["place"]), str(value["like"]), marked)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, KeyError, RecursionError):
            raise UsageError(
                f'the file of the search cannot be read: "{self.path}"',
                hint="Begin again: snap bisect reset",
            ) from None

    def write(self, marks: Marks) -> None:
        make_folders(self._folder.root)
        self._folder.make("")
        whole.write(self._folder, self._name, json.dumps(asdict(marks)).encode())

    def forget(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._folder.unlink(self._name)
