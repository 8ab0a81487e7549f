"""Whose what snap makes is, and who may use it.

root may write anywhere, and only root could use what it left in somebody else's folder: their own
commands would fail from then on. So root gives what it makes there to the folder's owner.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
from pathlib import Path

from pgsnap.files.trust import user_name

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def is_open_to_others(found: os.stat_result) -> bool:
    """Return whether one of our files has a mode other than it should. Modes of other owners' files
    are not ours to change."""
    return stat.S_IMODE(found.st_mode) != FILE_MODE and found.st_uid == os.geteuid()


def is_for(owner: int) -> bool:
    """Return whether what this process makes in a folder of *owner* is to be given to them."""
    return owner != 0 and os.geteuid() == 0


def give(made: int, owner: int) -> None:
    """Give the file or folder with the descriptor *made*, which this process has just made, to
    *owner*, if that `is_for` them."""
    # A folder that somebody put into its place is not what was made, and may hold something.
    is_folder = stat.S_ISDIR(os.fstat(made).st_mode)
    if is_for(owner) and not (is_folder and os.listdir(made)):
        # A network file system may not let this machine's root do that.
        with contextlib.suppress(OSError):
            os.fchown(made, owner, -1)


def open_new(name: str, flags: int, mode: int, at: int, owner: int) -> int:
    """Return a descriptor as os.open does with O_CREAT, for a file in the folder *at*; a new one is
    given to *owner* if it `is_for` them."""
    if not is_for(owner):
        return os.open(name, flags, mode, dir_fd=at)
    while True:
        try:
            made = os.open(name, flags | os.O_EXCL, mode, dir_fd=at)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            # Another process may delete it meanwhile.
            with contextlib.suppress(FileNotFoundError):
                return os.open(name, flags & ~os.O_CREAT, dir_fd=at)
        else:
            give(made, owner)
            return made


def make_folders(path: Path) -> None:
    """Create a folder with mode 0700, and those above it that are missing; each is given to the
    owner of the one above, if it `is_for` them. Raises OSError."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=FOLDER_MODE if one == path else 0o777, exist_ok=True)
        if is_for(owner := one.parent.stat().st_uid):
            made = os.open(one, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                give(made, owner)
            finally:
                os.close(made)


def way_in(error: OSError, root: Path | None = None) -> str:
    """Return what helps a user whom the operating system refuses what belongs to somebody else; ""
    if that is not why. What is in a folder *root* of their own, or is root's, was left there."""
    if error.errno not in (errno.EACCES, errno.EPERM) or not isinstance(error.filename, str):
        return ""
    named = Path(error.filename)
    # What is below somebody else's folder cannot be looked at.
    found = next(filter(None, map(_owner, (named, *named.parents))), None)
    user = os.geteuid()
    if found is None or user in (0, found[1]):
        return ""
    path, owner = found
    whose = f"It belongs to {user_name(owner)}"
    if root is not None and _owner(root) == (root, user):
        path = root
    elif owner != 0:
        return f"{whose}, and is for nobody else: use a folder of your own."
    return f"{whose}; as root: chown -R {user_name(user)} {shlex.quote(str(path))}"


def _owner(path: Path) -> tuple[Path, int] | None:
    try:
        return path, path.lstat().st_uid
    except OSError:
        return None
