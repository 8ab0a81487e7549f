"""Where the index lies. It is derived, so any place will do, and memory where there is none."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from blake3 import blake3

from pgsnap.errors import StoreError
from pgsnap.repository.index import Index
from pgsnap.repository.layout import INDEX_FILE


def index_path(
    repository: Path, repository_id: str, index_folder: Path | None, *, writable: bool
) -> Path | None:
    """Return the index's file: in the repository where that is *writable*, else in *index_folder*;
    None for memory where that cannot be written either."""
    if writable:
        return repository / INDEX_FILE
    if index_folder is None:
        return None
    with contextlib.suppress(OSError):
        index_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Copies of a repository have one id, and each its own snapshots and packs.
    place = blake3(os.fsencode(repository.resolve())).hexdigest(length=4)
    file = index_folder / f"{repository_id}-{place}.sqlite"
    return file if is_writable(index_folder) else None


def open_index(path: Path | None) -> Index:
    """Return the index in *path*; one in memory where it cannot be used, as on a full disk."""
    try:
        return Index(path)
    except StoreError:
        return Index(None)


def is_writable(folder: Path) -> bool:
    """Tell whether files can be made in *folder*: by trying, as root may and media may not."""
    probe = folder / ".probe"
    try:
        probe.touch(mode=0o600)
        # Two processes may try at once.
        probe.unlink(missing_ok=True)
    except OSError:
        return False
    return True
