"""The objects of a repository as its code reads and writes them, on top of a bare store."""

from __future__ import annotations

from pgsnap.model import RepositoryConfig
from pgsnap.repository.created_only import CreatedOnly
from pgsnap.stores.base import Store


def objects_of(store: Store, config: RepositoryConfig) -> Store:
    """Return *store* as a repository with *config* uses it."""
    return CreatedOnly(store) if config.tag_generations else store
