"""Whose files are trusted, which links are followed, and the errors for all others."""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Callable
from dataclasses import field
from pathlib import Path

from pgsnap.errors import ForeignPath, UntrustedPath
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Trust:
    """Additional permissions from snap.toml: *owners* (user ids), *links* (absolute paths).

    *warn* is called once with a file of an untrusted owner that was read. With *anyone* there is
    no such owner.
    """

    owners: frozenset[int] = frozenset()
    links: frozenset[Path] = frozenset()
    warn: Callable[[str], None] | None = field(default=None, compare=False)
    anyone: bool = False


ONLY_OURS = Trust()
ANYONE = Trust(anyone=True)


def is_link(path: Path) -> UntrustedPath:
    return UntrustedPath(
        f'"{path}" is a symbolic link',
        detail="The one who made it chose which files snap reads, writes and deletes there.",
        hint="Put what belongs there in its place; or, if you made it yourself, name it in"
        f' snap.toml: trusted_links = ["{path}"]',
    )


def is_no_file(path: Path) -> UntrustedPath:
    return UntrustedPath(
        f'"{path}" is no ordinary file',
        detail="There are only files and folders where snap keeps its own.",
        hint="Look what it is (ls -l), and remove it.",
    )


def is_foreign(path: Path, owner: int) -> ForeignPath:
    name = user_name(owner)
    return ForeignPath(
        f'"{path}" belongs to {name}',
        detail="Its owner can change it at any time. Trusted are root, you, and the owner of"
        " the folder itself.",
        hint=f'If you trust them, name them in snap.toml: trusted_owners = ["{name}"]; else make it'
        f" yours, as root: chown {user_name(os.geteuid())} {shlex.quote(str(path))}",
    )


def foreign_warning(path: Path, owner: int) -> str:
    name = user_name(owner)
    return (
        f'warning: "{path}" belongs to {name}, who can change it at any time; nothing is written'
        f' here (if you trust them, in snap.toml: trusted_owners = ["{name}"])'
    )


def user_name(owner: int) -> str:
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return str(owner)
