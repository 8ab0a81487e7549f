"""The table that a user names, whichever of some snapshots has it."""

from __future__ import annotations

from collections.abc import Sequence

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.model import SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.workflows.contents.table_names import parse_tables
from pgsnap.workflows.past.following import Trail


def table_named(repo: Repository, snapshots: Sequence[SnapshotId], text: str) -> TableName:
    """Return the table that *text* names, as in SQL. Without a schema it is that in public, or the
    only one of this name in the newest of *snapshots*. Raises UsageError for what is no name."""
    (table,) = parse_tables([text])
    if "." in text or not snapshots:
        return table
    known = Trail(repo, snapshots[:1], table).names()
    alike = [one for one in known if one[1] == table[1]]
    return alike[0] if table not in known and len(alike) == 1 else table
