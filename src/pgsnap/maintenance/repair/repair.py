"""Repair: mends what is damaged or missing from what is left of it, and from another copy.

Nothing is deleted: damaged files are moved to ``damaged/``, and what they still hold is saved into
new packs. It can be killed at any moment and run again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from pgsnap import interrupts, limits
from pgsnap.errors import CorruptionError, StoreError, UsageError
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.maintenance.log import settle_log
from pgsnap.maintenance.repair.chunks import ChunkMender
from pgsnap.maintenance.repair.config import ConfigMender
from pgsnap.maintenance.repair.objects import Mended, ObjectMender, put_aside
from pgsnap.maintenance.verify.damage import Damage
from pgsnap.maintenance.verify.section_walk import SectionWalk
from pgsnap.model import Location, Snapshot, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository import layout
from pgsnap.repository.chunks.inspection import (
    PackState,
    begins_as_pack,
    inspect_packs,
    mend_rows,
    rows_of,
)
from pgsnap.repository.places.opening import Where, is_same, place_of
from pgsnap.repository.repository import Repository
from pgsnap.repository.sealed.unlocking import Unlock
from pgsnap.repository.snapshots.losses import accepted_losses
from pgsnap.stores.base import ObjectInfo
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was mended, what stays lost, which files were moved aside."""

    mended: tuple[Mended, ...]
    lost: tuple[Damage, ...]
    put_aside: tuple[str, ...]
    salvaged_chunks: int
    fetched_chunks: int
    warnings: tuple[str, ...]
    seconds: float


def repair(
    where: Where,
    *,
    source: Where | None = None,
    lock_timeout_seconds: float = limits.LOCK_TIMEOUT_SECONDS,
    index_folder: Path | None = None,
    progress: Progress = SILENT,
    trust: Trust = ONLY_OURS,
    unlock: Unlock | None = None,
    was_encrypted: bool = False,
) -> RepairReport:
    """Mend the repository in *where*, if *source* is given also from the repository there. No
    config is made for one that *was_encrypted*, as far as is known from elsewhere.

    Every byte is read. No other process may have the repository open meanwhile. Raises
    RepositoryLocked, RepositoryError, StoreError, UsageError.
    """
    started = time.monotonic()
    mended: list[Mended] = []
    warnings: list[str] = []
    opened = partial(
        Repository.open,
        lock_timeout_seconds=lock_timeout_seconds,
        index_folder=index_folder,
        trust=trust,
        unlock=unlock,
    )
    with contextlib.ExitStack() as stack:
        other = None
        if source is not None:
            if is_same(source, where):
                raise UsageError("a repository cannot be repaired from itself")
            other = stack.enter_context(opened(source))
            other.catch_up_packs()
        place = place_of(where, trust)
        config = ConfigMender(place, other, is_encrypted=was_encrypted)
        mended += config.mended(lock_timeout_seconds, warnings)
        repo = stack.enter_context(opened(where, alone=True))
        objects = ObjectMender(repo, other, mended)
        with ChunkMender(repo, other) as chunks:
            moved = _mend_packs(repo, chunks, mended, progress)
            # First, since notes show which manifests a gc dropped: these are not missing.
            objects.notes()
            objects.manifests()
            objects.tags()
            progress.phase("mend chunks")
            for snapshot in repo.newest(None, also_forgotten=True):
                with contextlib.suppress(CorruptionError):
                    chunks.mend(repo.snapshot(snapshot))
        mended += _mended_log(repo)
        lost = [*objects.lost, *_lost_sections(repo, progress)]
        return RepairReport(
            tuple(mended),
            tuple(lost),
            (*moved, *objects.put_aside),
            chunks.salvaged,
            chunks.fetched,
            (*warnings, *objects.warnings),
            time.monotonic() - started,
        )


def _mended_log(repo: Repository) -> list[Mended]:
    """Begin the log of a remote repository again, if it is not whole."""
    words = "it was not whole, and begins again"
    return [Mended("log", layout.LOG, words)] if settle_log(repo) else []


