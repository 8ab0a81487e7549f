"""Undo: swap back the database that the last restore (or undo) replaced, or drop it for good.

An undo is a swap like a restore's: the database that it replaces is kept in turn.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial

from pgsnap import interrupts
from pgsnap.errors import Interrupted, RestoreFailed, SnapError, TargetRefused
from pgsnap.model import Note, ServerInfo, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session, ident
from pgsnap.sessions.half_dropped import CANNOT, drop_command
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_server
from pgsnap.targets.checks.connections import UNDO_CONNECTIONS, check_connections
from pgsnap.targets.checks.preflight import (
    Findings,
    LiveDatabase,
    Problem,
    check_replaceable,
    check_server,
    connected_role,
    find_database,
    refuse,
)
from pgsnap.targets.checks.readable import check_doors, check_readable
from pgsnap.targets.naming import application_name, is_made_of, kept_name, new_token
from pgsnap.targets.swap.kept import (
    KeptDatabase,
    SwapNames,
    check_droppable,
    find_kept,
    unknown_kept,
)
from pgsnap.targets.swap.kept import swapped_note as note_of_swap
from pgsnap.targets.swap.read_only import check_read_only
from pgsnap.targets.swap.swap import Rename, interrupted_after, swap_aside
from pgsnap.values import dataclass
from pgsnap.words import some
from pgsnap.workflows.notes.kept_databases import (
    drop_one_kept,
    note_end,
    note_if_never_made,
    note_what_is_gone,
    read_kept_notes,
)
from pgsnap.workflows.notes.order import next_order
from pgsnap.workflows.restore.target import names_database
from pgsnap.workflows.undo.tables import tables_replaced_since


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """What an undo would do: *kept* gets its name back, *live* (None: it no longer exists) is
    kept."""

    label: str
    host: str
    kept: KeptDatabase
    live: LiveDatabase | None
    server: ServerInfo
    warnings: tuple[str, ...]
    refusals: tuple[Problem, ...]

    def check(self) -> None:
        """Raise TargetRefused with every reason that forbids this undo."""
        refuse(self.refusals, f"the undo of {self.kept.live}")


@dataclass(frozen=True, slots=True)
class UndoReport:
    """What an undo did. *kept* is the replaced database's name now, None if there was none; if it
    was half-dropped, it can only be dropped."""

    database: str
    kept: str | None
    safety: SnapshotId | None
    seconds: float
    unreachable_seconds: float
    kept_is_half_dropped: bool = False


@dataclass(frozen=True, slots=True)
class DiscardPlan:
    """The kept database that would be dropped, and what forbids it."""

    kept: KeptDatabase
    refusals: tuple[Problem, ...]

    def check(self) -> None:
        """Raise TargetRefused with every reason that forbids the drop."""
        refuse(self.refusals, f"dropping {self.kept.name}")


@dataclass(frozen=True, slots=True)
class DiscardReport:
    """The kept database that was dropped, and its size in bytes if known."""

    database: str
    name: str
    size_bytes: int | None


def kept_databases(repo: Repository, server: Server, label: str) -> tuple[KeptDatabase, ...]:
    """Return the kept databases of *label* that exist on the server, most recently replaced first;
    if the DSN names a database, only those that had its name.

    Raises ConnectionFailed, QueryFailed, CorruptionError.
    """
    with server.connect(server.maintenance_database()) as session:
        return _kept(repo, server, session, label)


def plan_undo(
    repo: Repository, server: Server, label: str, *, with_safety: bool = False
) -> UndoPlan:
    """Inspect the server and return what an undo would do. Read-only. *with_safety*: the live
    database is to be recorded first, and so must be readable.

    Raises TargetRefused if there is no kept database.
    """
    maintenance = server.maintenance_database()
    with server.connect(maintenance) as session:
        kept = _newest(repo, server, session, label)
        live = find_database(session, kept.live)
        me = connected_role(session)
        findings = check_server(session, me) + check_connections(session, me, UNDO_CONNECTIONS)
        # It is renamed too, so the same rules apply to it.
        database = find_database(session, kept.name)
        if database is not None:
            others = _kept(repo, server, session, label)
            findings += _check_whole(database, others) + Findings(
                warnings=check_doors(live, database, kept.live)
            )
            findings += check_replaceable(session, me, database, maintenance)
            findings += check_read_only(session, database)
        if live is not None:
            findings += check_replaceable(session, me, live, maintenance)
            findings += check_read_only(session, live)
            if with_safety:
                findings += check_readable(server, session, live)
                if not findings.problems:
                    found = tables_replaced_since(server, live.name, kept.since)
                    findings += Findings(warnings=found)
        warnings = findings.warnings + read_kept_notes(repo, label).warnings
        if live is None:
            warnings += (f"there is no database {kept.live} now; nothing will be replaced",)
        return UndoPlan(
            label=label,
            host=server.endpoint.display(),
            kept=kept,
            live=live,
            server=read_server(session),
            warnings=warnings,
            refusals=findings.problems,
        )


def undo(
    repo: Repository,
    plan: UndoPlan,
    server: Server,
    *,
    safety: Callable[[], SnapshotId] | None = None,
    aside: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    progress: Progress = SILENT,
) -> UndoReport:
    """Carry out *plan*. *safety* records the live database before it is replaced; the swap happens
    within *aside*, while services are stopped.

    Raises TargetRefused, RestoreFailed, or what *safety* raises; then nothing was renamed.
    """
    plan.check()
    started = time.monotonic()
    safety_id: SnapshotId | None = None
    if safety is not None and plan.live is not None:
        progress.phase("safety snapshot")
        safety_id = safety()
    token = new_token()
    _check_unchanged(server, plan, token)
    kept, live = plan.kept, plan.live
    renames = [Rename(oid=kept.oid, old=kept.name, new=kept.live)]
    new_kept = kept_name(kept.live, token) if live is not None else None
    note: Note | None = None
    if live is not None and new_kept is not None:
        renames.insert(0, Rename(oid=live.oid, old=live.name, new=new_kept, aside=True))
        names = SwapNames(live=live.name, kept=new_kept, scratch=kept.name)
        # Before the swap: the next undo must find it even after a kill right after the swap.
        note = note_of_swap(
            plan.label,
            names,
            action="undo",
            time=datetime.now(UTC),
            snapshot=kept.snapshot,
            safety=safety_id,
            system_identifier=plan.server.system_identifier,
            host=plan.host,
            size_bytes=live.size_bytes,
            oid=live.oid,
            order=next_order(repo),
        )
        repo.add_note(note)
    progress.phase("swap")
    connect = partial(server.connect, server.maintenance_database())
    with interrupts.undone_by(lambda: note_if_never_made(repo, connect, note)):
        # Owner, privileges and settings belong to the database itself and so come back with it.
        swapped = swap_aside(aside, server, renames, (), token=token, progress=progress)
    _note_put_back(repo, plan, renames)
    return UndoReport(
        database=kept.live,
        kept=new_kept,
        safety=safety_id,
        seconds=time.monotonic() - started,
        unreachable_seconds=swapped.unreachable_seconds if live is not None else 0.0,
        kept_is_half_dropped=live is not None and live.is_half_dropped,
    )


def _note_put_back(repo: Repository, plan: UndoPlan, renames: Sequence[Rename]) -> None:
    kept = plan.kept
    # The undo is done, whether or not this note can be written.
    try:
        with contextlib.suppress(SnapError):
            note_end(repo, plan.label, kept.name, kept.live, kept.snapshot, "put back")
    except KeyboardInterrupt as stop:
        raise interrupted_after(renames) from stop


def plan_discard(
    repo: Repository, server: Server, label: str, *, name: str | None = None
) -> DiscardPlan:
    """Return which kept database (*name*; by default a half-dropped one, else the last replaced)
    would be dropped, and what forbids it. Read-only.

    Raises TargetRefused if there is none.
    """
    with server.connect(server.maintenance_database()) as session:
        return _plan_discard(repo, server, session, label, name)


def _plan_discard(
    repo: Repository, server: Server, session: Session, label: str, name: str | None
) -> DiscardPlan:
    kept = _newest(repo, server, session, label, name)
    if name is None:
        dead = (k for k in _kept(repo, server, session, label) if k.is_half_dropped)
        kept = next(dead, kept)
    return DiscardPlan(kept, check_droppable(session, kept).problems)


def discard(
    repo: Repository,
    server: Server,
    label: str,
    *,
    name: str | None = None,
    progress: Progress = SILENT,
) -> DiscardReport:
    """Drop a kept database, chosen as by `plan_discard`, and note it.

    Raises TargetRefused if there is none or something forbids it, RestoreFailed if the server
    refuses the drop, Interrupted (after the drop was completed).
    """
    maintenance = server.maintenance_database()

    def watch() -> Session:
        return server.connect(maintenance)

    with server.connect(maintenance) as session:
        plan = _plan_discard(repo, server, session, label, name)
        plan.check()
        kept = plan.kept
        try:
            drop_one_kept(
                repo,
                session,
                server.without_event_triggers().connect,
                label,
                kept,
                watch=watch,
                progress=progress,
            )
        except Interrupted:
            raise
        except SnapError as error:
            raise RestoreFailed(
                f"the kept database {kept.name} cannot be dropped",
                detail=f"{error.message}. {error.detail}".strip(),
                hint=error.hint,
            ) from error
    return DiscardReport(database=kept.live, name=kept.name, size_bytes=kept.size_bytes)


def _kept(
    repo: Repository, server: Server, session: Session, label: str
) -> tuple[KeptDatabase, ...]:
    identifier = read_server(session).system_identifier
    # As for a restore: a DSN that names a database never applies to another one.
    live = server.endpoint.database if names_database(server.endpoint) else None
    return find_kept(session, read_kept_notes(repo, label).swapped, identifier, live)


def _newest(
    repo: Repository, server: Server, session: Session, label: str, name: str | None = None
) -> KeptDatabase:
    found = [k for k in _kept(repo, server, session, label) if name is None or k.name == name]
    if not found:
        # There may be some of databases with other names; the DSN excludes them.
        identifier = read_server(session).system_identifier
        note_what_is_gone(repo, session, identifier)
        notes = read_kept_notes(repo, label)
        others = find_kept(session, notes.swapped, identifier)
        names = ", ".join(sorted({other.live for other in others}))
        live = server.endpoint.database
        strays = [
            stray
            for stray in unknown_kept(session, [str(n.body.get("kept")) for n in notes.swapped])
            if is_made_of(stray, live) and not others and name is None
        ]
        if strays:
            raise _without_note(label, live, strays)
        raise TargetRefused(
            f"there is no kept database of {label}" if name is None else f"{name} is not kept",
            detail=f"No database on {server.endpoint.display()} was replaced by a restore of"
            " this repository, or it was dropped since."
            + "".join(f" A {warning}." for warning in notes.warnings),
            hint=f"Kept are databases that were called otherwise: name one in the DSN ({names})."
            if others
            else "Restore a snapshot instead: snap log, then snap restore REV.",
        )
    return found[0]


def _without_note(label: str, live: str, strays: Sequence[str]) -> TargetRefused:
    """Return the error for databases that are named like kept ones of *live*, if the repository has
    no note of them: an older copy of it may have been put back."""
    back = " ".join(
        f"ALTER DATABASE {ident(old)} RENAME TO {ident(new)};"
        for old, new in ((live, f"{live}_replaced"), (strays[0], live))
    )
    by_hand = f"; or in psql: {back}" if len(strays) == 1 else ""
    return TargetRefused(
        f"this repository has no note of a kept database of {label}",
        detail=f"On the server {some(strays)} {'is' if len(strays) == 1 else 'are'} named like one."
        " The notes of restores are missing where an older copy of the repository was put back.",
        hint=f"Bring the notes back from a newer copy: snap repair --from PATH{by_hand}",
    )


def _check_whole(database: LiveDatabase, kept: tuple[KeptDatabase, ...]) -> Findings:
    """Return whether *database*, the last replaced, can be put back; *kept* are all kept ones."""
    if not database.is_half_dropped:
        return Findings()
    whole = [other.name for other in kept if not other.is_half_dropped]
    then = f" Then snap undo puts back {whole[0]}, which was replaced before." if whole else ""
    drop = drop_command(database.name)
    return Findings(
        (
            Problem(
                f"the kept database {database.name} is {CANNOT}",
                detail="A DROP DATABASE of it was cut short, and nobody can enter it any more.",
                hint=f"Drop it: snap undo --discard, or in psql: {drop}{then}",
            ),
        )
    )


def _check_unchanged(server: Server, plan: UndoPlan, token: str) -> None:
    maintenance = server.maintenance_database()
    with server.connect(maintenance, application_name(token)) as session:
        live = find_database(session, plan.kept.live)
        kept = find_database(session, plan.kept.name)
        planned = plan.live.oid if plan.live is not None else None
        now = live.oid if live is not None else None
        if now != planned or kept is None or kept.oid != plan.kept.oid:
            raise RestoreFailed(
                f"the databases {plan.kept.live} and {plan.kept.name} are not what they were when"
                " the plan was made",
                detail="Somebody made, dropped or renamed one meanwhile. Nothing was changed.",
                hint="Run snap undo again.",
            )
        refuse(_check_whole(kept, ()).problems, f"the undo of {kept.name}")
        if live is not None:
            found = check_replaceable(session, connected_role(session), live, maintenance)
            refuse(found.problems, f"the undo of {live.name}")
