"""How much space the files of a repository take, by kind."""

from __future__ import annotations

import contextlib
import os
from dataclasses import fields
from pathlib import Path

from pgsnap.repository import layout
from pgsnap.values import dataclass

_PLACES = {
    layout.PACKS: "packs",
    layout.SNAPSHOTS: "manifests",
    layout.TAGS: "tags",
    layout.NOTES: "notes",
}


@dataclass(slots=True)
class Footprint:
    """Bytes of a repository's files, as `ls -l` shows them; folders are not counted.

    *index* is its part in the repository: 0 if it is in the user's cache folder. *other* is the
    config, locks, temporary files and what a repair moved aside.
    """

    packs: int = 0
    manifests: int = 0
    tags: int = 0
    notes: int = 0
    index: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        return sum(getattr(self, field.name) for field in fields(self))


def footprint(path: Path) -> Footprint:
    """Return the sizes of the files below *path*. Files that vanish meanwhile are left out."""
    found = Footprint()
    # Folders, each with the category of its files; in the top folder that depends on the name.
    waiting: list[tuple[str | Path, str]] = [(path, "")]
    while waiting:
        folder, place = waiting.pop()
        taken = 0
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    of_folder = place or _PLACES.get(f"{entry.name}/", "other")
                    waiting.append((entry.path, of_folder))
                    continue
                # Runs tens of thousands of times: nothing expensive in here.
                try:
                    size = entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue
                if not place and entry.name.startswith(layout.INDEX_FILE):
                    found.index += size
                else:
                    taken += size
        place = place or "other"
        setattr(found, place, getattr(found, place) + taken)
    return found
