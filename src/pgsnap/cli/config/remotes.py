"""The tables [remotes.NAME] of snap.toml: other repositories, to push to and pull from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pgsnap.cli.config.keys import address, key, keys_of, read_keys, secret_file, text
from pgsnap.cli.config.retention import RetentionTable, read_retention
from pgsnap.cli.config.secret_source import SECRET_KINDS, SecretSource
from pgsnap.cli.text.rate import parse_rate
from pgsnap.errors import UsageError
from pgsnap.patterns import regex
from pgsnap.repository.places.address import Address
from pgsnap.stores.address import parse
from pgsnap.values import dataclass

_NAME = regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def _rate(value: Any, where: str, folder: Path) -> float:
    return parse_rate(text(value, where, folder), where)


@dataclass(frozen=True, slots=True)
class RemoteTable:
    """The values of one [remotes.NAME]. With no *retention* of its own nothing is dropped there."""

    url: Address = key(
        "",
        address,
        '"s3://bucket/shop"',
        meaning="where it is: the URL of a store (`s3://`, `gs://`, `az://`, `sftp://`, "
        "`file://`), or a folder",
    )
    retention: RetentionTable | None = key(
        None,
        read_retention,
        meaning="a table `[remotes.NAME.retention]` with the keys of `[retention]`: what a gc of "
        "this remote keeps. Without it nothing is dropped there",
    )
    bandwidth: float | None = key(
        None,
        _rate,
        meaning="how much of the line a command takes for it, up and down together, on average: "
        '`"10 MB/s"`. Without it as much as there is',
    )
    key_file: Path | None = key(
        None,
        secret_file,
        meaning="the key file of an encrypted remote. Of a remote with keys of its own that of the "
        "repository here is not used",
    )
    identity_file: Path | None = key(None, secret_file, meaning="its age or SSH identity")
    passphrase_file: Path | None = key(
        None, secret_file, meaning="the file that holds its passphrase"
    )
    passphrase_command: str | None = key(
        None, text, meaning="the command that prints its passphrase"
    )

    def secrets(self, where: str) -> tuple[SecretSource, ...]:
        """Return the sources of the remote's own secrets; *where* names the table."""
        return tuple(
            SecretSource(kind, value, f'"{kind}" of {where}')
            for kind in SECRET_KINDS
            if (value := getattr(self, kind)) is not None
        )


REMOTE_KEYS = keys_of(RemoteTable)


def read_remotes(value: Any, where: str, folder: Path) -> dict[str, RemoteTable]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be tables: [remotes.NAME]")
    found = {}
    for name, content in value.items():
        check_name(name, where)
        table = f"remotes.{name}"
        known = read_keys(content, f'"{name}" of {where}', folder, REMOTE_KEYS, table)
        if "url" not in known:
            raise UsageError(
                f'"{name}" of {where} has no url', hint=f'Write url = "..." below [{table}].'
            )
        if "bandwidth" in known and _is_folder(known["url"]):
            raise UsageError(
                f'"bandwidth" of "{name}" of {where} limits nothing: its url is a folder',
                hint=f"Take it out of [{table}].",
            )
        found[name] = RemoteTable(**known)
    return found


def _is_folder(url: Address) -> bool:
    return isinstance(url, Path) or parse(url).scheme == "file"


def check_name(name: str, where: str) -> str:
    """Return *name* if a remote can have it. Raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f'{where}: "{name}" cannot be the name of a remote',
            hint='Use letters, digits, "-" and "_", as in offsite.',
        )
    return name


def names(value: Any, where: str, folder: Path) -> tuple[str, ...]:
    """Return the names of remotes. Raises UsageError."""
    if not isinstance(value, list):
        raise UsageError(f'{where} must be a list of remotes, such as ["offsite"]')
    return tuple(check_name(text(one, where, folder), where) for one in value)
