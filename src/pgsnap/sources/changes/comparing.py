"""Which tables can be compared with the parent's at all, and what that and the detector say."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping

from pgsnap.limits import CHANGED_SHARE_MAX
from pgsnap.model.baseline import Baseline, TableState
from pgsnap.sources.changes.verdicts import Changed, Full, Unchanged, Verdict

MOSTLY_CHANGED = "most of its blocks have changed"


def incomparable(tables: Iterable[TableState], parent: Baseline) -> dict[int, Full]:
    """Return those of *tables*, by OID, that are read as a whole whatever a detector finds."""
    before = {table.oid: table for table in parent.tables}
    found = {}
    for table in tables:
        reason = _reason(table, before.get(table.oid))
        if reason:
            found[table.oid] = Full(reason)
    return found


def _reason(table: TableState, before: TableState | None) -> str:
    if before is None:
        return "it is new"
    if table.always_read or before.always_read:
        return table.always_read or before.always_read
    if (table.relfilenode, table.tablespace) != (before.relfilenode, before.tablespace):
        return "it was rewritten, emptied or moved"
    if table.columns != before.columns:
        return "its columns were altered"
    if table.types != before.types:
        return "a type of its columns was altered"
    return ""


def combined(
    tables: Iterable[TableState],
    parent: Baseline,
    incomparable: Mapping[int, Full],
    detected: Mapping[int, Verdict],
) -> dict[int, Verdict]:
    """Return the final verdicts on *tables*, by OID, from those of a detector."""
    before = {table.oid: table.blocks for table in parent.tables}
    found: dict[int, Verdict] = {}
    for table in tables:
        whole = incomparable.get(table.oid)
        found[table.oid] = whole or _combined(table, before[table.oid], detected[table.oid])
    return found


def _combined(table: TableState, blocks_before: int, detected: Verdict) -> Verdict:
    if isinstance(detected, Full):
        return detected
    blocks = detected.blocks if isinstance(detected, Changed) else array("I")
    if table.blocks > blocks_before:
        # The parent has nothing of these, whatever they say.
        known = [block for block in blocks if block < blocks_before]
        blocks = array("I", [*known, *range(blocks_before, table.blocks)])
    if table.blocks == blocks_before and not blocks:
        return Unchanged()
    if len(blocks) > CHANGED_SHARE_MAX * table.blocks:
        return Full(MOSTLY_CHANGED)
    # Where it is shorter than before, what it lost is gone although nothing that is there changed.
    return Changed(blocks, table.blocks)
