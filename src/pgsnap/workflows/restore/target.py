"""Finds the database that a restore fills, from the snapshot, the DSN and the options."""

from __future__ import annotations

from dataclasses import replace

from pgsnap.errors import UsageError
from pgsnap.model import Snapshot
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.targets.properties.properties import without_grants


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
