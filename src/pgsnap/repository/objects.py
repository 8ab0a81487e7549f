"""The objects of a repository as its code reads and writes them, on top of a bare store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgsnap.errors import CorruptionError
from pgsnap.model import RepositoryConfig
from pgsnap.repository.created_only import CreatedOnly
from pgsnap.repository.index.index import Index
from pgsnap.repository.log.publications import Publications
from pgsnap.repository.sealed.store import SealedStore
from pgsnap.repository.small_objects import contents
from pgsnap.sealing.keys import Keys
from pgsnap.stores.base import Store


def objects_of(
    store: Store,
    config: RepositoryConfig,
    keys: Keys | None,
    index: Index | None = None,
    *,
    transfers: int = 1,
) -> Store:
    """Return *store* as a repository with *config* and *keys* uses it. With an *index*, a remote
    repository's log is read and written. *transfers*: how many objects are read at a time, where
    many are."""
    assert (keys is None) == (config.encryption is None)
    sealed = store if keys is None else SealedStore(store, keys)
    if not config.tag_generations:
        return sealed
    inner = sealed if index is None else Publications(sealed, index, transfers)
    return CreatedOnly(inner, transfers)


def reads_at_once(store: Store) -> int:
    """Return how many objects of a *store* that `objects_of` returned are read at a time."""
    return store.transfers if isinstance(store, CreatedOnly) else 1


def contents_of(
    store: Store, names: Iterable[str]
) -> Iterator[tuple[str, bytes | CorruptionError]]:
    """Yield those of the small objects *names* that are there, in order, each with what it holds or
    why that cannot be read. Raises StoreError."""
    return contents(store, names, reads_at_once(store))


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
