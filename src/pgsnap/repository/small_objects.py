"""Reading many small objects: manifests, notes, tags."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.repository.scopes import side_by_side
from pgsnap.stores.base import Store


def contents(
    store: Store, names: Iterable[str], at_once: int
) -> Iterator[tuple[str, bytes | CorruptionError]]:
    """Yield those of the objects *names* that are there, in order, each with what it holds or why
    that cannot be read; *at_once* are read at a time. Raises StoreError."""

    def read(name: str) -> bytes | CorruptionError | None:
        try:
            return store.get(name, bytes_max=RECORD_BYTES_MAX)
        except ObjectNotFound:
            return None
        except CorruptionError as error:
            return error

    for name, found in side_by_side(names, read, at_once):
        if found is not None:
            yield name, found
