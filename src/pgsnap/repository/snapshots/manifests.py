"""Reading manifests from the index: many at a time, each checked against its hash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from pgsnap.errors import CorruptionError, UnknownRevision
from pgsnap.format.manifest import decode_head, snapshot_id
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.model import Naming, Snapshot, SnapshotHead, SnapshotId
from pgsnap.repository import layout
from pgsnap.repository.index.index import Index
from pgsnap.stores.base import Store

_AT_ONCE = 500

AnySnapshot = TypeVar("AnySnapshot", bound=SnapshotHead)


def known_manifests(
    index: Index, snapshots: Sequence[SnapshotId]
) -> Iterator[tuple[SnapshotId, bytes | None]]:
    """Yield *snapshots* in order, each with its manifest in the index, None if it has none."""
    for start in range(0, len(snapshots), _AT_ONCE):
        some = snapshots[start : start + _AT_ONCE]
        manifests = index.manifests(some)
        yield from ((snapshot, manifests.get(snapshot)) for snapshot in some)


def known_heads(
    index: Index, store: Store, snapshots: Sequence[SnapshotId], naming: Naming
) -> Iterator[tuple[SnapshotId, SnapshotHead]]:
    """Yield *snapshots* in order, each with its head. Raises as `sound_manifest`."""
    for one, data in known_manifests(index, snapshots):
        head = decode_head(sound_manifest(store, one, data, naming), one)
        yield one, with_stem_here(index, head)


def with_parent_here(index: Index, found: Snapshot) -> Snapshot:
    """Return a snapshot with the ids that its parent, and what it stems from, have here, if they
    are here: a copy names the originals'."""
    found = with_stem_here(index, found)
    if found.alias is None or found.parent is None:
        return found
    return replace(found, parent=index.named(found.parent) or found.parent)


def with_stem_here(index: Index, found: AnySnapshot) -> AnySnapshot:
    """Return a snapshot with the id that what it stems from has here, if it is here."""
    if found.stems_from is None:
        return found
    return replace(found, stems_from=index.named(found.stems_from) or found.stems_from)


def sound_manifest(store: Store, snapshot: SnapshotId, data: bytes | None, naming: Naming) -> bytes:
    """Return the manifest for which the index has *data*. Raises UnknownRevision if it has none,
    CorruptionError if neither the index nor the store has it intact."""
    name = snapshot.hex()[:12]
    if data is None:
        raise UnknownRevision(f'no snapshot is named "{name}"')
    if snapshot_id(data, naming) != snapshot:
        # The index is damaged, but the store need not be.
        data = store.get(layout.snapshot_name(snapshot), bytes_max=RECORD_BYTES_MAX)
        if snapshot_id(data, naming) != snapshot:
            detail = "Its bytes do not hash to its name."
            raise CorruptionError(f"snapshot {name} is damaged", detail=detail)
    return data
