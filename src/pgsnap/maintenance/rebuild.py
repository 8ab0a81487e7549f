"""Rebuilding the index beside the old one, which it then replaces."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pgsnap import interrupts
from pgsnap.errors import CorruptionError, ObjectNotFound, StoreError
from pgsnap.files.folder import Folder, sync_folder
from pgsnap.files.trust import ONLY_OURS, Trust
from pgsnap.format.manifest import decode_manifest, snapshot_id
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.model import Naming
from pgsnap.progress import Progress
from pgsnap.repository import layout
from pgsnap.repository.chunks.inspection import add_tables, pack_tables
from pgsnap.repository.config import read_config
from pgsnap.repository.index.index import Index
from pgsnap.repository.objects import objects_of
from pgsnap.repository.places.opening import Where, place_of
from pgsnap.repository.sealed.unlocking import Unlock, keys_of, unlocked_by
from pgsnap.repository.snapshots import forgetting
from pgsnap.sealing.scheme import Scheme, scheme_of
from pgsnap.stores.base import ObjectInfo, Store
from pgsnap.values import dataclass


@dataclass(slots=True)
class Rebuilt:
    """The contents of the new index. *left_out* are unsound objects, with the reason."""

    packs: int = 0
    chunks: int = 0
    snapshots: int = 0
    left_out: tuple[tuple[str, str], ...] = ()


def rebuild_index(
    where: Where,
    *,
    lock_timeout_seconds: float,
    index_folder: Path | None,
    progress: Progress,
    trust: Trust = ONLY_OURS,
    unlock: Unlock | None = None,
) -> Rebuilt:
    """Rebuild the index of the repository in *where* from its packs, manifests and notes alone.

    Takes the exclusive lock. The old index is replaced atomically at the end; what only it knew
    (damage marks, sound copies of damaged manifests) is kept. Raises RepositoryLocked, StoreError.
    """
    place = place_of(where, trust)
    config = read_config(place)
    place.refuse_links()
    keys = keys_of(unlocked_by(unlock, str(place), config, place.store))
    writable = place.is_writable() and keys is None
    file = place.index_file(config.repository_id, index_folder, writable=writable)
    if file is None:
        raise StoreError(
            "the index cannot be written",
            detail="Neither the repository's folder nor the user's cache folder can be.",
            hint="On read-only media nothing need be done: the index is built in memory each time.",
        )
    with place.lock(lock_timeout_seconds, alone=True, anonymous=keys is not None):
        # Who held the lock until now may have rotated the keys.
        keys = keys_of(unlocked_by(unlock, str(place), config, place.store))
        scheme = scheme_of(keys)
        store = objects_of(place.store, config, keys, transfers=place.transfers)
        folder = Folder(file.parent, trust)
        new = file.with_name(f"{file.name}.new")
        _remove(folder, new)
        index = Index(new, trust)

        def throw_away() -> None:
            index.close()
            _remove(folder, new)

        with interrupts.undone_by(throw_away):
            index.belong_to(config.repository_id)
            result = _fill(store, index, scheme, progress)
            _take_over(folder, file, index, store, scheme.naming)
            index.set_complete()
        index.close()
        # Its last connection is closed, so everything is in one file.
        folder.rename(new.name, file.name)
        sync_folder(file.parent)
    return result


def _fill(store: Store, index: Index, scheme: Scheme, progress: Progress) -> Rebuilt:
    result = Rebuilt()
    left_out: list[tuple[str, str]] = []
    progress.phase("index packs")
    infos = list(store.list(layout.PACKS))
    # The next commit assumes that whatever the index knows is durable.
    store.settle(info.name for info in infos)
    packs = (
        (pack, info)
        for info in infos
        if (pack := layout.hash_of(info.name)) is not None and info.name == layout.pack_name(pack)
    )
    for tables in pack_tables(store, packs, left_out, scheme):
        add_tables(index, tables)
        result.packs += len(tables)
        result.chunks += sum(len(one.locations) for one in tables)
        size = sum(one.info.object_bytes for one in tables)
        progress.advance(size, tables[-1].info.name)
    progress.phase("index snapshots")
    for info in store.list(layout.SNAPSHOTS):
        with _noted(left_out, info):
            snapshot = layout.hash_of(info.name)
            if snapshot is None:
                continue
            data = store.get(info.name, bytes_max=RECORD_BYTES_MAX)
            found = decode_manifest(data, snapshot, scheme.naming)
            index.add_snapshot(snapshot, found, data)
            result.snapshots += 1
    forgetting.catch_up(store, index, scheme.naming)
    result.left_out = tuple(left_out)
    return result


@contextlib.contextmanager
def _noted(left_out: list[tuple[str, str]], info: ObjectInfo) -> Iterator[None]:
    try:
        yield
    except (CorruptionError, ObjectNotFound) as error:
        left_out.append((info.name, error.detail or f"{error.message}."))


def _take_over(folder: Folder, file: Path, new: Index, store: Store, naming: Naming) -> None:
    """Take over from the old index what only it knows: damage marks, and the contents of manifests
    and notes that are damaged in the store. No file remains beside it: SQLite would apply an old
    log to the new index."""
    if not file.exists():
        return
    packs = new.packs()
    try:
        old = Index(file, folder.trust)
    except (CorruptionError, StoreError):
        # It was moved aside as damaged, or cannot even be opened.
        _remove(folder, file)
        return
    try:
        for pack, offset, readable in old.damaged():
            if pack in packs:
                new.mark_damaged(pack, [offset], readable=readable)
        _keep_manifests(old, new, store, naming)
        forgetting.take_over(old, new, store)
        old.retire()
    except CorruptionError:
        pass
    finally:
        old.close()
    for suffix in ("-wal", "-shm"):
        folder.unlink(file.name + suffix, missing_ok=True)


def _keep_manifests(old: Index, new: Index, store: Store, naming: Naming) -> None:
    """Keep for a repair the manifests that are damaged in the store: the old index may have the
    only sound copies. Deleted ones are dropped."""
    known = new.snapshot_ids()
    for info in store.list(layout.SNAPSHOTS):
        snapshot = layout.hash_of(info.name)
        if snapshot is None or snapshot in known:
            continue
        for data in (old.manifest(snapshot), old.lost_snapshots().get(snapshot)):
            if data is not None and snapshot_id(data, naming) == snapshot:
                found = decode_manifest(data, snapshot, naming)
                new.add_snapshot(snapshot, found, data)
                break


def _remove(folder: Folder, file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        folder.unlink(file.name + suffix, missing_ok=True)
