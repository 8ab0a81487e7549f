"""Flags override environment variables, which override snap.toml, which overrides defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pgsnap.cli.config.file import find_config, load_config
from pgsnap.cli.config.keys import absolute_path, address
from pgsnap.cli.config.place import Place, find_place
from pgsnap.cli.config.secret_source import SecretSource, read_private
from pgsnap.cli.config.secret_sources import find_secret_sources
from pgsnap.cli.config.snap_toml import KEYS, ConfigFile
from pgsnap.cli.text.duration import parse_duration
from pgsnap.errors import SnapError, UntrustedPath, UsageError
from pgsnap.files.trust import Trust
from pgsnap.repository.places.address import Address
from pgsnap.runners.base import BINDIR
from pgsnap.values import dataclass

DEFAULT_REPOSITORY = Path("database") / "backups"

# Where one of these is set in the environment, the file is not asked which server is meant.
_NAMING = ("PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE")

# libpq's variables that say where a database is and who connects, with its keywords for them.
_KEYWORDS = {
    "PGHOST": "host",
    "PGHOSTADDR": "hostaddr",
    "PGPORT": "port",
    "PGDATABASE": "dbname",
    "PGUSER": "user",
    "PGPASSWORD": "password",
    "PGPASSFILE": "passfile",
    "PGSERVICE": "service",
    "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
    "PGCHANNELBINDING": "channel_binding",
    "PGTARGETSESSIONATTRS": "target_session_attrs",
    "PGCONNECT_TIMEOUT": "connect_timeout",
}


@dataclass(slots=True)
class GlobalOptions:
    """The options of every command that concern its settings; None if not given."""

    repo: str | None = None
    config: str | None = None
    dsn: str | None = None
    database: str | None = None
    container: str | None = None
    compose: str | None = None
    lock_timeout: str | None = None
    passphrase_command: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ConfigFile):
    """The effective settings of this run: the keys of snap.toml with all overrides.

    *dsn* is None if libpq's own variables and files decide. *database* is the requested label,
    None for the database's own name. *dsn_from*, *repository_from* and *bindirs_from* name the
    origin of the value, for messages.
    """

    folder: Path
    """The folder of snap.toml, or the working folder if there is none."""
    repository: Address
    repository_from: str
    dsn_from: str
    dsn_problem: SnapError | None
    """Why the file of variables could not say which database is meant."""
    bindirs: tuple[Path, ...]
    bindirs_from: str
    place: Place | None
    """The container that PostgreSQL runs in; None: it runs here, or on another host."""
    secrets: tuple[SecretSource, ...]
    """What opens an encrypted repository, as far as settings name it."""

    @property
    def trust(self) -> Trust:
        return Trust(self.trusted_owners, self.trusted_links)


def load_settings(options: GlobalOptions, environ: Mapping[str, str], folder: Path) -> Settings:
    """Merge *options*, *environ* and the snap.toml that applies in *folder*. Raises UsageError."""
    config = _config(options, folder)
    values = {key: getattr(config, key) for key in ("config_path", *KEYS)}
    values["repository"], repository_from = _repository(options, environ, folder, config)
    problem = None
    try:
        values["dsn"], dsn_from = _dsn(options, environ, config)
    except (UsageError, UntrustedPath) as error:
        if options.dsn is not None:
            raise
        # Of a file of variables, without which much can be done.
        values["dsn"], dsn_from, problem = None, str(config.env_file), error
    bindirs, bindirs_from = _bindirs(environ, config)
    if options.database is not None and not options.database.strip():
        raise UsageError("--database is empty")
    _refuse_uri(options.database, "--database")
    _refuse_uri(config.database, "database in snap.toml")
    values["database"] = options.database or config.database
    if options.lock_timeout is not None:
        values["lock_timeout"] = parse_duration(options.lock_timeout, "--lock-timeout")
    return Settings(
        **values,
        folder=config.config_path.parent if config.config_path is not None else folder,
        repository_from=repository_from,
        dsn_from=dsn_from,
        dsn_problem=problem,
        bindirs=bindirs,
        bindirs_from=bindirs_from,
        place=find_place(options.container, options.compose, environ, folder, config),
        secrets=find_secret_sources(
            options.passphrase_command, options.key_file, environ, folder, config
        ),
    )


def _refuse_uri(label: str | None, where: str) -> None:
    """Raise UsageError for a label that is a DSN: labels are shown, and kept in every snapshot."""
    if label is not None and "://" in label:
        raise UsageError(
            f"{where} is a label, not a DSN",
            hint="Name the server with --dsn, or in DATABASE_URL.",
        )


def _bindirs(environ: Mapping[str, str], config: ConfigFile) -> tuple[tuple[Path, ...], str]:
    """Return the folders of PostgreSQL's programs, and the setting that they come from."""
    named = tuple(Path(name) for name in environ.get(BINDIR, "").split(os.pathsep) if name)
    if named:
        return named, BINDIR
    if config.bindir is not None:
        return (config.bindir,), f'"bindir" in {config.config_path}'
    return (), ""


