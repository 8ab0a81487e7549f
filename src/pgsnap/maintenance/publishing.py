"""Publishing a snapshot where a gc may run at the same time: on a remote store.

What the snapshot needs may be in packs that a gc marked. Those are claimed before the manifest is
written; packs of a sweep that has begun are refused, while nothing is visible yet. Afterwards it is
checked whether a whole round passed meanwhile: this host may have slept for a day.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from pgsnap.errors import CorruptionError, StoreError
from pgsnap.format.remote import Phase
from pgsnap.maintenance.gc.marking import Choice, Marker
from pgsnap.model import PackId, RecipeRoot, Snapshot, SnapshotId
from pgsnap.repository.index.frame_table import FrameTable
from pgsnap.repository.repository import Repository
from pgsnap.repository.rounds import Round, claim, read_phase, read_rounds

T = TypeVar("T")


def publish(repo: Repository, snapshot: Snapshot) -> tuple[SnapshotId, list[str]]:
    """Make *snapshot* visible, as `Repository.publish` does. Raises StoreError if a gc deletes what
    it needs."""
    return guarded(repo, [snapshot.sections_recipe], lambda: repo.publish(snapshot))


def guarded(repo: Repository, roots: Sequence[RecipeRoot], write: Callable[[], T]) -> T:
    """Return what *write* does, which makes the snapshots with the section tables *roots* visible;
    everything that they need is durable. Raises StoreError as `publish` does."""
    if repo.place.path is not None:
        # A gc of a folder waits until nobody has it open.
        return write()
    # Else who was shut out by a rotation could read what is published after it.
    repo.renew_keys()
    guard = _Guard(repo, roots)
    guard.before()
    result = write()
    guard.after()
    return result


class _Guard:
    """Compares what some snapshots need with what gcs have announced."""

    def __init__(self, repo: Repository, roots: Sequence[RecipeRoot]) -> None:
        self._repo = repo
        self._roots = roots
        self._outcome = "Nothing was recorded."
        # What these announced was not in the store any more when this process looked at it.
        self._settled = {one.number for one in repo.rounds_seen if one.is_done}
        self._needs: tuple[FrameTable, Marker] | None = None

    def before(self) -> None:
        """Claim marked packs. Raises StoreError for packs that are being deleted."""
        found = self._new(read_rounds(self._repo.store))
        for one in found:
            needed = self._needed(one)
            if not needed:
                self._settled.add(one.number)
            elif one.is_open:
                claim(self._repo.store, one.number, sorted(needed))
            else:
                raise self._deleted()
        if len(self._settled & {one.number for one in found}) == len(found):
            return
        # A claim counts if no sweep had begun by now.
        for one in self._new(read_rounds(self._repo.store)):
            if not one.is_open and self._needed(one):
                raise self._deleted()
            self._settled.add(one.number)

    def after(self) -> None:
        """Raise StoreError if a round that nobody here saw has passed meanwhile."""
        self._outcome = "The snapshot is visible, but not whole: see snap verify."
        for one in self._new(read_rounds(self._repo.store)):
            if not one.is_open and self._needed(one):
                raise self._deleted()

    def _new(self, rounds: list[Round]) -> list[Round]:
        return [one for one in rounds if one.number not in self._settled]

    def _needed(self, one: Round) -> set[PackId]:
        """Return the packs of a round without which the snapshots cannot be read."""
        import numpy as np

        packs = set(read_phase(self._repo.store, one.number, Phase.MARKED).packs)
        if self._needs is None:
            table = FrameTable(self._repo.index)
            marker = Marker(table, self._repo.chunks)
            try:
                marker.add(self._roots)
                marker.add_lossy()
                # From here on, what is left of side streams is live too.
                Choice(table, marker.is_live, marker.is_left)
            except CorruptionError as error:
                # A list of chunks cannot be read any more.
                if one.is_open:
                    raise
                raise self._deleted() from error
            self._needs = table, marker
        table, marker = self._needs
        numbers = [number for number, (pack, _) in table.packs.items() if pack in packs]
        sound = table.is_sound.copy()
        table.is_sound[np.isin(table.pack, numbers)] = False
        try:
            Choice(table, marker.is_live)
            return set()
        except CorruptionError:
            table.is_sound[:] = sound
            choice = Choice(table, marker.is_live)
        finally:
            table.is_sound[:] = sound
        chosen = set(table.pack[choice.frame[choice.is_needed]].tolist())
        return {table.packs[number][0] for number in chosen & set(numbers)}

    def _deleted(self) -> StoreError:
        return StoreError(
            "a gc is deleting what the snapshot needs",
            detail=f"It is stored again by the next run. {self._outcome}",
            hint="Run the command again once snap gc has ended.",
        )
