"""The user's choices for a restore, and the database that it fills."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pgsnap.errors import ConnectionFailed, TargetExists, UsageError
from pgsnap.model import DatabaseProperties, Snapshot
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.half_dropped import drop_command
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_properties
from pgsnap.targets.checks.preflight import Findings, LiveDatabase
from pgsnap.targets.properties.properties import without_grants
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.masking.masks import Masks


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """The user's choices. *to* names a new database; None: the one the snapshot came from.

    *scratch*: the new database is a drill's scratch database and is marked as such. *tables*, as
    (schema, name), are the only ones restored with rows, in a new database; the plan also has their
    descendants that hold rows. *no_owner*, *no_acl*: we own everything, and privileges are left
    out, in a new database. *partial*: a partial snapshot may replace a whole database.
    *from_server*: so may one of this other server (LABEL@ID) replace a database that has snapshots
    of its own. *with_safety*: the replaced database is recorded first, and so must be readable.
    *jobs*: how many psql may load at once; None: as many as there are processors here. *warm_for*:
    the new database is a warm copy, to become this one. *baseline*: what the next commit needs to
    read only changes is recorded. *keep_replaced*: how many replaced databases stay. *masks*: what
    becomes of rows, in a new database. *any_order*: the rows of a table that is larger than the
    share of one job need not keep their order. *load*: all is read from the repository, even if a
    copy that stands on the server would do.
    """

    to: str | None = None
    create_roles: bool = False
    discard_old: bool = False
    allow_newer_client: bool = False
    trust_sql: bool = False
    as_superuser: bool = False
    analyze: bool = True
    read_only: bool = False
    scratch: bool = False
    tables: tuple[tuple[str, str], ...] = ()
    no_owner: bool = False
    no_acl: bool = False
    partial: bool = False
    from_server: str | None = None
    with_safety: bool = False
    jobs: int | None = None
    warm_for: str | None = None
    baseline: bool = False
    keep_replaced: int = 1
    masks: Masks | None = None
    any_order: bool = False
    load: bool = False

    @property
    def allows_warm(self) -> bool:
        """Whether a copy that was loaded without other options may be used."""
        return not (
            self.load
            or self.tables
            or self.scratch
            or self.no_owner
            or self.no_acl
            or self.trust_sql
            or self.as_superuser
            or self.warm_for
            or self.masks
        )


def check_options(snapshot: Snapshot, options: RestoreOptions) -> None:
    """Raise UsageError for options that do not fit each other, or *snapshot*."""
    if options.read_only and options.to is not None:
        raise UsageError(
            "--read-only is about the database that is replaced, and --to replaces none"
        )
    _check_any_order(snapshot, options)
    if options.to is None and (options.no_owner or options.no_acl or options.tables):
        raise UsageError(
            "--no-owner and --no-acl are for copies",
            detail="In the live database owners and rights come back as they were.",
            hint="Name a new database: --to NEW.",
        )
    if options.to is None and options.masks is not None:
        raise UsageError(
            "--mask is for copies",
            detail="In place of the live database masked rows would be a loss.",
            hint="Name a new database: --to NEW.",
        )


def _check_any_order(snapshot: Snapshot, options: RestoreOptions) -> None:
    if not options.any_order:
        return
    if options.jobs == 1:
        raise UsageError(
            "--any-order lets several connections load one table, and --jobs 1 allows one",
            hint="Leave one of them out.",
        )
    if options.masks is not None:
        raise UsageError(
            "--any-order and --mask do not fit together",
            detail="Rows are masked in their order.",
            hint="Leave one of them out.",
        )
    if not snapshot.origin.is_pg_dump:
        raise UsageError(
            "--any-order is about rows that pg_dump wrote",
            detail="Where other SQL adds rows, everything runs in its order.",
            hint="Leave --any-order out.",
        )


def exists_already(there: LiveDatabase) -> TargetExists:
    """Return the error for a new database whose name is that of *there*."""
    state, command = "", f"dropdb {there.name}"
    if there.is_half_dropped:
        state, command = ", and is half-dropped", drop_command(there.name)
    return TargetExists(
        f'the database "{there.name}" exists already{state}',
        detail="A restore with --to makes a new database.",
        hint=f"Choose another name, or drop it: {command}",
    )


def target_database(
    snapshot: Snapshot, endpoint: Endpoint, to: str | None, renamed_to: str | None = None
) -> str:
    """Return the database to fill: *to*, else the one the snapshot came from, which the DSN must
    not contradict; for a snapshot of a file, the DSN's. After a rename to *renamed_to*, either name
    is accepted. Raises UsageError."""
    if to is not None:
        _check_name(to)
        return to
    named = names_database(endpoint)
    origin = snapshot.origin.properties
    if origin is None:
        if not named:
            raise UsageError(
                "the snapshot does not know which database it is of",
                detail="It was made from a file.",
                hint="Name the database in the DSN, or fill a new one: --to NEW.",
            )
        return endpoint.database
    if named and renamed_to == endpoint.database and snapshot.database == origin.name:
        return endpoint.database
    if named and endpoint.database != origin.name:
        raise UsageError(
            f'the snapshot is of the database "{origin.name}", the DSN names "{endpoint.database}"',
            detail="A snapshot never replaces another database by accident.",
            hint=f"Name {origin.name} in the DSN, or fill a new database: --to NEW.",
        )
    return origin.name


def database_and_label(
    repo: Repository, snapshot: Snapshot, endpoint: Endpoint, to: str | None
) -> tuple[str, str]:
    """Return what `target_database` does, and the label under which that database is recorded
    before it is replaced. Raises UsageError."""
    renamed_to = Chains(repo).renamed_to(snapshot.database)
    database = target_database(snapshot, endpoint, to, renamed_to)
    return database, database if database == renamed_to else snapshot.database


def as_clone(snapshot: Snapshot, owner: str | None, *, no_acl: bool) -> Snapshot:
    """Return *snapshot* as it is to be copied: owned by *owner* (None: as it was), and without
    privileges if *no_acl*."""
    origin = snapshot.origin
    properties = origin.properties
    if owner is not None:
        origin = replace(origin, owners=())
    if properties is not None and owner is not None:
        properties = replace(properties, owner=owner)
    if properties is not None and no_acl:
        properties = without_grants(properties)
    if properties is not None and owner is not None and no_acl:
        settings = tuple(setting for setting in properties.settings if setting.role is None)
        properties = replace(properties, roles=(), settings=settings)
    return replace(snapshot, origin=replace(origin, properties=properties))


def names_database(endpoint: Endpoint) -> bool:
    """Return whether the DSN or libpq's own settings name a database."""
    return any(
        key == "dbname" and value
        for source in (endpoint.keywords, endpoint.fallbacks)
        for key, value in source
    )


def is_local_socket(endpoint: Endpoint) -> bool:
    """Return whether the server is reached through a socket, and so is certainly on this host."""
    return not endpoint.host or endpoint.host.startswith(("/", "@"))


def _check_name(name: str) -> None:
    if not name or "\0" in name or len(name.encode("utf-8", "surrogateescape")) > 63:
        raise UsageError(
            f'"{name[:80]}" is no name for a database', detail="A name has 1 to 63 bytes."
        )


def known_properties(
    server: Server, snapshot: Snapshot, live: LiveDatabase | None
) -> tuple[DatabaseProperties | None, Findings]:
    """Return the snapshot's own properties, else those of the database to be replaced."""
    if snapshot.origin.properties is not None:
        return snapshot.origin.properties, Findings()
    if live is not None and not live.is_half_dropped and live.allows_connections:
        # If it accepts connections: one that refuses them may well be the reason for the restore.
        with (
            suppress(ConnectionFailed),
            server.without_event_triggers().connect(live.name) as session,
        ):
            return read_properties(session), Findings()
    return None, Findings(
        warnings=("nothing is known of encoding, locale and owner: the server's defaults hold",)
    )