def _config(options: GlobalOptions, folder: Path) -> ConfigFile:
    if options.config is not None:
        return load_config(absolute_path(options.config, folder, "--config"))
    path = find_config(folder)
    return load_config(path) if path else ConfigFile()


def _repository(
    options: GlobalOptions, environ: Mapping[str, str], folder: Path, config: ConfigFile
) -> tuple[Address, str]:
    if options.repo is not None:
        if not options.repo.strip():
            raise UsageError("--repo is empty")
        return address(options.repo, "--repo", folder), "--repo"
    variable = KEYS["repository"].variable
    named = environ.get(variable, "")
    if named.strip():
        return address(named, variable, folder), variable
    path = config.config_path
    if path is None:
        return folder / DEFAULT_REPOSITORY, "the default"
    if config.repository is None:
        return path.parent / DEFAULT_REPOSITORY, f"the default beside {path}"
    return config.repository, str(path)


def _dsn(
    options: GlobalOptions, environ: Mapping[str, str], config: ConfigFile
) -> tuple[str | None, str]:
    if options.dsn is not None:
        if not options.dsn.strip():
            raise UsageError(
                "--dsn is empty",
                hint='Write a libpq URI or keywords, such as --dsn "host=localhost dbname=shop".',
            )
        return options.dsn, "--dsn"
    variable = KEYS["dsn"].variable
    named = environ.get(variable, "")
    if named.strip():
        return named, variable
    if config.env_file is not None and not any(environ.get(name) for name in _NAMING):
        where = f'"env_file" in {config.config_path}'
        return dsn_of_file(config.env_file, where, environ)
    if config.dsn is not None:
        return config.dsn, str(config.config_path)
    return None, "libpq's environment"


def dsn_of_file(path: Path, origin: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the DSN that the file names, and the words for where it comes from: DATABASE_URL, else
    libpq's variables. *origin* names the setting that names the file.

    Raises UsageError, UntrustedPath. No error shows a value.
    """
    # Imported here: few have such a file, and every command reads the settings.
    from pgsnap.cli.text.dotenv import Variables

    values = Variables(path, read_private(path, origin), environ)
    variable = KEYS["dsn"].variable
    if values.has(variable) and (url := values.value(variable).strip()):
        return url, f"{variable} in {path}"
    names = [name for name in _KEYWORDS if values.has(name)]
    found = {_KEYWORDS[name]: values.value(name) for name in names}
    words = [f"{key}={_quoted(value)}" for key, value in found.items() if value]
    if not words:
        raise UsageError(
            f'"{path}" names no database',
            detail=f"{origin[:1].upper()}{origin[1:]} names it; {variable},"
            f" {', '.join(_NAMING)} and others of libpq are looked for there.",
            hint=f"Write {variable}=postgresql://user@host/database into it.",
        )
    return " ".join(words), str(path)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
