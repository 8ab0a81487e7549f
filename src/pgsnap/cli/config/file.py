"""snap.toml: how it is found, read and validated."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pgsnap.cli.config.keys import unknown_key
from pgsnap.cli.config.snap_toml import KEYS, ConfigFile
from pgsnap.cli.text.redact import without_uri
from pgsnap.errors import UsageError

FILE_NAME = "snap.toml"


def find_config(start: Path) -> Path | None:
    """Return the snap.toml of *start* or of the nearest folder above it.

    Raises UsageError for one that belongs to somebody else: it could name programs to run.
    """
    for folder in (start, *start.parents):
        candidate = folder / FILE_NAME
        try:
            status = candidate.stat()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        if stat.S_ISREG(status.st_mode):
            _check_owner(candidate, status)
            return candidate
    return None


def _check_owner(path: Path, status: os.stat_result) -> None:
    trusted = {os.getuid(), 0}
    sudo_user = os.environ.get("SUDO_UID", "")
    if os.getuid() == 0 and sudo_user.isdigit():
        trusted.add(int(sudo_user))
    if status.st_uid in trusted and not status.st_mode & stat.S_IWOTH:
        return
    reason = (
        f"It belongs to user {status.st_uid}."
        if status.st_uid not in trusted
        else "Everybody may write to it."
    )
    raise UsageError(
        f'"{path}" is not trusted',
        detail=f"{reason} A snap.toml can name programs to run.",
        hint=f"If it is right, name it: snap --config {path} ...",
    )


def load_config(path: Path) -> ConfigFile:
    """Read *path*. Raises UsageError naming the file, and the key or line that is wrong."""
    import tomllib

    try:
        content = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UsageError(
            f'cannot read the configuration file "{path}"', detail=f"{error.strerror}."
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f'the configuration file "{path}" is not UTF-8', detail=f"Byte {error.start} is wrong."
        ) from error
    try:
        values = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f'the configuration file "{path}" is not valid TOML', detail=f"{error}."
        ) from error
    return _checked(path, values)


def _checked(path: Path, values: Mapping[str, Any]) -> ConfigFile:
    known: dict[str, Any] = {}
    for key, value in values.items():
        if key not in KEYS:
            raise _unknown_key(path, key)
        known[key] = KEYS[key].read(value, f'"{key}" in {path}', path.parent)
    return ConfigFile(path, **known)


def _unknown_key(path: Path, key: str) -> UsageError:
    return unknown_key(f'unknown key "{without_uri(key)}" in {path}', key, KEYS)
