"""The user that the private server runs as: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from pgsnap.errors import SnapError
from pgsnap.values import dataclass

# In order of preference: made for it, made for nothing else, present on nearly every system.
_PREFERRED = ("postgres", "nobody", "daemon")

# A socket's path has at most 107 bytes: "/pgsnap-cluster-12345678/.s.PGSQL.12345" takes 39 of them.
_FOLDER_BYTES_MAX = 68


@dataclass(frozen=True, slots=True)
class ServerUser:
    """An unprivileged user. It must have a name, which initdb looks up."""

    name: str
    uid: int
    gid: int


def server_user() -> ServerUser | None:
    """Return the user that root must become to run PostgreSQL, or None if not root."""
    if os.geteuid() != 0:
        return None
    entries = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in (*_PREFERRED, *sorted(entries)):
        if name in entries:
            entry = entries[name]
            return ServerUser(name, entry.pw_uid, entry.pw_gid)
    raise SnapError(
        "PostgreSQL refuses to run as root, and there is no other user",
        hint="Run `useradd --system postgres`.",
    )


def reachable_folder(wanted: Path, user: ServerUser | None) -> Path:
    """Return *wanted*, or another temporary folder if *user* cannot reach it, or if the path of a
    socket in a subfolder would be too long."""
    for folder in (wanted, Path("/tmp"), Path("/var/tmp")):
        if not folder.is_dir() or len(os.fsencode(folder.resolve())) > _FOLDER_BYTES_MAX:
            continue
        if user is None or _can_enter(folder.resolve(), user):
            return folder
    if user is None:
        # The server itself reports what is wrong with it.
        return wanted
    raise SnapError(
        f"the user {user.name} cannot enter {wanted}",
        detail="PostgreSQL refuses to run as root, so another user must reach its folder.",
        hint="Run `chmod 1777 /tmp`.",
    )


def _can_enter(folder: Path, user: ServerUser) -> bool:
    for step in (folder, *folder.parents):
        entry = step.stat()
        if entry.st_uid == user.uid:
            needed = stat.S_IXUSR
        elif entry.st_gid == user.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not entry.st_mode & needed:
            return False
    return True
