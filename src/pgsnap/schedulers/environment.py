"""Environment variables for scheduled runs, in a file that only its owner may read."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping

from pgsnap.errors import UsageError
from pgsnap.files.folder import Folder
from pgsnap.patterns import regex

ENVIRONMENT_FILE = "environment"
_BYTES_MAX = 1024 * 1024

_NAME = regex(r"[A-Za-z_][A-Za-z0-9_]*")
_WANTED = regex(r"DATABASE_URL|SNAP_[A-Z0-9_]+|PG[A-Z0-9_]+")
# The credentials of object stores.
_OF_STORES = regex(r"(AWS|AZURE|GOOGLE)_[A-Z0-9_]+")
# Specific to one process, or to a test: not part of a connection.
_UNWANTED = frozenset({"PGOPTIONS", "PGCLIENTENCODING", "PGTZ", "PGDATESTYLE", "PGDATA", "PGGEQO"})

_HEAD = """\
# Variables for runs that `snap schedule` starts: NAME=value, quoted as in a shell, one on a line.
# Only the owner may read this file. Cron knows neither your PATH nor your profile: what
# a run needs of them belongs here.
"""


def read_environment(folder: Folder, name: str = ENVIRONMENT_FILE) -> dict[str, str]:
    """Return the variables of a file in *folder*; none if there is no file.

    Raises UsageError if it belongs to another user, if others may read it, and for a line
    that is not NAME=value.
    """
    path = folder.path / name
    try:
        status = folder.status(name)
        text = folder.read(name, _BYTES_MAX).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f'cannot read "{path}"', detail=f"{error.strerror}.") from None
    if status.st_uid not in (os.geteuid(), 0):
        # Variables such as PATH decide which programs run.
        raise UsageError(f'"{path}" is not trusted', detail=f"It belongs to user {status.st_uid}.")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise UsageError(
            f'others may read "{path}"',
            detail=f"It may hold passwords, and has mode {mode:04o}.",
            hint=f"Close it: chmod 600 {shlex.quote(str(path))}",
        )
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        if not name or name.startswith("#"):
            continue
        try:
            words = shlex.split(value)
        except ValueError:
            words = ["", ""]
        if not separator or not _NAME.fullmatch(name) or len(words) > 1:
            # The line itself is not shown: it may hold a password.
            raise UsageError(
                f'line {number} of "{path}" is no variable',
                hint="Write NAME='value'.",
            )
        found[name] = words[0] if words else ""
    return found


def connection_variables(environ: Mapping[str, str], *, stores: bool = False) -> dict[str, str]:
    """Return the part of the installing environment that a run needs; *stores*: with what gives
    access to stores."""
    return {
        name: value
        for name, value in environ.items()
        if value
        and name not in _UNWANTED
        and (_WANTED.fullmatch(name) or (stores and _OF_STORES.fullmatch(name)))
    }


def environment_text(values: Mapping[str, str]) -> bytes:
    """Return the text of a file of variables. Raises UsageError for a value with a line end."""
    lines = [_HEAD]
    for name, value in sorted(values.items()):
        if "\n" in value or "\r" in value:
            raise UsageError(f"the variable {name} holds a line end")
        lines.append(f"{name}={shlex.quote(value)}\n")
    return os.fsencode("".join(lines))
