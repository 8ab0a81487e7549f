"""Where settings say that the secret of an encrypted repository is; it is read elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pgsnap.cli.config.keys import absolute_path
from pgsnap.cli.config.secret_source import SECRET_KINDS, SecretSource
from pgsnap.cli.config.snap_toml import KEYS, ConfigFile
from pgsnap.errors import UsageError


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
            for kind in SECRET_KINDS
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
        found.append(SecretSource("key_file", path, "--key-file", of_option=True))
    if passphrase_command is not None:
        if not passphrase_command.strip():
            raise UsageError("--passphrase-command is empty")
        found.append(
            SecretSource(
                "passphrase_command", passphrase_command, "--passphrase-command", of_option=True
            )
        )
    return tuple(found)


def _of_environment(environ: Mapping[str, str], folder: Path) -> list[SecretSource]:
    found = []
    for kind in SECRET_KINDS:
        variable = KEYS[kind].variable
        if variable and (named := environ.get(variable, "")).strip():
            path = absolute_path(named, folder, variable)
            found.append(SecretSource(kind, path, variable, of_environment=True))
    return found
