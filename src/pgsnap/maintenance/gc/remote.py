"""Deleting packs of a remote store in two phases, beside writers that cannot be locked out.

First packs are marked: the round is announced, and they stay. A later gc, after the grace period,
announces the sweep, and only then lists claims and manifests again: what is needed after all stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from pgsnap.errors import CorruptionError, StoreRefused
from pgsnap.format.remote import Phase
from pgsnap.maintenance.gc.collect import Roots, mark
from pgsnap.maintenance.gc.marking import Choice
from pgsnap.model import PackId
from pgsnap.progress import Progress
from pgsnap.repository import layout
from pgsnap.repository.created_only import CreatedOnly
from pgsnap.repository.index.frame_table import FrameTable
from pgsnap.repository.repository import Repository
from pgsnap.repository.rounds import announce, claimed, read_phase, read_rounds, remove_rounds
from pgsnap.values import dataclass

# So many rounds that are done stay: a writer that slept looks at those that it did not see.
_ROUNDS_KEPT = 100
_DELETED_AT_ONCE = 1_000


@dataclass(slots=True)
class RemoteRound:
    """What a gc did about packs of a remote store. *waiting_until* is when those that are *marked*
    may be deleted, None if there are none. *is_swept*: a round was ended. *refused* is why the
    store let some packs not be deleted: they stay, and are marked again."""

    is_swept: bool = False
    deleted: int = 0
    marked: int = 0
    waiting_until: datetime | None = None
    refused: StoreRefused | None = None


def sweep_marked(
    repo: Repository,
    roots: Callable[[], Roots],
    *,
    grace: timedelta,
    now: datetime,
    progress: Progress,
) -> RemoteRound:
    """Delete what an earlier gc marked, if its *grace* period is over. *roots* returns the section
    tables of all snapshots that the store has by then. Raises CorruptionError, RepositoryLocked."""
    done = RemoteRound()
    rounds = read_rounds(repo.store)
    unfinished = [one for one in rounds if not one.is_done]
    for one in unfinished:
        marked = read_phase(repo.store, one.number, Phase.MARKED)
        until = marked.time + grace
        if one.is_open and now < until:
            done.marked += len(marked.packs)
            done.waiting_until = max(until, done.waiting_until or until)
            continue
        repo.check_lock()
        if one.is_open:
            announce(repo.store, one.number, Phase.SWEEPING, ())
        # From here on a writer that needs any of them is refused, or was seen by what follows.
        doomed = set(marked.packs) - claimed(repo.store, one.number)
        repo.look_again()
        doomed = _not_needed(repo, doomed, roots(), progress)
        gone, refused = _deleted(repo, sorted(doomed))
        # In any case: until then nobody can store a snapshot that needs any of them.
        announce(repo.store, one.number, Phase.DONE, gone)
        done.is_swept = True
        done.deleted += len(gone)
        done.refused = done.refused or refused
    old = [one.number for one in rounds if one.is_done]
    remove_rounds(repo.store, old[:-_ROUNDS_KEPT])
    if isinstance(repo.store, CreatedOnly):
        repo.store.remove_superseded()
    return done


def announce_marks(repo: Repository, packs: Sequence[PackId]) -> None:
    """Begin a round with *packs*, which no manifest needs. Raises RepositoryLocked."""
    if packs:
        repo.check_lock()
        rounds = read_rounds(repo.store)
        announce(repo.store, rounds[-1].number + 1 if rounds else 1, Phase.MARKED, sorted(packs))


def _not_needed(
    repo: Repository, doomed: set[PackId], roots: Roots, progress: Progress
) -> set[PackId]:
    """Return the packs of *doomed* without which everything can be read."""
    import numpy as np

    table = FrameTable(repo.index)
    live, left = mark(repo.chunk_store, table, roots)
    numbers = [number for number, (pack, _) in table.packs.items() if pack in doomed]
    sound = table.is_sound.copy()
    table.is_sound[np.isin(table.pack, numbers)] = False
    try:
        Choice(table, live.copy(), left)
        return doomed
    except CorruptionError:
        # A writer that did not see the mark relies on some of them.
        table.is_sound[:] = sound
    choice = Choice(table, live, left)
    needed = set(table.pack[choice.frame[choice.is_needed]].tolist())
    return doomed - {table.packs[number][0] for number in needed}


def _deleted(repo: Repository, packs: Sequence[PackId]) -> tuple[list[PackId], StoreRefused | None]:
    """Delete *packs*; return which of them are gone, and why the store let others not be."""
    gone: list[PackId] = []
    refused: StoreRefused | None = None
    for start in range(0, len(packs), _DELETED_AT_ONCE):
        some = packs[start : start + _DELETED_AT_ONCE]
        repo.check_lock()
        try:
            repo.store.delete(*map(layout.pack_name, some))
        except StoreRefused:
            some, refused = _deleted_singly(repo, some)
        repo.index.drop_packs(some)
        gone += some
    return gone, refused


def _deleted_singly(
    repo: Repository, packs: Sequence[PackId]
) -> tuple[list[PackId], StoreRefused | None]:
    gone: list[PackId] = []
    refused: StoreRefused | None = None
    for pack in packs:
        repo.check_lock()
        try:
            repo.store.delete(layout.pack_name(pack))
            gone.append(pack)
        except StoreRefused as error:
            refused = error
    return gone, refused
