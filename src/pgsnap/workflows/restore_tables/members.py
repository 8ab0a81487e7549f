"""Refuses tables that belong to an extension: no dump has their definitions."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.errors import TargetRefused
from pgsnap.model import Snapshot, SnapshotId
from pgsnap.sessions.base import Session
from pgsnap.targets.tables.live import find_table
from pgsnap.workflows.contents.table_names import shown


def check_members(
    session: Session,
    snapshot: Snapshot,
    snapshot_id: SnapshotId,
    unknown: Iterable[TableName],
    with_rows: Collection[TableName],
) -> None:
    """Raise TargetRefused for those of *unknown*, which the snapshot does not define, that belong
    to an extension. *with_rows* are all tables whose rows the snapshot has."""
    for name in unknown:
        live = find_table(session, name)
        extension = live.extension if live is not None else ""
        rows_only = (
            f"snap restore {snapshot_id.hex()[:12]} --table {shlex.quote(shown(name))} --data-only"
        )
        if extension:
            has_rows = name in with_rows
            raise TargetRefused(
                f"{shown(name)} belongs to the extension {extension}; its definition is not in the"
                " dump",
                detail="Its rows are: the extension marks it as its configuration."
                if has_rows
                else "Nor are its rows: the extension does not mark it as its configuration.",
                hint=f"Its rows alone: {rows_only}"
                if has_rows
                else f"Make it as the extension does: CREATE EXTENSION {extension};",
            )
        if live is None and name in with_rows:
            properties = snapshot.origin.properties
            had = ", ".join(e.name for e in properties.extensions) if properties else "not known"
            raise TargetRefused(
                f"{shown(name)} belongs to an extension that the database has not got; its"
                " definition is not in the dump",
                detail=f"The snapshot has its rows. Its extensions: {had}.",
                hint=f"Make the extension, then restore the rows: {rows_only}",
            )
