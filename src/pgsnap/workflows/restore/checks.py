"""Checks that refuse a restore of a database or warn before it, except those of the server's own
state. Read-only."""

from __future__ import annotations

from dataclasses import replace

from pgsnap.dump.tally import Part
from pgsnap.model import Snapshot, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.sessions.half_dropped import CANNOT, drop_command
from pgsnap.sources.parts import left_out
from pgsnap.targets.checks.preflight import Findings, LiveDatabase, Problem
from pgsnap.targets.naming import is_made_of
from pgsnap.targets.properties.properties import differences, read_applied, refused_settings
from pgsnap.targets.swap.kept import KeptDatabase, check_droppable, unknown_kept
from pgsnap.words import number
from pgsnap.workflows.notes.kept_databases import kept_before
from pgsnap.workflows.notes.verdicts import drilled


def check_kept(
    repo: Repository,
    session: Session,
    kept: tuple[KeptDatabase, ...],
    live: LiveDatabase,
    *,
    discard_old: bool,
    keep: int,
) -> Findings:
    """Refuse where more than *keep* replaced databases would be kept, and the oldest may not go
    unasked. A half-dropped database does not count as a copy, whether kept or live."""
    warnings: tuple[str, ...] = ()
    for dead in kept:
        if dead.is_half_dropped and not discard_old:
            warnings += (
                f"the kept database {dead.name} is {CANNOT}; drop it: snap undo --discard, or"
                f" in psql: {drop_command(dead.name)}",
            )
    whole = [database for database in kept if not database.is_half_dropped]
    if live.is_half_dropped:
        warnings += (
            f"the database {live.name} is half-dropped: what is replaced is lost already",
            *(
                f"{good.name} is whole, and stays: snap undo --no-safety-snapshot puts it back as"
                f" {good.live}"
                for good in whole
            ),
        )
    warnings += tuple(
        f"the database {name} looks like a kept one, but no note of this repository names it"
        for name in unknown_kept(session, kept_before(repo))
        if is_made_of(name, live.name)
    )
    why = "" if discard_old or live.is_half_dropped else _why_too_many(repo, whole, keep)
    if not why:
        return Findings(warnings=warnings)
    names = ", ".join(database.name for database in whole)
    return Findings(
        (
            Problem(
                f"a replaced database is kept already: {names}",
                detail=why,
                hint="Drop it first (snap undo --discard), or let the restore drop it when it is"
                " done: --discard-old.",
            ),
        ),
        warnings,
    )


def _why_too_many(repo: Repository, kept: list[KeptDatabase], keep: int) -> str:
    """Return why none of *kept* can make room for another one, "" if there is room."""
    if len(kept) < keep:
        return ""
    if len(kept) > keep:
        return f"That is more than keep_replaced = {keep}: an earlier restore did not drop it."
    oldest = kept[-1]
    safety = oldest.safety
    if safety is not None and repo.has_snapshot(safety) and not repo.forgotten_since(safety):
        return ""
    return (
        f"Only {number(keep)} may be kept (keep_replaced in snap.toml), and {oldest.name} does not"
        " go unasked: there is no safety snapshot of it."
    )


def superseded(
    kept: tuple[KeptDatabase, ...], live: LiveDatabase, keep: int
) -> tuple[KeptDatabase, ...]:
    """Return which of *kept* are too many once *live* is kept too; none if it cannot be used."""
    if live.is_half_dropped:
        return ()
    return tuple(one for one in kept if not one.is_half_dropped)[keep - 1 :]


def droppable(
    session: Session, kept: tuple[KeptDatabase, ...], live: LiveDatabase
) -> tuple[tuple[KeptDatabase, ...], Findings]:
    """Return which of *kept* a restore over *live* may drop at its end, and why others stay."""
    if live.is_half_dropped:
        return tuple(database for database in kept if database.is_half_dropped), Findings()
    found: list[KeptDatabase] = []
    told: list[str] = []
    for database in kept:
        problems = check_droppable(session, database).problems
        told += (f"{database.name} stays: {p.message}. {p.hint}" for p in problems)
        found += [] if problems else [database]
    return tuple(found), Findings(warnings=tuple(told))


def check_repository(repo: Repository) -> Findings:
    """Refuse where the repository cannot be written, so the replaced database could not be
    noted."""
    if repo.place.is_writable():
        return Findings()
    return Findings(
        (
            Problem(
                f'the repository "{repo.place}" cannot be written',
                detail="What a restore replaces is noted there, for snap undo to find it.",
                hint="Make the folder writable, or replace nothing: --to NEW.",
            ),
        )
    )


def lost_labels(session: Session, live: LiveDatabase) -> Findings:
    """Warn of security labels on the database itself, which no snapshot holds."""
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
    """Warn of changes to owner, privileges and settings since the snapshot, which a restore
    reverts."""
    if snapshot.origin.properties is None:
        return Findings()
    found = read_applied(session, live.name)
    if live.is_half_dropped:
        found = replace(found, connection_limit=snapshot.origin.properties.connection_limit)
    refused = refused_settings(session, snapshot.origin.properties)
    kept = tuple(s for s in snapshot.origin.properties.settings if s not in refused)
    changed = differences(replace(snapshot.origin.properties, settings=kept), found)
    major = session.server_version_num // 10000
    return Findings(
        warnings=(
            *(f"unlike in the snapshot, {text}; this goes back" for text in changed),
            *(
                f"the setting {each.name} = {each.value} is left out:"
                f" PostgreSQL {major} does not take it"
                for each in refused
            ),
        )
    )


def check_whole(snapshot: Snapshot, live: LiveDatabase | None, *, partial: bool) -> Findings:
    """Report what a partial snapshot lacks; it may replace a whole database only if *partial*."""
    words = left_out(snapshot.origin)
    if not words:
        return Findings()
    if snapshot.origin.part == Part.ROWS:
        return Findings(
            (
                Problem(
                    "the dump in the file defines no tables: the snapshot was made without"
                    f" {words}",
                    detail="A restore fills a new database, which has no tables for them.",
                    hint="To add its rows to tables that are there: snap cat REV | psql DATABASE",
                ),
            )
        )
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


def check_drilled(repo: Repository, snapshot_id: SnapshotId) -> Findings:
    """Warn if the last drill of the snapshot failed."""
    last = drilled(repo).get(snapshot_id)
    if last is None or last.passed:
        return Findings()
    words = f": {last.reason}" if last.reason else ""
    return Findings(warnings=(f"the last drill of this snapshot failed{words}",))
