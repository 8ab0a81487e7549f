"""Whether two sections or snapshots have the same contents, by whichever digests both have.

A section that was read in full has both digests; one of which only the changed blocks were read
has the leaf digest alone, one of an older version lacks it. So any two neighbours can be compared,
and for others the answer may be None: unknown.
"""

from __future__ import annotations

from pgsnap.model.stored import Section, SnapshotHead


def same_contents(before: SnapshotHead, after: SnapshotHead) -> bool | None:
    """Return whether the roots of two snapshots say that their contents are equal."""
    if before.root is not None and after.root is not None:
        return before.root == after.root
    if before.leaf_root is not None and after.leaf_root is not None:
        return before.leaf_root == after.leaf_root
    return None


def same_text(before: Section, after: Section) -> bool | None:
    """Return whether two sections consist of the same bytes."""
    if before.plain_bytes != after.plain_bytes:
        return False
    if before.digest is not None and after.digest is not None:
        return before.digest == after.digest
    if before.leaf_digest is not None and after.leaf_digest is not None:
        return before.leaf_digest == after.leaf_digest
    # Equal lists of chunks are equal bytes; different ones say nothing.
    return True if before.segments == after.segments else None
