"""Making a repository: its first objects, the config last."""

from __future__ import annotations

import os
from dataclasses import replace

from pgsnap.format.small import encode_config
from pgsnap.repository import layout
from pgsnap.repository.config import new_config
from pgsnap.repository.places.base import Place
from pgsnap.repository.places.within import refuse_within_another
from pgsnap.repository.sealed.slots import add_slot, remove_unused, slot_ids
from pgsnap.repository.sealed.unlocking import new_keys
from pgsnap.sealing.wrapping_keys import NewOpener


def create_in(place: Place, pack_bytes: int, opener: NewOpener | None) -> None:
    """Make a repository in *place*, an encrypted one if there is an *opener*. Raises
    RepositoryExists, StoreError, UsageError."""
    place.refuse_occupied(encrypted=opener is not None)
    refuse_within_another(place)
    new_id = os.urandom(16).hex()
    config = new_config(new_id, place, pack_bytes=pack_bytes)
    encryption, slot = (None, None) if opener is None else new_keys(config, opener)
    place.prepare(has_index=encryption is None)
    left = slot_ids(place.store)
    if slot is not None:
        config = replace(config, encryption=encryption)
        add_slot(place.store, slot)
    # The config is what makes the place a repository, so it is written last.
    place.store.create(layout.CONFIG, encode_config(config))
    remove_unused(place.store, left)
