"""The objects of a repository as its code reads and writes them, on top of a bare store."""

from __future__ import annotations

from pgsnap.model import RepositoryConfig
from pgsnap.repository.created_only import CreatedOnly
from pgsnap.repository.sealed.store import SealedStore
from pgsnap.sealing.keys import Keys
from pgsnap.stores.base import Store


def objects_of(store: Store, config: RepositoryConfig, keys: Keys | None) -> Store:
    """Return *store* as a repository with *config* and *keys* uses it."""
    assert (keys is None) == (config.encryption is None)
    sealed = store if keys is None else SealedStore(store, keys)
    return CreatedOnly(sealed) if config.tag_generations else sealed


def stored_name(store: Store, name: str) -> str:
    """Return the name in the bare store of what *store*, made by `objects_of`, has as *name*."""
    if isinstance(store, CreatedOnly):
        name, store = store.stored_name(name), store.inner
    return store.outer(name) if isinstance(store, SealedStore) else name
