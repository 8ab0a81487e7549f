"""What a store honours, found out by use of it: some that speak S3 ignore its conditions.

A condition that is ignored looks like one that was met, so each is tried where it is not.
"""

from __future__ import annotations

import contextlib
import enum
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pgsnap import interrupts
from pgsnap.errors import CorruptionError, ObjectExists, ObjectNotFound, StoreChanged, StoreError
from pgsnap.stores.base import Store
from pgsnap.stores.objects.store import ObjectStore
from pgsnap.values import dataclass

FOLDER = "probe/"
"""Where the objects are that a probe makes, and deletes again."""

_RACERS = 8
_ROUNDS = 3


class Use(enum.Enum):
    """What a store is good for."""

    FULL = "full"
    ONE_WRITER = "one-writer"
    REFUSED = "refused"


class Shortfall(enum.Enum):
    """What a store does not do as it must; in words for the user."""

    READ = "what was written is not what is read"
    PARTS = "reads of a part of an object do not give that part"
    LIST = "lists lack objects, or name ones that are gone"
    DELETE = "deleted objects can still be read"
    CREATE = "an object that exists is overwritten by a write that may only create it"
    SWAP = "an object is replaced although another process has changed it"
    SWAP_ABSENT = "an object that was deleted is replaced, and so comes back"
    DELETE_VERSION = "an object is deleted although another process has changed it"


_REFUSED = {Shortfall.READ, Shortfall.PARTS, Shortfall.LIST, Shortfall.DELETE}


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found."""

    shortfalls: tuple[Shortfall, ...]

    @property
    def use(self) -> Use:
        if _REFUSED & set(self.shortfalls):
            return Use.REFUSED
        return Use.ONE_WRITER if self.shortfalls else Use.FULL

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why a store is not fully usable, as sentences."""
        return tuple(f"{one.value[0].upper()}{one.value[1:]}." for one in self.shortfalls)


def probe(store: Store) -> Probe:
    """Find out what *store* honours. It must be writable; what is made in it is deleted again.
    Raises StoreError where it cannot be reached."""
    name = f"{FOLDER}{secrets.token_hex(8)}"
    used = [name, f"{name}-new", *(f"{name}-{number}" for number in range(_ROUNDS))]
    try:
        found = [*_reading(store, name), *_creating(store, used)]
        if isinstance(store, ObjectStore):
            found += _swapping_versions(store, name)
        else:
            found += _swapping(store, name)
        found += _deleting(store, name)
    except BaseException:
        # What went wrong is more important than what is left.
        with interrupts.deferred(), contextlib.suppress(StoreError):
            store.delete(*used)
        raise
    store.delete(*used)
    return Probe(tuple(dict.fromkeys(found)))


def _reading(store: Store, name: str) -> list[Shortfall]:
    found = []
    data = secrets.token_bytes(1000)
    store.put(name, data)
    if store.get(name) != data:
        found.append(Shortfall.READ)
    if not (_reads(store, name, data, 100, 50) and _reads(store, name, data, 900, None)):
        found.append(Shortfall.PARTS)
    if (name, len(data)) not in [(info.name, info.object_bytes) for info in store.list(FOLDER)]:
        found.append(Shortfall.LIST)
    return found


def _reads(store: Store, name: str, data: bytes, start: int, length: int | None) -> bool:
    """Return whether a part of an object is read as it was written."""
    end = len(data) if length is None else start + length
    try:
        return store.get(name, start, length) == data[start:end]
    except (StoreError, CorruptionError):
        # It is there: it was read as a whole.
        return False


def _creating(store: Store, used: Sequence[str]) -> list[Shortfall]:
    name, new, *raced = used
    before = store.get(name)
    store.create(new, secrets.token_bytes(10))
    with contextlib.suppress(ObjectExists):
        store.create(name, secrets.token_bytes(10))
    if store.get(name) != before:
        return [Shortfall.CREATE]
    for each in raced:
        bodies = [secrets.token_bytes(20_000) for _ in range(_RACERS)]
        won = _race([partial(store.create, each, body) for body in bodies])
        if len(won) != 1 or store.get(each) != bodies[won[0]]:
            return [Shortfall.CREATE]
    return []


def _race(writes: Sequence[Callable[[], None]]) -> list[int]:
    """Carry out *writes* at once, each in its thread; return which of them succeeded."""
    barrier = threading.Barrier(len(writes))

    def run(write: Callable[[], None]) -> bool:
        barrier.wait(60)
        try:
            write()
        except (ObjectExists, StoreChanged):
            return False
        return True

    with ThreadPoolExecutor(len(writes), thread_name_prefix="snap-probe") as pool:
        futures = [pool.submit(run, write) for write in writes]
        return [index for index, future in enumerate(futures) if interrupts.result(future)]


def _swapping_versions(store: ObjectStore, name: str) -> list[Shortfall]:
    """Name a version that is no longer the current one: `replace` would look before it writes."""
    found = []
    old = store.version(name)
    store.put(name, b"current " + secrets.token_bytes(10))
    current = store.get(name)
    store.write_version(name, b"stale " + secrets.token_bytes(10), old)
    if store.get(name) != current:
        found.append(Shortfall.SWAP)
    store.write_version(name, None, old)
    if not _is_there(store, name):
        found.append(Shortfall.DELETE_VERSION)
    gone = store.version(name) if _is_there(store, name) else old
    store.delete(name)
    store.write_version(name, b"back " + secrets.token_bytes(10), gone)
    if _is_there(store, name):
        found.append(Shortfall.SWAP_ABSENT)
    store.put(name, current)
    if not store.write_version(name, b"next " + secrets.token_bytes(10), store.version(name)):
        # It refuses every swap.
        found.append(Shortfall.SWAP)
    return found


def _swapping(store: Store, name: str) -> list[Shortfall]:
    before = store.get(name)
    for _ in range(_ROUNDS):
        bodies = [secrets.token_bytes(100) for _ in range(_RACERS)]
        won = _race([partial(store.replace, name, body, before) for body in bodies])
        before = store.get(name)
        if len(won) != 1 or before != bodies[won[0]]:
            return [Shortfall.SWAP]
    return []


def _deleting(store: Store, name: str) -> list[Shortfall]:
    store.delete(name)
    if _is_there(store, name):
        return [Shortfall.DELETE]
    is_listed = any(info.name == name for info in store.list(FOLDER))
    return [Shortfall.LIST] if is_listed else []


def _is_there(store: Store, name: str) -> bool:
    try:
        store.get(name)
    except ObjectNotFound:
        return False
    return True
