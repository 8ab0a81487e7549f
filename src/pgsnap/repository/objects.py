"""The objects of a repository as its code reads and writes them, on top of a bare store."""

from __future__ import annotations

from pgsnap.model import RepositoryConfig
from pgsnap.repository.created_only import CreatedOnly
from pgsnap.repository.index.index import Index
from pgsnap.repository.log.publications import Publications
from pgsnap.repository.sealed.store import SealedStore
from pgsnap.sealing.keys import Keys
from pgsnap.stores.base import Store


def objects_of(
    store: Store, config: RepositoryConfig, keys: Keys | None, index: Index | None = None
) -> Store:
    """Return *store* as a repository with *config* and *keys* uses it. With an *index*, a remote
    repository's log is read and written."""
    assert (keys is None) == (config.encryption is None)
    sealed = store if keys is None else SealedStore(store, keys)
    if not config.tag_generations:
        return sealed
    return CreatedOnly(sealed if index is None else Publications(sealed, index))


def publications_of(store: Store) -> Publications | None:
    """Return the log of a *store* that `objects_of` returned, None if it has none."""
    inner = store.inner if isinstance(store, CreatedOnly) else None
    return inner if isinstance(inner, Publications) else None


def stored_name(store: Store, name: str) -> str:
    """Return the name in the bare store of what *store*, made by `objects_of`, has as *name*."""
    if isinstance(store, CreatedOnly):
        name, store = store.stored_name(name), store.inner
    if isinstance(store, Publications):
        store = store.inner
    return store.outer(name) if isinstance(store, SealedStore) else name