def _mend_packs(
    repo: Repository, chunks: ChunkMender, mended: list[Mended], progress: Progress
) -> list[str]:
    """Move unsound packs aside and save what they hold. Return their new names."""
    store, index = repo.store, repo.index
    infos = [
        info
        for info in store.list(layout.PACKS)
        if layout.hash_of(info.name) is not None or begins_as_pack(store, info)
    ]
    # The index knows the frames of a pack whose table is gone only until it catches up.
    sizes = index.packs()
    listed: dict[str, list[Location]] = {}
    for info in infos:
        pack = layout.hash_of(info.name)
        if pack in sizes and sizes[pack] != info.object_bytes:
            listed[info.name] = index.frames_of(pack)
    repo.catch_up_packs()
    progress.phase("read packs", sum(info.object_bytes for info in infos))
    unsound = []
    for state in inspect_packs(store, infos, repo.chunks, data=True):
        progress.advance(state.info.object_bytes, state.info.name)
        if state.problem:
            unsound.append(state)
        elif state.pack is not None:
            if mend_rows(index, state, rows_of(index, [state])):
                mended.append(Mended("index", state.info.name, "its rows were rebuilt"))
            index.clear_damaged(state.pack)
    for state in unsound:
        known = listed.get(state.info.name) or state.locations
        if not known and state.pack is not None:
            known = index.frames_of(state.pack)
        listed[state.info.name] = known
    if repo.chunks.scheme.packs is not None:
        _save_sealed(repo, chunks, unsound, listed, mended)
    moved: list[tuple[PackState, str]] = []
    rows: dict[str, list[Location]] = {}
    with interrupts.undone_by(lambda: _move_back(repo, moved, rows)):
        for state in unsound:
            name = put_aside(repo.place, state.info.name)
            rows[name] = listed[state.info.name]
            moved.append((state, name))
            if state.pack is not None and state.info.name == layout.pack_name(state.pack):
                index.drop_pack(state.pack)
        for info in list(store.list(f"{layout.DAMAGED}{layout.PACKS}")):
            _save(chunks, info, rows.get(info.name, []), mended)
        chunks.flush()
    return [name for _, name in moved]


def _save(
    chunks: ChunkMender, info: ObjectInfo, known: list[Location], mended: list[Mended]
) -> None:
    """Save what a file of an unsound pack holds; *known* are its frames."""
    before = chunks.salvaged
    pack_name = chunks.from_file(info, known)
    if pack_name is not None:
        mended.append(Mended("pack", pack_name, f"it was whole in {info.name}"))
    elif chunks.salvaged > before:
        count = chunks.salvaged - before
        mended.append(Mended("pack", info.name, f"{count} chunks of it were saved"))


def _save_sealed(
    repo: Repository,
    chunks: ChunkMender,
    unsound: list[PackState],
    listed: dict[str, list[Location]],
    mended: list[Mended],
) -> None:
    """Save what sealed packs hold before they are moved: in one without a table only the index can
    tell its frames, which a repair that is killed must not forget."""
    for state in unsound:
        known = listed[state.info.name]
        if state.pack is not None:
            offsets = [location.offset for location in known]
            repo.index.mark_damaged(state.pack, offsets, readable=True)
        _save(chunks, state.info, known, mended)
    chunks.flush()


def _move_back(
    repo: Repository, moved: list[tuple[PackState, str]], rows: dict[str, list[Location]]
) -> None:
    """Make readable again what was readable before: there was no space, or no time, to save it
    elsewhere, and only the index knows the frames of a pack without a table."""
    for state, name in moved:
        # For those already mended there is a file of that name again.
        with contextlib.suppress(StoreError):
            repo.place.move(name, state.info.name)
            if state.pack is None or state.info.name != layout.pack_name(state.pack):
                continue
            repo.index.add_pack(state.pack, state.info.object_bytes, rows[name])
            for location in rows[name]:
                readable = location.offset not in state.bad
                repo.index.mark_damaged(state.pack, [location.offset], readable=readable)


def _lost_sections(repo: Repository, progress: Progress) -> Iterator[Damage]:
    """Yield what cannot be read in the existing snapshots."""
    progress.phase("look at what is left")
    walk = SectionWalk(repo)
    walk.check_all(_readable(repo))
    accepted = accepted_losses(repo).keys()
    for found in chain(walk.findings(), walk.mild_findings()):
        if not accepted >= set(found.snapshots):
            yield found


def _readable(repo: Repository) -> Iterator[tuple[SnapshotId, Snapshot]]:
    for snapshot in repo.newest(None, also_forgotten=True):
        with contextlib.suppress(CorruptionError):
            yield snapshot, repo.snapshot(snapshot)
