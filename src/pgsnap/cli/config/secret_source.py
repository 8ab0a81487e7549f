"""A place that settings name for a secret."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import Literal, TypeAlias

from pgsnap.errors import UntrustedPath, UsageError
from pgsnap.limits import KEY_FILE_BYTES_MAX
from pgsnap.values import dataclass

SecretKind: TypeAlias = Literal[
    "passphrase_file", "passphrase_command", "key_file", "identity_file"
]
# Those that cost nothing to try first.
SECRET_KINDS: tuple[SecretKind, ...] = (
    "key_file",
    "identity_file",
    "passphrase_file",
    "passphrase_command",
)


@dataclass(frozen=True, slots=True)
class SecretSource:
    """A file, or a command, that gives a secret. *origin* is the setting that named it; one *of the
    environment* holds for every repository of a run, one *of an option* for what the command is
    about."""

    kind: SecretKind
    value: Path | str
    origin: str
    of_environment: bool = False
    of_option: bool = False


def read_private(path: Path, origin: str) -> bytes:
    """Return the contents of a file that only its owner, and a group, may read. Raises UsageError,
    UntrustedPath."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise UsageError(f'{origin} names "{path}", which is no ordinary file')
            if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
                raise UntrustedPath(
                    f'others may read or change "{path}" (mode {stat.S_IMODE(mode):04o})',
                    detail=f"{origin[:1].upper()}{origin[1:]} names it, and it holds a secret.",
                    hint=f"Close it: chmod 600 {shlex.quote(str(path))}",
                )
            data = file.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UsageError(
            f'cannot read "{path}"', detail=f"{error.strerror}. {origin} names it."
        ) from None
    if len(data) > KEY_FILE_BYTES_MAX:
        raise UsageError(
            f'"{path}" is too large', detail=f"A secret has at most {KEY_FILE_BYTES_MAX} bytes."
        )
    return data
