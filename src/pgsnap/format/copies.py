"""Copies for a repository with other keys: the same lists and manifests, with other ids in them.

Only ids change, so a copy of a copy in the first repository is the original, byte for byte
(docs/format.md, "Copies with other keys").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from pgsnap.format.envelope import HEAD, ObjectKind, unwrap, wrap
from pgsnap.format.manifest import (
    ALIAS,
    ALIAS_PARENT,
    PARENT,
    SECTIONS_RECIPE,
    decode_manifest,
    snapshot_id,
)
from pgsnap.format.recipe import CHUNKS, ROOT_CHUNK, decode_children, decode_root
from pgsnap.format.record import RecordWriter, with_values
from pgsnap.format.sections import RECIPES, changed_entries, decode_section
from pgsnap.model import HASH_BYTES, ChunkId, Naming, SnapshotId

NewIds: TypeAlias = "Callable[[Sequence[ChunkId], int], Sequence[ChunkId]]"
"""Returns the new ids of chunks, all of one level within their tree (0: what it lists)."""


def copied_node(data: bytes, level: int, new_ids: NewIds) -> bytes:
    """Return a recipe node with other ids. Raises CorruptionError."""
    joined = decode_children(data, level)
    old = [joined[start : start + HASH_BYTES] for start in range(0, len(joined), HASH_BYTES)]
    new = b"".join(new_ids(old, level - 1))
    return with_values(data, {CHUNKS: lambda _: new})


def copied_piece(data: bytes, new_ids: NewIds) -> bytes:
    """Return a piece of a section table with other ids. Raises CorruptionError."""

    def root(value: bytes) -> bytes:
        level = decode_root(value, "a section table").level
        return with_values(value, {ROOT_CHUNK: lambda chunk: new_ids([chunk], level)[0]})

    change = dict.fromkeys(RECIPES, root)

    def section(entry: bytes) -> bytes:
        decode_section(entry, "a section table")
        return with_values(entry, change)

    return changed_entries(data, section)


def copied_manifest(
    data: bytes,
    table: ChunkId | None,
    parent: SnapshotId | None,
    source: Naming,
    target: Naming,
) -> tuple[SnapshotId, bytes]:
    """Return the id and the bytes of the manifest *data* where *target* names what *source* named
    before: the original, if it was copied from there. *table* is the new root of its section table,
    *parent* the original id of its parent."""
    what = "a snapshot"
    own = snapshot_id(data, source)
    found = decode_manifest(data)
    payload = unwrap(ObjectKind.MANIFEST, data, what)
    version = HEAD.unpack_from(data)[2]
    new_root = {ROOT_CHUNK: lambda _: table or b""}
    payload = with_values(payload, {SECTIONS_RECIPE: lambda root: with_values(root, new_root)})

    def manifest(above: SnapshotId | None, *also: tuple[int, SnapshotId | None]) -> bytes:
        rest = RecordWriter()
        for number, value in also:
            if value is not None:
                rest.raw(number, value, ignorable=True)
        changed = with_values(
            payload, {PARENT: lambda _: above or b""}, without=(ALIAS, ALIAS_PARENT)
        )
        return wrap(ObjectKind.MANIFEST, changed + rest.to_bytes(), version)

    if found.alias is not None:
        original = manifest(found.alias_parent or found.parent)
        if snapshot_id(original, target) == found.alias:
            return found.alias, original
        copy = manifest(found.parent, (ALIAS, found.alias), (ALIAS_PARENT, found.alias_parent))
    else:
        other = found.parent if parent != found.parent else None
        copy = manifest(parent, (ALIAS, own), (ALIAS_PARENT, other))
    return snapshot_id(copy, target), copy
