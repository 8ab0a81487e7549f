"""Bringing the index up to date with the store, and finishing what a killed process left undone."""

from __future__ import annotations

import contextlib

from pgsnap.errors import CorruptionError, ObjectNotFound, StoreFull, TagExists, UsageError
from pgsnap.format.manifest import decode_manifest
from pgsnap.model import Naming, PackId, SnapshotId, Tag
from pgsnap.repository import layout
from pgsnap.repository.chunks.inspection import add_tables, find_table, pack_tables
from pgsnap.repository.index.index import Index
from pgsnap.repository.objects import contents_of
from pgsnap.repository.places.base import Place
from pgsnap.repository.snapshots import forgetting
from pgsnap.repository.snapshots.tags import Tags
from pgsnap.sealing.scheme import Scheme
from pgsnap.stores.base import ObjectInfo, Store
from pgsnap.stores.local import LocalStore

_FOLDERS = (
    layout.SNAPSHOTS,
    *(f"{layout.NOTES}{kind}/" for kind in (forgetting.FORGOTTEN, forgetting.UNFORGOTTEN)),
)
"""The folders that opening a repository lists."""


def catch_up_packs(store: Store, index: Index, scheme: Scheme) -> None:
    """Bring the index's packs up to date with the store.

    A damaged pack is left out, so its chunks are reported as missing; or, if it is sealed and was
    known, as damaged.
    """
    indexed = index.packs()
    # Of tens of thousands, only the names of those that differ are decoded.
    expected = {layout.pack_name(pack): pack for pack in indexed}
    seen = set()
    found = []
    for info in store.list(layout.PACKS):
        pack = expected.get(info.name) or layout.hash_of(info.name)
        if pack is None or info.name != layout.pack_name(pack):
            continue
        seen.add(pack)
        if indexed.get(pack) == info.object_bytes:
            continue
        if pack in indexed:
            if scheme.packs is not None and not _has_table(store, pack, info, scheme):
                _keep_frames(index, pack, info)
                continue
            index.drop_pack(pack)
        found.append((pack, info))
    # The next commit assumes that whatever the index knows is durable.
    store.settle(info.name for _, info in found)
    for tables in pack_tables(store, found, [], scheme):
        # On a full disk, what the index already knows can still be read.
        with contextlib.suppress(StoreFull):
            add_tables(index, tables)
    if gone := list(indexed.keys() - seen):
        index.drop_packs(gone)


def _has_table(store: Store, pack: PackId, info: ObjectInfo, scheme: Scheme) -> bool:
    try:
        find_table(store, pack, info, scheme)
    except (CorruptionError, ObjectNotFound):
        return False
    return True


def _keep_frames(index: Index, pack: PackId, info: ObjectInfo) -> None:
    """Mark the frames of a sealed pack that lost its table as damaged. They stay in the index: in
    sealed bytes nothing else can find them, so a repair would save none."""
    located = index.frames_of(pack)
    for is_there in (True, False):
        offsets = [
            location.offset
            for location in located
            if (location.offset + location.frame.frame_bytes <= info.object_bytes) is is_there
        ]
        # On a full disk it is found again when the repository is next opened.
        with contextlib.suppress(StoreFull):
            index.mark_damaged(pack, offsets, readable=is_there)


def catch_up_if_changed(
    place: Place,
    store: Store,
    index: Index,
    tags: Tags,
    naming: Naming,
    *,
    finish_tags: bool,
    is_whole: bool,
) -> None:
    """Bring the index's snapshots, and what is forgotten, up to date with the store.

    If *is_whole*, what is stored is listed in any case; else not while a local repository's folders
    are as they were when the index was last compared with them: tens of thousands of files take
    longer than all else that `snap log` does.
    """
    before = _states(place)
    if before and not is_whole and index.is_as_kept(before):
        return
    is_exact = catch_up_snapshots(store, index, tags, naming, finish_tags=finish_tags)
    # On a full disk forgotten snapshots may be visible again, until there is space.
    with contextlib.suppress(StoreFull):
        is_exact &= forgetting.catch_up(store, index, naming)
        if before and is_exact and _states(place) == before:
            index.keep_states(before)


def _states(place: Place) -> str:
    """Return the states of the folders that opening a repository lists, and what was acceptable
    there; "" if they do not tell of each change from now on."""
    found = place.folder_states(_FOLDERS)
    if found is None or any(one is not None and not one.is_settled for one in found):
        return ""
    # What was somebody's whom snap.toml trusted then may be a stranger's by now.
    trusted = ascii([sorted(place.trust.owners), sorted(map(str, place.trust.links))])
    return " ".join([*(str(one and one.state) for one in found), trusted])


