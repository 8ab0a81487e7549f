"""Where settings say that the secret of an encrypted repository is; it is read elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pgsnap.cli.config.keys import absolute_path
from pgsnap.cli.config.snap_toml import KEYS, ConfigFile
from pgsnap.errors import UsageError

SecretKind: TypeAlias = Literal[
    "passphrase_file", "passphrase_command", "key_file", "identity_file"
]
# Those that cost nothing to try first.
_KINDS: tuple[SecretKind, ...] = (
    "key_file",
    "identity_file",
    "passphrase_file",
    "passphrase_command",
)


@dataclass(frozen=True, slots=True)
class SecretSource:
    """A file, or a command, that gives a secret. *origin* is the setting that named it."""

    kind: SecretKind
    value: Path | str
    origin: str


def find_secret_sources(
    passphrase_command: str | None,
    key_file: str | None,
    environ: Mapping[str, str],
    folder: Path,
    config: ConfigFile,
) -> tuple[SecretSource, ...]:
    """Return the sources of the first level that names any: options, the environment, snap.toml.
    Raises UsageError."""
    return (
        _of_options(passphrase_command, key_file, folder)
        or tuple(_of_environment(environ, folder))
        or tuple(
            SecretSource(kind, value, f'"{kind}" in {config.config_path}')
            for kind in _KINDS
            if (value := getattr(config, kind)) is not None
        )
    )


def _of_options(
    passphrase_command: str | None, key_file: str | None, folder: Path
) -> tuple[SecretSource, ...]:
    found = []
    if key_file is not None:
        if not key_file.strip():
            raise UsageError("--key-file is empty")
        path = absolute_path(key_file, folder, "--key-file")
        found.append(SecretSource("key_file", path, "--key-file"))
    if passphrase_command is not None:
        if not passphrase_command.strip():
            raise UsageError("--passphrase-command is empty")
        found.append(SecretSource("passphrase_command", passphrase_command, "--passphrase-command"))
    return tuple(found)


def _of_environment(environ: Mapping[str, str], folder: Path) -> list[SecretSource]:
    found = []
    for kind in _KINDS:
        variable = KEYS[kind].variable
        if variable and (named := environ.get(variable, "")).strip():
            found.append(SecretSource(kind, absolute_path(named, folder, variable), variable))
    return found
