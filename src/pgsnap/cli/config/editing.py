"""Changing a snap.toml that the user wrote: a table is appended or taken out, and no other line is
touched."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pgsnap.errors import UsageError
from pgsnap.files import whole
from pgsnap.files.folder import Folder
from pgsnap.patterns import regex

_HEAD = regex(r"\s*\[")


def remote_table(name: str, url: str) -> str:
    """Return the text of the table of a new remote."""
    return f"[remotes.{name}]\nurl = {json.dumps(url, ensure_ascii=False)}\n"


def append_table(path: Path, table: str, name: str) -> None:
    """Append the *table* of the remote *name*. Raises UsageError if the file cannot be written, or
    would not say the same as before and the new table."""
    before = _read(path)
    gap = "" if not before or before.endswith("\n\n") else "\n" if before.endswith("\n") else "\n\n"
    _write(path, before, before + gap + table, {name})


def remove_tables(path: Path, name: str) -> None:
    """Take the tables [remotes.NAME] and those below it out. Raises UsageError."""
    before = _read(path)
    head = re.compile(rf"\s*\[\s*remotes\s*\.\s*[\"']?{re.escape(name)}[\"']?\s*[\].]")
    kept: list[str] = []
    is_inside = False
    for line in before.splitlines(keepends=True):
        if _HEAD.match(line):
            is_inside = head.match(line) is not None
        if not is_inside:
            kept.append(line)
    _write(path, before, "".join(kept), {name})


def _write(path: Path, before: str, after: str, changed: set[str]) -> None:
    """Write *after*, which must differ from *before* in the remotes *changed* alone."""
    try:
        same = _without(tomllib.loads(before), changed) == _without(tomllib.loads(after), changed)
    except tomllib.TOMLDecodeError:
        same = False
    if not same or before == after:
        raise UsageError(
            f'"{path}" is written in a way that snap does not change',
            hint="Edit it by hand: see snap remote list.",
        )
    try:
        mode = path.stat().st_mode & 0o777
        whole.write(Folder(path.parent), path.name, after.encode(), mode=mode)
    except OSError as error:
        raise UsageError(
            f'cannot write "{path}"', detail=f"{error.strerror}.", hint="Edit it by hand."
        ) from error


def _without(values: dict[str, Any], names: set[str]) -> dict[str, Any]:
    remotes = values.get("remotes", {})
    left = {name: one for name, one in remotes.items() if name not in names}
    return {key: one for key, one in values.items() if key != "remotes"} | (
        {"remotes": left} if left else {}
    )


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f'cannot read "{path}"', detail=f"{error}.") from error


def is_ours(path: Path) -> bool:
    """Return whether the file belongs to the caller, who may write it, and is no link."""
    return not path.is_symlink() and path.stat().st_uid == os.geteuid() and os.access(path, os.W_OK)
