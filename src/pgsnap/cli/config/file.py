"""snap.toml: where it is found, what may stand in it, and what is wrong with it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pgsnap.cli.config.alerts import AlertsTable, read_alerts
from pgsnap.cli.config.keys import Reader, choice, flag, seconds, text, texts, unknown_key
from pgsnap.cli.config.retention import RetentionTable, read_retention
from pgsnap.cli.config.schedule import ScheduleTable, read_schedule
from pgsnap.cli.config.services import ServicesTable, read_hooks, read_services
from pgsnap.errors import UsageError

FILE_NAME = "snap.toml"

Client: TypeAlias = Literal["psycopg", "psql"]

# Tables of later versions: a file that has one was written for a newer snap, and ignoring a hook
# would be worse than refusing it.
LATER_TABLES = frozenset({"remotes"})


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """The values of a snap.toml; None where it says nothing. Paths are absolute, times seconds."""

    path: Path
    repository: Path | None = None
    database: str | None = None
    dsn: str | None = None
    bindir: Path | None = None
    client: Client | None = None
    container: str | None = None
    compose: str | None = None
    compose_file: Path | None = None
    container_user: str | None = None
    engine: str | None = None
    lock_timeout: float | None = None
    lock_wait_timeout: float | None = None
    safety_snapshot: bool | None = None
    allow_newer_client: bool | None = None
    retention: RetentionTable | None = None
    schedule: ScheduleTable | None = None
    alerts: AlertsTable | None = None
    runbook: Path | None = None
    services: ServicesTable | None = None
    hooks: dict[str, str] | None = None
    protected: bool | None = None
    trusted_owners: frozenset[int] | None = None
    trusted_links: frozenset[Path] | None = None


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
        reader = _READERS.get(key)
        if reader is None:
            raise _unknown_key(path, key)
        known[key] = reader(value, f'"{key}" in {path}', path.parent)
    return ConfigFile(path=path, **known)


def _unknown_key(path: Path, key: str) -> UsageError:
    if key in LATER_TABLES:
        return UsageError(
            f'"{key}" in {path} is not supported by this version',
            hint="Update snap, or take the table out.",
        )
    return unknown_key(f'unknown key "{key}" in {path}', key, _READERS)


def _owners(value: Any, where: str) -> frozenset[int]:
    """Return the ids of the users that are named, or given as numbers."""
    import pwd

    if not isinstance(value, list) or not all(type(one) in (int, str) for one in value):
        raise UsageError(f'{where} must be a list of users, such as ["backup", 1001]')
    found = set()
    for user in value:
        try:
            found.add(int(user) if str(user).isdecimal() else pwd.getpwnam(user).pw_uid)
        except (KeyError, ValueError):
            raise UsageError(f'{where} names an unknown user: "{user}"') from None
    return frozenset(found)


def _links(value: Any, where: str, folder: Path) -> frozenset[Path]:
    return frozenset(absolute_path(one, folder, where) for one in texts(value, where))


_PathReader: TypeAlias = Callable[[Any, str, Path], Any]


def _path(value: Any, where: str, folder: Path) -> Path:
    return absolute_path(text(value, where), folder, where)


def _plain(reader: Reader) -> _PathReader:
    """Return *reader* as one of a value that is no path."""

    def read(value: Any, where: str, folder: Path) -> Any:
        return reader(value, where)

    return read


_text, _flag, _seconds = _plain(text), _plain(flag), _plain(seconds)

_READERS: dict[str, _PathReader] = {
    "repository": _path,
    "database": _text,
    "dsn": _text,
    "bindir": _path,
    "client": _plain(choice("psycopg", "psql")),
    "container": _text,
    "compose": _text,
    "compose_file": _path,
    "container_user": _text,
    "engine": _plain(choice("docker", "podman")),
    "lock_timeout": _seconds,
    "lock_wait_timeout": _seconds,
    "safety_snapshot": _flag,
    "allow_newer_client": _flag,
    "retention": read_retention,
    "schedule": read_schedule,
    "alerts": read_alerts,
    "runbook": _path,
    "services": read_services,
    "hooks": read_hooks,
    "protected": _flag,
    "trusted_owners": _plain(_owners),
    "trusted_links": _links,
}

KEYS: tuple[str, ...] = tuple(_READERS)


def absolute_path(named: str, folder: Path, where: str) -> Path:
    """Return the path that *named* means in *folder*; ~ is the user's home.

    Raises UsageError for a URL: repositories elsewhere come with remotes.
    """
    scheme, separator, _ = named.partition("://")
    if separator and scheme.replace("+", "").isalnum():
        raise UsageError(
            f'{where} is a URL, which this version does not support: "{named}"',
            hint="Name a folder.",
        )
    if "\0" in named:
        raise UsageError(f"{where} is no path: it holds a NUL character")
    try:
        return Path(os.path.normpath(folder / Path(named).expanduser()))
    except RuntimeError as error:
        raise UsageError(f'{where} names an unknown user: "{named}"') from error
