"""What forbids a restore of a database, or should be known before it, besides what the server says
of itself. Changes nothing."""

from __future__ import annotations

from pgsnap.model import Snapshot
from pgsnap.repository.index_place import is_writable
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.sources.parts import left_out
from pgsnap.targets.kept import KeptDatabase, unknown_kept
from pgsnap.targets.preflight import Findings, LiveDatabase, Problem
from pgsnap.targets.properties import differences, read_applied


def check_kept(session: Session, kept: tuple[KeptDatabase, ...], *, discard_old: bool) -> Findings:
    """Tell of databases that are kept already: no third copy is made unasked."""
    warnings = tuple(
        f"the database {name} looks like a kept one, but no note of this repository names it"
        for name in unknown_kept(session, [database.name for database in kept])
    )
    if not kept or discard_old:
        return Findings(warnings=warnings)
    names = ", ".join(database.name for database in kept)
    return Findings(
        (
            Problem(
                f"a replaced database is kept already: {names}",
                detail="With this restore there would be a third copy.",
                hint="Drop it first (snap undo --discard), or let the restore drop it when it is"
                " done: --discard-old.",
            ),
        ),
        warnings,
    )


def check_repository(repo: Repository) -> Findings:
    """Tell whether what is replaced can be noted."""
    if is_writable(repo.path):
        return Findings()
    return Findings(
        (
            Problem(
                f'the repository "{repo.path}" cannot be written',
                detail="What a restore replaces is noted there, for snap undo to find it.",
                hint="Make the folder writable, or replace nothing: --to NEW.",
            ),
        )
    )


def lost_labels(session: Session, live: LiveDatabase) -> Findings:
    """Tell of security labels on the database itself, which no snapshot holds."""
    rows = session.query(
        "SELECT provider, label FROM pg_catalog.pg_shseclabel"
        " WHERE classoid = 'pg_catalog.pg_database'::pg_catalog.regclass"
        f" AND objoid = {live.oid} ORDER BY 1"
    )
    return Findings(
        warnings=tuple(
            "the database has a security label, which the restored one will not have; afterwards"
            f" run SECURITY LABEL FOR {ident(provider or '')} ON DATABASE {ident(live.name)} IS"
            f" {literal(label)};"
            for provider, label in rows
        )
    )


def what_goes_back(session: Session, snapshot: Snapshot, live: LiveDatabase) -> Findings:
    """Tell which of owner, privileges and settings were changed since the snapshot."""
    if snapshot.origin.properties is None:
        return Findings()
    changed = differences(snapshot.origin.properties, read_applied(session, live.name))
    return Findings(
        warnings=tuple(f"unlike in the snapshot, {text}; this goes back" for text in changed)
    )


def check_whole(snapshot: Snapshot, live: LiveDatabase | None, *, partial: bool) -> Findings:
    """Tell what a snapshot of a part lacks: it replaces a whole database only where *partial*."""
    words = left_out(snapshot.origin)
    if not words:
        return Findings()
    if live is None:
        return Findings(warnings=(f"the snapshot was made without {words}",))
    if partial:
        return Findings(warnings=(f"the snapshot was made without {words}: this will be gone",))
    return Findings(
        (
            Problem(
                f"the snapshot was made without {words}",
                detail="In the database that it would replace, this would be gone.",
                hint="Restore it beside (--to NEW), single tables of it (--table), or say that"
                " this is meant: --partial.",
            ),
        )
    )
