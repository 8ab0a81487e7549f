"""The key slots of a repository, objects of its store."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from pgsnap.errors import CorruptionError, ObjectNotFound, RepositoryError, StoreError, WrongKey
from pgsnap.limits import KEY_SLOT_BYTES_MAX, KEY_SLOTS_MAX
from pgsnap.patterns import regex
from pgsnap.repository import layout
from pgsnap.sealing.slots import Slot, decode_slot, encode_slot
from pgsnap.stores.base import Store
from pgsnap.values import dataclass

_ID = regex(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class StoredSlot:
    id: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class Slots:
    """All slots, newest keys first and oldest slot first; *damaged* names those that cannot be
    read."""

    sound: tuple[StoredSlot, ...]
    damaged: tuple[str, ...]


def slot_ids(store: Store) -> list[str]:
    return sorted(
        slot
        for info in store.list(layout.KEYS)
        if _ID.fullmatch(slot := info.name.removeprefix(layout.KEYS))
    )


def read_slots(store: Store) -> Slots:
    """Return the slots. Raises FormatTooNew, StoreError; WrongKey for more than there can be."""
    ids = slot_ids(store)
    if len(ids) > KEY_SLOTS_MAX:
        raise WrongKey(
            f"the repository has {len(ids)} key slots, and no more than {KEY_SLOTS_MAX} can be its"
            " own",
            hint="Find out who can write to its store, and delete the newest of keys/.",
        )
    sound, damaged = [], []
    for slot in ids:
        name = layout.slot_name(slot)
        try:
            data = store.get(name, bytes_max=KEY_SLOT_BYTES_MAX)
            sound.append(StoredSlot(slot, decode_slot(data, f'key slot "{name}"')))
        except CorruptionError:
            damaged.append(name)
        except ObjectNotFound:
            # Removed meanwhile.
            continue
    sound.sort(key=lambda one: (-one.slot.epochs, one.slot.created, one.id))
    return Slots(tuple(sound), tuple(damaged))


def add_slot(store: Store, slot: Slot) -> StoredSlot:
    """Store a slot, durably. Raises StoreError."""
    slots = read_slots(store)
    if len(slots.sound) + len(slots.damaged) >= KEY_SLOTS_MAX:
        raise RepositoryError(
            f"the repository has {KEY_SLOTS_MAX} key slots, and cannot have more",
            hint="Remove one first: snap key remove ID",
        )
    made = StoredSlot(os.urandom(8).hex(), slot)
    store.create(layout.slot_name(made.id), encode_slot(slot))
    return made


def remove_slots(store: Store, *ids: str) -> None:
    """Delete slots, durably. Raises StoreError."""
    store.delete(*(layout.slot_name(one) for one in ids))


def remove_unused(store: Store, ids: Iterable[str]) -> None:
    """Delete slots that were there before the repository's key was made, so that none holds it.
    Where nothing may be deleted they stay: no secret opens anything with them."""
    with contextlib.suppress(StoreError):
        remove_slots(store, *ids)
