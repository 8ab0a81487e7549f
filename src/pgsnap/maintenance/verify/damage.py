"""What verify and repair report: one value per piece of damage."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pgsnap.model import SnapshotId
from pgsnap.values import dataclass

REPAIR = "snap repair"
REPAIR_FROM = "snap repair --from PATH"
REINDEX = "snap reindex"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Damage:
    """One piece of damage.

    *kind* is "pack", "section", "snapshot", "tag", "note", "log" or "index"; *name* the object's
    name in the repository's folder, or a section's. *snapshots* and *sections* (tables among them)
    are those affected; *next* is the command that mends it.
    """

    kind: str
    name: str
    problem: str
    snapshots: tuple[SnapshotId, ...]
    sections: tuple[str, ...]
    next: str


def delete_tag(database: str, name: str) -> str:
    """Return the command that deletes a tag."""
    return f"snap tag --delete {shlex.quote(name)} --database {shlex.quote(database)}"


def accept_command(snapshots: Sequence[SnapshotId]) -> str:
    """Return the command that accepts the losses of these *snapshots*; if many, of the first of
    them."""
    return "snap repair " + " ".join(
        f"--accept-loss {snapshot.hex()[:12]}" for snapshot in snapshots[:_SHOWN]
    )