def catch_up_snapshots(
    store: Store, index: Index, tags: Tags, naming: Naming, *, finish_tags: bool
) -> bool:
    """Bring the index's snapshots up to date with the store; return whether it has all that are
    there. With *finish_tags*, for an index that all commits share, set the tags that killed ones
    had requested."""
    # Other processes are running meanwhile: this order ensures that none of their snapshots is
    # mistaken for a deleted one, or for a killed commit's because they complete a new index.
    complete = index.is_complete
    indexed = index.snapshot_ids()
    # Of tens of thousands, only the names of those that differ are decoded.
    expected = {layout.snapshot_name(snapshot): snapshot for snapshot in indexed}
    names = (
        store.names(layout.SNAPSHOTS)
        if isinstance(store, LocalStore)
        else {info.name for info in store.list(layout.SNAPSHOTS)}
    )
    gone = {expected[name] for name in expected.keys() - names}
    added = {
        snapshot
        for name in names - expected.keys()
        if (snapshot := layout.hash_of(name)) is not None and snapshot not in indexed
    }
    new, parents = [], set()
    # What was added or deleted may not be durable yet: the process may have been killed.
    store.settle(layout.snapshot_name(snapshot) for snapshot in added | gone)
    wanted = {layout.snapshot_name(snapshot): snapshot for snapshot in added}
    for name, data in contents_of(store, wanted):
        if isinstance(data, bytes):
            with contextlib.suppress(CorruptionError):
                found = decode_manifest(data, wanted[name], naming)
                new.append((found.time, wanted[name], data))
                parents.add(found.parent)
    # Its commit was killed after the commit point. While the index is being rebuilt that does not
    # follow: a missing tag has been deleted then. The same holds for a parent: the commit of its
    # child had it in an index, and so had already set its tags.
    for _, snapshot, data in sorted(new):
        if index.manifest(snapshot) is None:
            with_tags = complete and finish_tags and snapshot not in parents
            # On a full disk the others can still be read; this one is added when there is space.
            with contextlib.suppress(StoreFull):
                admit(index, tags, snapshot, data, naming, with_tags=with_tags, is_late=True)
    if gone:
        index.drop_snapshots(gone, lost=True)
    if not complete:
        index.set_complete()
    # Neither a damaged manifest is there, nor what a full disk had no room for.
    return not added or added <= index.snapshot_ids()


def put_back(
    place: Place,
    store: Store,
    index: Index,
    tags: Tags,
    naming: Naming,
    snapshot: SnapshotId,
    data: bytes,
) -> None:
    """Store a manifest that was published before, here or elsewhere, and add it to the index; its
    tags are not set. Raises CorruptionError, StoreError."""
    decode_manifest(data, snapshot, naming)
    is_shared = place.path is not None
    if is_shared:
        # Else whoever opens it meanwhile, or once this process was killed, takes it for that of a
        # killed commit, and sets the tags that were wished for elsewhere.
        index.set_complete(False)
    store.put(layout.snapshot_name(snapshot), data)
    admit(index, tags, snapshot, data, naming, with_tags=False)
    if is_shared:
        index.set_complete()


def admit(
    index: Index,
    tags: Tags,
    new: SnapshotId,
    data: bytes,
    naming: Naming,
    *,
    with_tags: bool,
    is_late: bool = False,
) -> list[str]:
    """Add a stored manifest to the index, and return the names of the tags set for it.

    The index is updated last: a snapshot that it knows has its requested tags. If it *is_late* (the
    commit was killed, or the index lost it), tags set since then are kept. So is a damaged one,
    which must not keep the repository from being opened.
    """
    snapshot = decode_manifest(data, new, naming)
    given = []
    # A copy's tags are set by what copied it.
    for wish in snapshot.wished_tags if with_tags and snapshot.alias is None else ():
        tag = Tag(snapshot.database, wish.removeprefix("+"), new, snapshot.time)
        # A request that no commit would have made does not come from snap.
        with contextlib.suppress(TagExists, CorruptionError, UsageError):
            there = tags.get(tag.database, tag.name) if is_late else None
            if there is None or there.time <= tag.time:
                tags.set(tag, force=wish.startswith("+"))
                given.append(tag.name)
    index.add_snapshot(new, snapshot, data)
    return given
