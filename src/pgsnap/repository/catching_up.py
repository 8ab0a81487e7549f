"""The index catches up with the store: what came or went since, and what a kill left undone."""

from __future__ import annotations

import contextlib

from pgsnap import limits
from pgsnap.errors import CorruptionError, ObjectNotFound, StoreFull, TagExists, UsageError
from pgsnap.format.manifest import decode_manifest
from pgsnap.model import SnapshotId, Tag
from pgsnap.repository import layout
from pgsnap.repository.chunks.inspection import add_tables, pack_tables
from pgsnap.repository.index.index import Index
from pgsnap.repository.snapshots.tags import Tags
from pgsnap.stores.base import Store


def catch_up_packs(store: Store, index: Index) -> None:
    """Bring the index's packs to what is in the store.

    A pack that is not sound is left out: its chunks are missing then, and are said to be.
    """
    indexed = index.packs()
    seen = set()
    found = []
    for info in store.list(layout.PACKS):
        pack = layout.hash_of(info.name)
        if pack is None or info.name != layout.pack_name(pack):
            continue
        seen.add(pack)
        if indexed.get(pack) == info.object_bytes:
            continue
        if pack in indexed:
            index.drop_pack(pack)
        found.append((pack, info))
    # The next commit takes what the index knows for durable.
    store.settle(info.name for _, info in found)
    for tables in pack_tables(store, found, left_out=[]):
        # On a full disk what the index knows can be read all the same.
        with contextlib.suppress(StoreFull):
            add_tables(index, tables)
    if gone := list(indexed.keys() - seen):
        index.drop_packs(gone)


def catch_up_snapshots(store: Store, index: Index, tags: Tags, *, writable: bool) -> None:
    """Bring the index's snapshots to what is in the store, and set the tags that killed commits
    wished for, where the store is *writable*."""
    # Other processes go on meanwhile: in this order none of their snapshots is taken for one
    # that is gone, nor for one of a killed commit because they complete a new index.
    complete = index.is_complete
    indexed = index.snapshot_ids()
    stored = {
        snapshot
        for info in store.list(layout.SNAPSHOTS)
        if (snapshot := layout.hash_of(info.name)) is not None
    }
    new, parents = [], set()
    # What is there or gone may be so for now: who did it was killed before it was durable.
    store.settle(layout.snapshot_name(snapshot) for snapshot in stored ^ indexed)
    for snapshot in stored - indexed:
        with contextlib.suppress(CorruptionError, ObjectNotFound):
            data = store.get(layout.snapshot_name(snapshot), bytes_max=limits.RECORD_BYTES_MAX)
            found = decode_manifest(data, snapshot)
            new.append((found.time, snapshot, data))
            parents.add(found.parent)
    # Its commit was killed after the commit point. An index that is being rebuilt says nothing of
    # the sort: there a missing tag is one that was deleted. So is that of a parent: the commit of
    # its child had it in an index, and so had given it its tags.
    for _, snapshot, data in sorted(new):
        if index.manifest(snapshot) is None:
            with_tags = complete and writable and snapshot not in parents
            # On a full disk the others can be read all the same; it comes when there is room.
            with contextlib.suppress(StoreFull):
                admit(index, tags, snapshot, data, with_tags=with_tags, is_late=True)
    if indexed - stored:
        index.drop_snapshots(indexed - stored, lost=True)
    if not complete:
        index.set_complete()


def admit(
    index: Index,
    tags: Tags,
    new: SnapshotId,
    data: bytes,
    *,
    with_tags: bool,
    is_late: bool = False,
) -> list[str]:
    """Take a stored manifest into the index, and return the tags that it got.

    The index comes last: a snapshot that it knows has the tags that were wished for it. Where
    it *is_late* (killed, or the index lost it), tags that were set since then stay. So does a
    damaged one, which must not keep the repository from being opened.
    """
    snapshot = decode_manifest(data, new)
    given = []
    for wish in snapshot.wished_tags if with_tags else ():
        tag = Tag(snapshot.database, wish.removeprefix("+"), new, snapshot.time)
        # A wish that no commit would have had is a stranger's.
        with contextlib.suppress(TagExists, CorruptionError, UsageError):
            there = tags.get(tag.database, tag.name) if is_late else None
            if there is None or there.time <= tag.time:
                tags.set(tag, force=wish.startswith("+"))
                given.append(tag.name)
    index.add_snapshot(new, snapshot, data)
    return given
