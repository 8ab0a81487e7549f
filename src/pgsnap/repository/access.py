"""Who may enter a repository's folder: it holds whole databases, so nobody but its owner."""

from __future__ import annotations

import contextlib
import shlex
import stat
from pathlib import Path


def open_to_others(path: Path) -> int | None:
    """Return the mode of the folder *path* where others than its owner may enter it, else None."""
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(path.stat().st_mode)
        # Without the right to enter the folder nothing below it can be reached.
        return mode if mode & 0o077 else None
    return None


def closing_command(path: Path) -> str:
    """Return the command that shuts others out."""
    return f"chmod -R go= {shlex.quote(str(path))}"
