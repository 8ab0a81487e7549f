"""The notes on kept databases: reads them even if some are damaged, and records when one is
gone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from pgsnap.errors import Interrupted, SnapError, TargetRefused
from pgsnap.model import Note, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.targets.checks.preflight import find_database
from pgsnap.targets.checks.subscriptions import drop_subscriptions
from pgsnap.targets.swap.dropping import drop_replaced
from pgsnap.targets.swap.held import Sessions
from pgsnap.targets.swap.kept import (
    DISCARDED,
    NEVER_MADE,
    SWAPPED,
    KeptDatabase,
    NotedKept,
    check_droppable,
    discarded_note,
    is_possible,
    noted_kept,
    notes_of_gone,
)
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class KeptNotes:
    """The intact notes of kept databases; *warnings* name those that are left out."""

    swapped: tuple[Note, ...]
    discarded: tuple[Note, ...]
    warnings: tuple[str, ...]

    def kept(self) -> tuple[NotedKept, ...]:
        """Return the databases that are kept according to the notes, most recently replaced
        first."""
        return noted_kept(self.swapped, self.discarded)


def read_kept_notes(repo: Repository, label: str | None = None) -> KeptNotes:
    """Return the notes of one label, or of all. Raises StoreError."""
    damaged: list[str] = []

    def of_kind(kind: str) -> tuple[Note, ...]:
        found = repo.sound_notes(kind, damaged=damaged)
        return tuple(note for note in found if label is None or note.database == label)

    found, discarded = of_kind(SWAPPED), of_kind(DISCARDED)
    swapped = tuple(filter(is_possible, found))
    warnings = tuple(
        f'note "{name}" is damaged and left out: a kept database may be unknown for it'
        " (see snap verify)"
        for name in damaged
    )
    warnings += tuple(
        f'note of a kept database "{note.body.get("kept")}" is left out: snap gives none such a'
        " name, so somebody else wrote the note"
        for note in found
        if not is_possible(note)
    )
    return KeptNotes(swapped, discarded, warnings)


def kept_before(repo: Repository) -> list[str]:
    """Return the names of all databases that were ever kept, of whatever label."""
    return [str(note.body.get("kept")) for note in read_kept_notes(repo).swapped]


def note_what_is_gone(repo: Repository, session: Session, system_identifier: str) -> None:
    """Note the kept databases that this server no longer has, so that `snap log` no longer shows
    them. What cannot be noted now is noted another time."""
    with contextlib.suppress(SnapError):
        notes = read_kept_notes(repo)
        for note in notes_of_gone(session, notes.swapped, notes.discarded, system_identifier):
            repo.add_note(note)


def note_if_never_made(repo: Repository, connect: Sessions, swapped: Note | None) -> None:
    """After a failed swap: note that what *swapped* announced did not happen, if the server
    confirms it."""
    if swapped is None:
        return
    name = str(swapped.body["kept"])
    with contextlib.suppress(SnapError):
        with connect() as session:
            if find_database(session, name) is not None:
                return
        note_end(
            repo, swapped.database, name, str(swapped.body["live"]), swapped.snapshot, NEVER_MADE
        )


def note_end(
    repo: Repository, label: str, name: str, live: str, snapshot: SnapshotId | None, why: str
) -> None:
    """Note that the database *name* is no longer kept; *why* as in `discarded_note`."""
    now = datetime.now(UTC)
    repo.add_note(discarded_note(label, name, live, now, snapshot=snapshot, why=why))


def drop_kept(
    repo: Repository,
    connect: Callable[[], Session],
    open_database: Callable[[str], Session],
    label: str,
    kept: Iterable[KeptDatabase],
    progress: Progress = SILENT,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Drop kept databases and note it. Returns the dropped names, and why others were not
    dropped."""
    gone: list[str] = []
    stayed: list[str] = []
    for each in kept:
        try:
            with connect() as session:
                for problem in check_droppable(session, each).problems:
                    raise TargetRefused(problem.message, detail=problem.detail, hint=problem.hint)
                drop_one_kept(
                    repo,
                    session,
                    open_database,
                    label,
                    each,
                    watch=connect,
                    progress=progress,
                )
        except Interrupted:
            raise
        except SnapError as error:
            words = f"{each.name} could not be dropped: {error.message}. {error.hint}"
            stayed.append(words.strip())
        else:
            gone.append(each.name)
    return tuple(gone), tuple(stayed)


def drop_one_kept(
    repo: Repository,
    session: Session,
    open_database: Callable[[str], Session],
    label: str,
    kept: KeptDatabase,
    *,
    watch: Callable[[], Session],
    progress: Progress = SILENT,
) -> None:
    """Drop *kept* and note it. What cannot be noted now is noted another time.

    Raises TargetRefused, QueryFailed, ConnectionFailed, and Interrupted if a signal arrived in the
    meantime, when it is dropped.
    """
    try:
        drop_subscriptions(session, open_database, kept.name, enabled_too=False)
        drop_replaced(session, kept.name, watch=watch, progress=progress)
    except KeyboardInterrupt as stop:
        with watch() as other:
            if find_database(other, kept.name) is not None:
                raise
        _note_dropped(repo, label, kept)
        raise Interrupted(f"interrupted, but {kept.name} was dropped already") from stop
    _note_dropped(repo, label, kept)


def _note_dropped(repo: Repository, label: str, kept: KeptDatabase) -> None:
    with contextlib.suppress(SnapError):
        note_end(repo, label, kept.name, kept.live, kept.snapshot, "dropped")
