"""snap.toml: where it is found, what may stand in it, and what is wrong with it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pgsnap.cli.alerts_table import AlertsTable, read_alerts
from pgsnap.cli.duration import parse_duration
from pgsnap.cli.retention_table import RetentionTable, read_retention
from pgsnap.cli.schedule_table import ScheduleTable, read_schedule
from pgsnap.cli.services_table import ServicesTable, read_hooks, read_services
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
    import difflib

    nearest = difflib.get_close_matches(key, _READERS, n=1, cutoff=0.5)
    known = "Known keys are " + ", ".join(sorted(_READERS)) + "."
    return UsageError(
        f'unknown key "{key}" in {path}',
        detail=known,
        hint=f'Did you mean "{nearest[0]}"?' if nearest else "",
    )


def _text(value: Any, where: str, folder: Path) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{where} must be a text that is not empty, in quotes")
    return value


def _path(value: Any, where: str, folder: Path) -> Path:
    return absolute_path(_text(value, where, folder), folder, where)


def _flag(value: Any, where: str, folder: Path) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{where} must be true or false")
    return value


def _seconds(value: Any, where: str, folder: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise UsageError(f'{where} must be a duration such as "10min"')
    return parse_duration(str(value), where)


def _client(value: Any, where: str, folder: Path) -> Client:
    if value == "psycopg":
        return "psycopg"
    if value == "psql":
        return "psql"
    raise UsageError(f'{where} must be "psycopg" or "psql"')


def _engine(value: Any, where: str, folder: Path) -> str:
    if value not in ("docker", "podman"):
        raise UsageError(f'{where} must be "docker" or "podman"')
    return str(value)


_READERS: dict[str, Callable[[Any, str, Path], Any]] = {
    "repository": _path,
    "database": _text,
    "dsn": _text,
    "bindir": _path,
    "client": _client,
    "container": _text,
    "compose": _text,
    "compose_file": _path,
    "container_user": _text,
    "engine": _engine,
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
}

KEYS: tuple[str, ...] = tuple(_READERS)


def absolute_path(text: str, folder: Path, where: str) -> Path:
    """Return the path that *text* means in *folder*; ~ is the user's home.

    Raises UsageError for a URL: repositories elsewhere come with remotes.
    """
    scheme, separator, _ = text.partition("://")
    if separator and scheme.replace("+", "").isalnum():
        raise UsageError(
            f'{where} is a URL, which this version does not support: "{text}"',
            hint="Name a folder.",
        )
    try:
        return Path(os.path.normpath(folder / Path(text).expanduser()))
    except RuntimeError as error:
        raise UsageError(f'{where} names an unknown user: "{text}"') from error
