"""Flags beat environment variables, which beat snap.toml, which beats the defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pgsnap import limits
from pgsnap.cli.config.alerts import AlertsTable
from pgsnap.cli.config.file import Client, ConfigFile, absolute_path, find_config, load_config
from pgsnap.cli.config.place import Place, find_place
from pgsnap.cli.config.retention import RetentionTable
from pgsnap.cli.config.schedule import ScheduleTable
from pgsnap.cli.config.services import ServicesTable
from pgsnap.cli.text.duration import parse_duration
from pgsnap.errors import UsageError
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.runners.base import BINDIR

T = TypeVar("T")

DEFAULT_REPOSITORY = Path("database") / "backups"


@dataclass(slots=True)
class GlobalOptions:
    """What the command line says for every command; None where it says nothing."""

    repo: str | None = None
    config: str | None = None
    dsn: str | None = None
    database: str | None = None
    container: str | None = None
    compose: str | None = None
    lock_timeout: str | None = None
    json: bool = False
    verbosity: int = 0
    """-1 with --quiet, 1 with --verbose."""
    progress: bool = True


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for this run. Paths are absolute, times are seconds.

    *dsn* is None where libpq's own variables and files decide. *database* is the label that was
    asked for, None for the database's own name. *dsn_from* and *repository_from* say where the
    value came from, for messages.
    """

    folder: Path
    """That of snap.toml; the working folder where there is none."""
    repository: Path
    repository_from: str
    database: str | None
    dsn: str | None
    dsn_from: str
    bindirs: tuple[Path, ...]
    bindirs_from: str
    client: Client
    lock_timeout: float
    lock_wait_timeout: float
    safety_snapshot: bool
    allow_newer_client: bool
    config_path: Path | None
    retention: RetentionTable | None = None
    schedule: ScheduleTable | None = None
    alerts: AlertsTable | None = None
    runbook: Path | None = None
    services: ServicesTable | None = None
    hooks: Mapping[str, str] = field(default_factory=dict)
    protected: bool = False
    trust: Trust = ONLY_OURS
    place: Place | None = None
    """The container that PostgreSQL runs in; None: it runs here, or on another host."""


def load_settings(options: GlobalOptions, environ: Mapping[str, str], folder: Path) -> Settings:
    """Merge *options*, *environ* and the snap.toml that holds in *folder*. Raises UsageError."""
    config = _config(options, folder)
    repository, repository_from = _repository(options, environ, folder, config)
    dsn, dsn_from = _dsn(options, environ, config)
    bindirs, bindirs_from = _bindirs(environ, config)
    database = options.database
    if database is not None and not database.strip():
        raise UsageError("--database is empty")
    _refuse_uri(database, "--database")
    _refuse_uri(config.database if config is not None else None, "database in snap.toml")
    lock_timeout = _first(config.lock_timeout if config else None, limits.LOCK_TIMEOUT_SECONDS)
    if options.lock_timeout is not None:
        lock_timeout = parse_duration(options.lock_timeout, "--lock-timeout")
    found = config if config is not None else ConfigFile(path=folder)
    return Settings(
        folder=config.path.parent if config is not None else folder,
        repository=repository,
        repository_from=repository_from,
        database=database or found.database,
        dsn=dsn,
        dsn_from=dsn_from,
        bindirs=bindirs,
        bindirs_from=bindirs_from,
        client=found.client or "psycopg",
        lock_timeout=lock_timeout,
        lock_wait_timeout=_first(found.lock_wait_timeout, limits.LOCK_WAIT_TIMEOUT_SECONDS),
        safety_snapshot=_first(found.safety_snapshot, True),
        allow_newer_client=_first(found.allow_newer_client, False),
        config_path=config.path if config else None,
        retention=found.retention,
        schedule=found.schedule,
        alerts=found.alerts,
        runbook=found.runbook,
        services=found.services,
        hooks=found.hooks or {},
        protected=_first(found.protected, False),
        trust=Trust(found.trusted_owners or frozenset(), found.trusted_links or frozenset()),
        place=find_place(options.container, options.compose, environ, folder, found),
    )


def _refuse_uri(label: str | None, where: str) -> None:
    """Raise UsageError for a label that is a DSN: labels are shown, and kept in every snapshot."""
    if label is not None and "://" in label:
        raise UsageError(
            f"{where} is a label, not a DSN",
            hint="Name the server with --dsn, or in DATABASE_URL.",
        )


def _bindirs(environ: Mapping[str, str], config: ConfigFile | None) -> tuple[tuple[Path, ...], str]:
    """Return the folders of PostgreSQL's programs, and what names them."""
    named = tuple(Path(name) for name in environ.get(BINDIR, "").split(os.pathsep) if name)
    if named:
        return named, BINDIR
    if config is not None and config.bindir is not None:
        return (config.bindir,), f'"bindir" in {config.path}'
    return (), ""


def _config(options: GlobalOptions, folder: Path) -> ConfigFile | None:
    if options.config is not None:
        return load_config(absolute_path(options.config, folder, "--config"))
    path = find_config(folder)
    return load_config(path) if path else None


def _repository(
    options: GlobalOptions, environ: Mapping[str, str], folder: Path, config: ConfigFile | None
) -> tuple[Path, str]:
    if options.repo is not None:
        if not options.repo.strip():
            raise UsageError("--repo is empty")
        return absolute_path(options.repo, folder, "--repo"), "--repo"
    named = environ.get("SNAP_REPO", "")
    if named.strip():
        return absolute_path(named, folder, "SNAP_REPO"), "SNAP_REPO"
    if config is None:
        return folder / DEFAULT_REPOSITORY, "the default"
    if config.repository is None:
        return config.path.parent / DEFAULT_REPOSITORY, f"the default beside {config.path}"
    return config.repository, str(config.path)


def _dsn(
    options: GlobalOptions, environ: Mapping[str, str], config: ConfigFile | None
) -> tuple[str | None, str]:
    if options.dsn is not None:
        if not options.dsn.strip():
            raise UsageError(
                "--dsn is empty",
                hint='Write a libpq URI or keywords, such as --dsn "host=localhost dbname=shop".',
            )
        return options.dsn, "--dsn"
    named = environ.get("DATABASE_URL", "")
    if named.strip():
        return named, "DATABASE_URL"
    if config is not None and config.dsn is not None:
        return config.dsn, str(config.path)
    return None, "libpq's environment"


def _first(value: T | None, default: T) -> T:
    return default if value is None else value
