"""Reading notes: all, or only the intact ones where a damaged note must not stop the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from pgsnap.errors import CorruptionError, StoreFull
from pgsnap.format.small import decode_note, note_id
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.model import Naming, Note
from pgsnap.repository import layout
from pgsnap.repository.index.index import Index
from pgsnap.repository.objects import contents_of
from pgsnap.stores.base import Store

SHALLOW = "shallow"
STAY = ("forgotten", "unforgotten", "lost", "baseline", SHALLOW)
"""The kinds of notes that hold in one repository only: what is forgotten in one, or was given up as
lost there, is so there only, the state of a restored database is of use to its next commit, and a
parent that one lacks from the start may be in another."""


MANY = ("verdict",)
"""The kinds of which a verify leaves a note for every snapshot: each is read once, and kept in the
index from then on."""


def sound_notes(
    store: Store,
    kind: str,
    known: Collection[bytes] = frozenset(),
    *,
    naming: Naming,
    damaged: list[str] | None = None,
    bytes_min: int = 0,
    index: Index | None = None,
) -> Iterator[tuple[bytes, Note]]:
    """Yield the intact notes of a kind with their ids, except those that are *known*.

    A note that is damaged or in the wrong folder is left out: `snap verify` reports it. The names
    of damaged ones are added to *damaged*. Those smaller than *bytes_min* are not read. Those that
    an *index* has are not read from the *store*, where they only must be, and the others are kept
    in it. Raises FormatTooNew, StoreError.
    """
    told = damaged if damaged is not None else []
    wanted = {
        info.name: name
        for info in store.list(f"{layout.NOTES}{kind}/")
        if (name := layout.hash_of(info.name)) is not None
        and name not in known
        and info.object_bytes >= bytes_min
    }
    new: list[tuple[bytes, bytes]] = []
    if index is not None:
        kept: set[bytes] = set()
        for name, stored_note in index.kept_notes(wanted.values()):
            kept.add(name)
            yield name, decode_note(stored_note, "a note in the index")
        wanted = {stored: name for stored, name in wanted.items() if name not in kept}
    for stored, data in contents_of(store, wanted):
        try:
            if isinstance(data, CorruptionError) or note_id(data, naming) != wanted[stored]:
                told.append(stored)
                continue
            note = decode_note(data, f'note "{stored}"')
        except CorruptionError:
            told.append(stored)
            continue
        if note.kind == kind:
            new.append((wanted[stored], data))
            yield wanted[stored], note
    if index is not None and new:
        # On a full disk they are read again the next time.
        with contextlib.suppress(StoreFull):
            index.keep_notes(new)


def notes_here(
    store: Store,
    index: Index,
    kind: str,
    naming: Naming,
    damaged: list[str] | None,
    bytes_min: int,
) -> Iterator[Note]:
    """Yield the notes of `sound_notes` with the ids that their snapshots have here. Those of `MANY`
    kinds are kept in the *index*, but where damage is looked for."""
    kept = index if kind in MANY and damaged is None else None
    found = sound_notes(
        store, kind, naming=naming, damaged=damaged, bytes_min=bytes_min, index=kept
    )
    return about_copies(index, (note for _, note in found))


def about_original(index: Index, note: Note) -> Note:
    """Return *note* as it is stored: if it is about a copy, it names the original, so that it is
    the same note in every repository that it travels to."""
    if note.snapshot is None or note.kind in STAY:
        return note
    alias = index.alias(note.snapshot)
    return note if alias is None else replace(note, snapshot=alias)


def about_copies(index: Index, notes: Iterable[Note]) -> Iterator[Note]:
    """Yield stored *notes* with the ids that their snapshots have here."""
    copies = index.copies()
    for note in notes:
        here = copies.get(note.snapshot or b"")
        yield note if here is None else replace(note, snapshot=here)


def all_notes(
    store: Store, kind: str, database: str | None = None, *, naming: Naming
) -> list[Note]:
    """Return the notes of a kind, newest first. Raises CorruptionError."""
    found = []
    wanted = [
        info.name
        for info in store.list(f"{layout.NOTES}{kind}/")
        if layout.hash_of(info.name) is not None or info.object_bytes <= RECORD_BYTES_MAX
    ]
    for stored, data in contents_of(store, wanted):
        name = layout.hash_of(stored)
        if isinstance(data, CorruptionError):
            raise data
        if name is None and not data.startswith(b"\x89snapN"):
            continue
        if name != note_id(data, naming):
            raise CorruptionError(f'note "{stored}" is damaged')
        note = decode_note(data, f'note "{stored}"')
        if database is None or note.database == database:
            found.append(note)
    return sorted(found, key=lambda note: note.time, reverse=True)
