"""Sealing again, with the newest key, all that older keys of an encrypted repository sealed.

Names and ids stay, so nothing that refers to anything changes. Each object is replaced in one step
by one that opens with a key that all slots have; packs are rewritten as a gc does it. It keeps no
state of its own: what still has an older key says so, and the next run goes on with that.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pgsnap.errors import CorruptionError, ObjectNotFound, StoreFull, WrongKey
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.maintenance.gc.collect import ChunkCollection, Roots, unreadable_packs
from pgsnap.maintenance.gc.remote import RemoteRound, announce_marks, sweep_marked
from pgsnap.maintenance.gc.snapshots import needed_roots, trust_notes
from pgsnap.model import PackId
from pgsnap.progress import Progress
from pgsnap.repository import layout
from pgsnap.repository.repository import Repository
from pgsnap.sealing.objects import epoch_of, open_object, seal_object, sealed_bytes_max
from pgsnap.values import dataclass

_SEALED = (
    layout.SNAPSHOTS,
    layout.TAGS,
    layout.NOTES,
    layout.COLLECTED_NOTES,
    layout.CLAIMS,
    layout.LOG,
)


@dataclass(frozen=True, slots=True)
class Resealed:
    """What was done: how many *objects* and *packs* have the newest key now that did not.

    *damaged* names what could not be opened and stays as it is. On a remote store *marked* packs of
    older keys are deleted by the first run, or gc, after *marked_until*. *full* is why it ended
    early.
    """

    objects: int
    packs: int
    damaged: tuple[str, ...]
    marked: int
    marked_until: datetime | None
    full: StoreFull | None

    @property
    def is_complete(self) -> bool:
        """Return whether nothing has an older key any more."""
        return not self.damaged and not self.marked and self.full is None


def reseal(repo: Repository, *, pack_grace: timedelta, progress: Progress) -> Resealed:
    """Seal all of *repo*, which is locked exclusively, with its newest key. On a remote store packs
    of older keys are marked, and deleted after *pack_grace*.

    All snapshots stay, forgotten ones too. Raises CorruptionError if one is damaged: then no pack
    was changed. Raises WrongKey, StoreError, RepositoryLocked.
    """
    if repo.unlocked is None:
        raise WrongKey(
            "the repository is not encrypted, so it has no keys",
            hint="Make one that is: snap init --encrypt PATH",
        )
    with repo.many_reads():
        trust_notes(repo)
        _roots(repo)
        progress.phase("encrypt manifests, tags and notes again")
        objects, damaged = _objects(repo, progress)
        repo.catch_up_packs()
        old = _old_packs(repo)
        store, discarded = repo.chunk_store, list[PackId]()
        remote, full = RemoteRound(), None
        if repo.place.path is None:
            store = replace(store, discard=discarded.extend)
            remote = sweep_marked(
                repo,
                lambda: _roots(repo),
                grace=pack_grace,
                now=datetime.now(UTC),
                progress=progress,
            )
            old &= _old_packs(repo)
        # One round at a time, as for a gc.
        if old and not remote.marked:
            chunks = ChunkCollection(store, _roots(repo), progress, renewed=old)
            chunks.sweep()
            full = chunks.full
        if discarded:
            announce_marks(repo, discarded)
            remote.marked = len(discarded)
            remote.waiting_until = datetime.now(UTC) + pack_grace
        left = len(old & _old_packs(repo))
        unreadable = () if full is not None else unreadable_packs(repo.chunk_store)
        return Resealed(
            objects,
            len(old) - left,
            (*damaged, *unreadable),
            remote.marked,
            remote.waiting_until,
            full,
        )


def _roots(repo: Repository) -> Roots:
    return needed_roots(repo, (), {}, lambda since: False)


def _objects(repo: Repository, progress: Progress) -> tuple[int, list[str]]:
    """Seal small objects again; return how many, and the names of those that do not open."""
    assert repo.unlocked is not None
    bare, keys = repo.place.store, repo.unlocked.keys
    done = 0
    damaged = []
    names = {info.name for one in _SEALED for info in bare.list(one)}
    for name in sorted(names):
        progress.advance(0)
        try:
            data = bare.get(name, bytes_max=sealed_bytes_max(RECORD_BYTES_MAX))
            epoch = epoch_of(data)
            if epoch is None or epoch == keys.epoch:
                continue
            sealed = seal_object(keys, name, open_object(keys, name, data))
        except ObjectNotFound:
            continue
        except CorruptionError:
            damaged.append(name)
            continue
        repo.check_lock()
        bare.put(name, sealed)
        done += 1
    return done, damaged


def _old_packs(repo: Repository) -> set[PackId]:
    assert repo.unlocked is not None
    return repo.index.packs_before(repo.unlocked.keys.epoch)
