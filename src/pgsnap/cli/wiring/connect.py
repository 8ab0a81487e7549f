"""From settings to the objects that workflows take: repository, server, snapshot."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pgsnap.cli.config.place import Place
from pgsnap.cli.config.settings import Settings
from pgsnap.cli.console.console import Console
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.places import place_at
from pgsnap.cli.wiring.secrets_given import unlocking
from pgsnap.cli.wiring.user_folders import cache_folder
from pgsnap.errors import (
    AmbiguousChain,
    AmbiguousRevision,
    RepositoryLocked,
    RepositoryNotFound,
    SnapError,
    SourceError,
    UnknownRevision,
    UsageError,
)
from pgsnap.repository.places.address import Address

if TYPE_CHECKING:
    from pgsnap.model import SnapshotId
    from pgsnap.repository.repository import Repository
    from pgsnap.repository.snapshots.label_chains import Chain
    from pgsnap.runners.engines import Container
    from pgsnap.sessions.endpoint import Endpoint
    from pgsnap.sessions.server import Server
    from pgsnap.sources.changes.ways import Way

T = TypeVar("T")

# A longer wait is announced.
_SILENT_WAIT_SECONDS = 1.0
# The limit for an incidental question to a server, whose answer can be done without.
_ASKED_SECONDS = 2
# Where one of these is set, it says which server is meant.
_NAMING = ("PGHOST", "PGSERVICE", "PGDATABASE")


def open_repository(
    invocation: Invocation,
    *,
    alone: bool = False,
    whole: bool = False,
    warn_of_access: bool = True,
) -> Repository:
    """Return the repository of the settings, open; a context manager. *alone*: locked exclusively;
    *whole*: its store listed, whatever its log says. Warns of a folder that others may enter, and
    of waiting for another process."""
    settings = invocation.settings
    waits = settings.lock_timeout
    try:
        try:
            repo = opened(invocation, min(waits, _SILENT_WAIT_SECONDS), alone, whole)
        except RepositoryLocked as error:
            if waits <= _SILENT_WAIT_SECONDS:
                raise
            invocation.console.tell(f"waiting for the repository. {error.detail}")
            repo = opened(invocation, waits - _SILENT_WAIT_SECONDS, alone, whole)
    except RepositoryLocked:
        # The audit log records the attempt too.
        invocation.opened = settings.repository
        raise
    except RepositoryNotFound as error:
        error.detail = f"{error.detail} The place comes from {settings.repository_from}.".strip()
        raise
    invocation.opened = settings.repository
    if warn_of_access:
        _warn_of_access(invocation.console, settings.repository)
    warn_of_others(invocation.console, repo)
    return repo


def opened(
    invocation: Invocation, seconds: float, alone: bool = False, whole: bool = False
) -> Repository:
    """Do what `open_repository` does, and say nothing."""
    from pgsnap.repository.repository import Repository

    return Repository.open(
        place_at(invocation, invocation.settings.repository),
        lock_timeout_seconds=seconds,
        index_folder=cache_folder(),
        alone=alone,
        whole=whole,
        trust=invocation.trust,
        unlock=unlocking(invocation),
    )


def warn_of_others(console: Console, repo: Repository) -> None:
    """Warn of what somebody else did who can write to the repository's store: key slots that are
    not the repository's own, and snapshots of a remote store that it no longer shows. Once it is
    closed, warn if what was published is not in its log."""
    for one in repo.unlocked.passed_over if repo.unlocked is not None else ():
        console.warn(
            f"warning: key slot {one.slot} was not used, though it opened: {one.why}; somebody who"
            " can write to the store may have put it there: snap key remove"
            f" {one.slot} --repo {shlex.quote(str(repo.place))}"
        )
    if repo.place.path is not None:
        return
    repo.at_close(lambda: _warn_of_unlogged(console, repo))
    from pgsnap.maintenance.verify.withheld import PUT_BACK, not_shown

    for words in not_shown(repo):
        console.warn(f"warning: {words}: {PUT_BACK}")


def _warn_of_unlogged(console: Console, repo: Repository) -> None:
    if repo.log is not None and (fault := repo.log.fault) is not None:
        console.warn(
            f"warning: no entry could be written to the log of {repo.place}: {fault.message}."
            f" {fault.detail} What was published is there; other hosts see it within a day"
        )


def _warn_of_access(console: Console, path: Address) -> None:
    """Warn if others than the owner may enter the repository: it holds whole databases."""
    from pgsnap.repository.access import closing_command, open_to_others

    if not isinstance(path, Path):
        return
    mode = open_to_others(path)
    # On read-only media the modes cannot be changed.
    if mode is not None and os.access(path, os.W_OK):
        console.warn(
            f"warning: others may enter the repository (mode {mode:04o}); "
            f"close it: {closing_command(path)}"
        )


def endpoint(settings: Settings, container: Container | None = None) -> Endpoint:
    """Return the server and database of the settings, as seen from *container* (None: from this
    host). Raises UsageError, UntrustedPath."""
    from pgsnap.sessions.contained import endpoint_inside
    from pgsnap.sessions.endpoint import Endpoint

    if settings.dsn_problem is not None:
        raise settings.dsn_problem
    try:
        if container is None:
            return Endpoint.parse(settings.dsn, os.environ)
        return endpoint_inside(settings.dsn, os.environ, container.environment, container.name)
    except UsageError as error:
        error.detail = f"{error.detail} It comes from {settings.dsn_from}.".strip()
        raise


def tell_left_out(console: Console, endpoint: Endpoint, *, deed: str) -> None:
    """Report what of a framework's URL libpq does not get. *deed*: what is about to be done to the
    database, such as "recorded"."""
    if endpoint.schema:
        console.tell(f'"{endpoint.schema}" in the DSN has no effect: the whole database is {deed}')
    others = [name for name in endpoint.left_out if name != endpoint.schema]
    if others and console.verbose:
        console.tell(f"left out of the DSN, since only frameworks read it: {', '.join(others)}")


def container_of(place: Place) -> Container:
    """Return the container of *place*. Raises ToolMissing, ConnectionFailed."""
    from pgsnap.runners.compose import find_service
    from pgsnap.runners.engines import find_container

    if place.service is not None:
        return find_service(
            place.service, file=place.file, folder=place.folder, engine=place.engine
        )
    assert place.container is not None, "one of the two is named"
    return find_container(place.container, place.engine)


def unnamed_hint(settings: Settings) -> str:
    """Return the hint for a server that did not answer if no setting names one; "" if one
    does."""
    if settings.dsn is not None or settings.place is not None:
        return ""
    if any(os.environ.get(name) for name in ("PGHOST", "PGDATABASE", "PGSERVICE", "PGUSER")):
        return ""
    return "Name the database: export DATABASE_URL=postgresql://user@host/database"


def _check_bindir(settings: Settings) -> None:
    for folder in settings.bindirs:
        if any((folder / name).exists() for name in ("pg_dump", "psql")):
            continue
        raise UsageError(
            f'"{folder}" does not hold PostgreSQL\'s programs',
            detail=f"{settings.bindirs_from} names it.",
            hint="Name the folder of pg_dump and psql, such as /usr/lib/postgresql/15/bin, or take"
            f" {settings.bindirs_from} away.",
        )


def server_of(settings: Settings) -> Server:
    """Return the server of the settings, not connected yet. Raises UsageError; if it is in a
    container, ToolMissing and ConnectionFailed too."""
    from pgsnap.runners.local import LocalRunner
    from pgsnap.sessions.server import Server

    if settings.place is not None:
        from pgsnap.runners.container import ContainerRunner

        container = container_of(settings.place)
        runner = ContainerRunner(container, user=settings.place.user)
        # psql, inside the container: its port may not be published.
        return Server(endpoint(settings, container), runner, client="psql")
    _check_bindir(settings)
    return Server(endpoint(settings), LocalRunner(*settings.bindirs), client=settings.client)


def half_dropped_now(settings: Settings, *, every: bool) -> tuple[str, ...]:
    """Return the half-dropped databases of the server, or only those related to the DSN's;
    none if it does not answer promptly."""
    from pgsnap.workflows.watch.server_databases import half_dropped_databases

    try:
        server = server_of(settings)
    except SnapError:
        return ()
    return half_dropped_databases(server.at(server.endpoint.hasty(_ASKED_SECONDS)), every=every)


def database_of_dsn(settings: Settings) -> str | None:
    """Return the database named by the settings or the environment, None if they name none."""
    if settings.place is not None:
        try:
            return endpoint(settings, container_of(settings.place)).database
        except SourceError:
            # It is not running: then it names no database.
            return None
    if (
        settings.dsn is None
        and not os.environ.get("PGDATABASE")
        and not os.environ.get("PGSERVICE")
    ):
        return None
    return endpoint(settings).database


def resolve(
    invocation: Invocation,
    repo: Repository,
    revision: str | None,
    *,
    from_server: str | None = None,
) -> SnapshotId:
    """Return the snapshot named by *revision*, by default the newest that is not a safety snapshot.
    If the repository holds several databases, --database, snap.toml or the DSN chooses one; if a
    label has snapshots of several servers, *from_server* (LABEL@ID) does, else the connected
    server. What nothing here is called may be of a remote: REMOTE/NAME. Raises RevisionError."""
    from pgsnap.repository.snapshots import revisions
    from pgsnap.repository.snapshots.label_chains import Chains

    choose = chooser(invocation, repo)
    settings = invocation.settings
    named = Chains(repo).named(from_server) if from_server is not None else None

    def ask(label: str | None) -> SnapshotId:
        if named is not None:
            return revisions.resolve(
                repo, revision or "latest", database=named.label, choose=lambda _: named
            )
        if revision is None:
            return revisions.newest_regular(repo, database=label, choose=choose)
        return revisions.resolve(repo, revision, database=label, choose=choose)

    try:
        found = _for_database(settings, ask)
    except UnknownRevision:
        fetched = _for_database(
            settings, lambda label: _of_remote(invocation, repo, revision or "", label)
        )
        if fetched is None:
            raise
        found = fetched
    invocation.resolved.append(found.hex())
    return found


def _of_remote(
    invocation: Invocation, repo: Repository, revision: str, label: str | None
) -> SnapshotId | None:
    """Return the snapshot that REMOTE/NAME means, by the record of the last fetch; None if no
    remote is named. Raises RevisionError."""
    settings = invocation.settings
    remote, slash, name = revision.partition("/")
    path = settings.config_path
    if not (slash and name and path) or remote not in (settings.remotes or {}):
        return None
    from pgsnap.repository.snapshots.revisions import without_steps
    from pgsnap.schedulers.state import State
    from pgsnap.workflows.sync.fetch import last_fetch
    from pgsnap.workflows.sync.remote_names import resolve_fetched

    if repo.tags.get(remote, without_steps(name)[0]) is not None:
        # A tag of a database that is called like the remote: it has no such parent.
        return None
    known = last_fetch(State(path, invocation.trust), remote)
    if known is None:
        raise UnknownRevision(
            f'no snapshot is named "{revision}"',
            detail=f"It is not known what the remote {remote} has.",
            hint=f"Look it up first: snap fetch {remote}",
        )
    return resolve_fetched(repo, known, name, label, invocation.now)


def check_of_server(repo: Repository, snapshot_id: SnapshotId, from_server: str | None) -> None:
    """Raise UsageError if a tag or id names a snapshot of another server than *from_server*."""
    from pgsnap.repository.snapshots.label_chains import Chains

    if from_server is None:
        return
    chains = Chains(repo)
    named, found = chains.named(from_server), chains.of_snapshot(repo.snapshot(snapshot_id))
    if (named.label, named.server) != (found.label, found.server):
        raise UsageError(
            f"snapshot {snapshot_id.hex()[:12]} is not of {from_server}",
            detail=f"It is of {found.label}@{found.server or 'an unknown server'}.",
        )


def chooser(invocation: Invocation, repo: Repository) -> Callable[[Sequence[Chain]], Chain]:
    """Return a function that picks, of a label's chains, the one of the configured server.
    It is called only if there are several."""
    from pgsnap.repository.snapshots.label_chains import Chains
    from pgsnap.repository.snapshots.revisions import ambiguous_chain

    def choose(chains: Sequence[Chain]) -> Chain:
        try:
            identifier = identifier_of(server_of(invocation.settings))
        except SourceError as error:
            why = f"Which one is meant could not be asked: {error.message}."
            raise ambiguous_chain(repo, chains, why) from None
        own = Chains(repo).of_server(chains[0].label, identifier)
        if own is None:
            raise ambiguous_chain(repo, chains, "None is of the server that is connected to.")
        return own

    return choose


def identifier_of(server: Server) -> str:
    """Return the system identifier of *server*, "" if not available. Raises SourceError."""
    from pgsnap.sources.properties import read_system_identifier

    with server.connect(server.maintenance_database()) as session:
        return read_system_identifier(session)


def is_named(settings: Settings) -> bool:
    """Return whether a setting names a database, or where it runs."""
    is_set = settings.dsn is not None or any(os.environ.get(name) for name in _NAMING)
    return is_set or settings.place is not None


def way_of_changes(settings: Settings) -> Way | None:
    """Return how commits can find out what has changed; None if no database is named, or it does
    not answer at once."""
    from pgsnap.sources.changes.ways import best_way

    if not is_named(settings):
        return None
    try:
        server = server_of(settings)
        with server.at(server.endpoint.hasty(_ASKED_SECONDS)).connect() as session:
            return best_way(session, checkpoint=settings.checkpoint)
    except SnapError:
        return None


def label_of(invocation: Invocation, repo: Repository) -> str:
    """Return the label, chosen as in `resolve`. Raises RevisionError."""
    from pgsnap.repository.snapshots import revisions

    return _for_database(invocation.settings, lambda name: revisions.only_label(repo, name))


def _for_database(settings: Settings, ask: Callable[[str | None], T]) -> T:
    try:
        return ask(settings.database)
    except AmbiguousChain:
        # The database is unambiguous, the server is not.
        raise
    except AmbiguousRevision:
        # The DSN is parsed only if needed: that takes longer than the rest.
        if settings.database is not None or (named := database_of_dsn(settings)) is None:
            raise
        return ask(named)
