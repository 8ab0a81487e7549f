"""A place that settings name for a secret."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

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
    environment* holds for every repository of a run."""

    kind: SecretKind
    value: Path | str
    origin: str
    of_environment: bool = False
