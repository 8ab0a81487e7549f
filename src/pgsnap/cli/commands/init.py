"""`snap init`: creates a repository, and a snap.toml if there is none."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsnap.cli.config.compose_file import find_compose_file, postgres_services
from pgsnap.cli.config.file import FILE_NAME
from pgsnap.cli.config.keys import address
from pgsnap.cli.config.schedule import REPORT_NAME
from pgsnap.cli.config.settings import DEFAULT_REPOSITORY, load_settings
from pgsnap.cli.config.template import config_template
from pgsnap.cli.text.program import named
from pgsnap.cli.wiring.around.rights import rights_now
from pgsnap.cli.wiring.connect import way_of_changes
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.secrets_given import new_secret, unlocking
from pgsnap.cli.wiring.user_folders import cache_folder
from pgsnap.errors import UsageError
from pgsnap.files.folder import sync_folder
from pgsnap.repository.places.address import Address

if TYPE_CHECKING:
    from pgsnap.model import RepositoryConfig
    from pgsnap.sources.changes.ways import Way
    from pgsnap.targets.checks.restore_rights import RestoreRights

_ALL_KEYS = "if all its keys are lost, so is what is stored; add a second one: snap key add"

_IGNORE_FILE = ".gitignore"

EXAMPLES = """
snap init
snap init /srv/backups/shop
snap init s3://bucket/shop --encrypt
"""


def run(
    ctx: typer.Context,
    path: Annotated[
        str | None,
        typer.Argument(metavar="[PATH|URL]", show_default=False, help="Where to make it."),
    ] = None,
    encrypt: Annotated[
        bool,
        typer.Option("--encrypt", help="Encrypt all that is stored, with a passphrase or key."),
    ] = False,
) -> None:
    """Make a repository, and a commented snap.toml where there is none.

    The folder must be new or empty; only its owner may read it. With --encrypt a passphrase is
    asked for, unless settings name one or a key file.
    """
    invocation = Invocation.of(ctx)
    settings = invocation.settings
    place = settings.repository if path is None else address(path, "PATH", Path.cwd())
    dsn = _dsn_without_password(invocation)
    made = _make(invocation, place, encrypt=encrypt)
    config = settings.config_path
    created = config is None
    compose: str | None = None
    way, rights = way_of_changes(settings), rights_now(invocation)
    direct = settings.source == "direct"
    if config is None:
        compose = _suggested_service(invocation)
        direct = way is not None and way.method is not None
        values = {"compose": compose, "container": invocation.given.container, "dsn": dsn}
        values["source"] = "direct" if direct else None
        config = _write_config(Path.cwd(), place, values)
    elif place != settings.repository:
        _tell_of_other_place(invocation, place, config)
    _tell_of_other_database(invocation, dsn)
    lines = [f"made the {'encrypted ' if encrypt else ''}repository {place}"]
    if created:
        lines.append(f"wrote {config}{_ignore_report(config.parent)}")
        if compose is not None:
            lines.append(f'it says that PostgreSQL runs in the compose service "{compose}"')
        if dsn is not None:
            lines.append("it names the database of --dsn")
    if encrypt:
        lines.append(named(_ALL_KEYS))
    lines += _words_about(way, rights, direct=direct)
    if not invocation.console.quiet:
        lines.append(named('next: snap commit -m "first snapshot"'))
    fields = {
        "repository": place,
        "repository_id": made.repository_id,
        "config": config,
        "config_created": created,
        "compose": compose,
        "source": "direct" if direct else "stream",
        "encrypted": encrypt,
        "changes": way and {"way": way.method, "reason": way.reason, "better": way.better},
        "restore_rights": rights and _rights_fields(rights),
        "key_fingerprint": made.encryption.fingerprint if made.encryption is not None else None,
    }
    invocation.console.emit(fields, lines)


def _dsn_without_password(invocation: Invocation) -> str | None:
    """Return what --dsn names, for snap.toml; None without it, and where it holds a password, of
    which the user is told. Raises UsageError for a DSN that cannot be read."""
    from pgsnap.sessions.endpoint import Endpoint

    dsn = invocation.given.dsn
    if dsn is None:
        return None
    if Endpoint.parse(dsn, os.environ).password is None:
        return dsn
    invocation.console.tell(
        f"--dsn holds a password, so {FILE_NAME} does not get it: for the next commands set dsn"
        " there without the password, which libpq reads from ~/.pgpass, or set DATABASE_URL"
    )
    return None


def _tell_of_other_database(invocation: Invocation, dsn: str | None) -> None:
    """Tell that commands without --dsn will read another database than *dsn*."""
    if dsn is None:
        return
    later = load_settings(replace(invocation.given, dsn=None), os.environ, Path.cwd())
    if later.dsn != dsn:
        invocation.console.tell(
            f"without --dsn, commands in this folder read the database that {later.dsn_from} names"
        )


def _tell_of_other_place(invocation: Invocation, place: Address, config: Path) -> None:
    """Tell that *config* names another repository than *place*, which was made now."""
    settings = invocation.settings
    there = shlex.quote(str(place))
    change = (
        f'set repository = "{place}" in'
        if settings.repository_from != str(config)
        else f'change "repository" to "{place}" in'
    )
    invocation.console.tell(
        f"commands in this folder use {settings.repository}: to push there, snap remote add"
        f" NAME {there}; to use it instead, {change} {config}, or --repo {there}"
    )


def _rights_fields(rights: RestoreRights) -> dict[str, Any]:
    return {
        "role": rights.role,
        "database": rights.database,
        "missing": [right.lack for right in rights.missing],
        "grants": [right.grant for right in rights.missing],
    }


def _words_about(way: Way | None, rights: RestoreRights | None, *, direct: bool) -> list[str]:
    """Return what is known of the database: how commits find out what has changed, or if they are
    not *direct* could, and what a restore would lack."""
    lacks = [rights.words()] if rights and rights.missing else []
    if way is None:
        return lacks
    from pgsnap.workflows.watch.change_detection import described, found_by, with_direct

    if not direct:
        could = with_direct(way)
        return ["commits read everything;", could, *lacks] if could else lacks

    lines = [
        f"commits read only what changed, by {found_by(way.method)}"
        if way.method is not None
        else described(way)
    ]
    if way.better:
        lines.append(f"{'faster' if way.method else 'to allow it'}: {way.better}")
    return lines + lacks


def _make(invocation: Invocation, place: Address, *, encrypt: bool) -> RepositoryConfig:
    """Make the repository, and open it once: what others were seen in its place is forgotten."""
    from pgsnap.repository.repository import Repository

    secrets = invocation.settings.secrets
    if secrets and not encrypt:
        raise UsageError(
            f"{secrets[0].origin} gives a secret, and --encrypt is not given",
            hint=f"Say snap init --encrypt, or do without {secrets[0].origin}.",
        )
    opener = new_secret(invocation) if encrypt else None
    Repository.create(place, trust=invocation.trust, opener=opener)
    invocation.opened = place
    unlock = unlocking(invocation, opener)
    unlock.pins.forget_place(str(place))
    with Repository.open(
        place, index_folder=cache_folder(), trust=invocation.trust, unlock=unlock
    ) as repo:
        return repo.config


def _suggested_service(invocation: Invocation) -> str | None:
    """Return the compose service for the new snap.toml: the requested one, else the only
    PostgreSQL service here, unless a setting says that the database is elsewhere."""
    given, settings = invocation.given, invocation.settings
    if given.compose is not None or given.container is not None:
        return given.compose
    file = find_compose_file(Path.cwd())
    services = postgres_services(file) if file is not None else []
    if file is None or not services:
        return None
    if settings.dsn is not None or os.environ.get("PGHOST") or os.environ.get("PGSERVICE"):
        where = settings.dsn_from if settings.dsn is not None else "the environment"
        invocation.console.tell(
            f'{file.name} has PostgreSQL in its service "{services[0]}", but {where} names a'
            f" database: to use the service, set compose in {FILE_NAME}"
        )
        return None
    if len(services) > 1:
        invocation.console.tell(
            f"{file.name} has several services with PostgreSQL ({', '.join(services)}): set"
            f" compose in {FILE_NAME} to the one that is meant"
        )
        return None
    return services[0]


def _write_config(folder: Path, place: Address, values: dict[str, str | None]) -> Path:
    """Write a snap.toml with *place* and *values*, durably and never over an existing one."""
    named = None
    if place != folder / DEFAULT_REPOSITORY:
        within = isinstance(place, Path) and place.is_relative_to(folder)
        named = os.path.relpath(place, folder) if within else str(place)
    path = folder / FILE_NAME
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(config_template({"repository": named, **values}))
            file.flush()
            os.fsync(file.fileno())
        sync_folder(folder)
    except OSError as error:
        raise UsageError(
            f'cannot write "{path}"',
            detail=f"{error.strerror}. The repository {place} was made.",
            hint="Work from another folder, or name the repository:"
            f" --repo {shlex.quote(str(place))}",
        ) from error
    return path


def _ignore_report(folder: Path) -> str:
    """In a folder of a git repository that has no .gitignore, write one: the report of a drill
    names rows. Returns the words for that; one that is there is the user's."""
    if not any((above / ".git").exists() for above in (folder, *folder.parents)):
        return ""
    try:
        with (folder / _IGNORE_FILE).open("x", encoding="utf-8") as file:
            file.write(f"/{REPORT_NAME}\n")
    except OSError:
        # It is there already, or cannot be written: nothing depends on it.
        return ""
    return f" and {_IGNORE_FILE}"
