"""Numbers for the notes from which an undo learns what was done last, whatever the clock says: a
clock that was set back would let it undo something else."""

from __future__ import annotations

from pgsnap.repository.repository import Repository
from pgsnap.targets.swap.kept import PUT_BACK, SWAPPED, TABLES_PUT_BACK, order_of


def next_order(repo: Repository) -> int:
    """Return a number that is above those of all notes on restores and undos so far. Raises
    StoreError."""
    found = (
        order_of(note)[0]
        for kind in (SWAPPED, PUT_BACK, TABLES_PUT_BACK)
        for note in repo.sound_notes(kind)
    )
    return 1 + max(found, default=0)
