"""The log of a repository on a remote store: what was published, so that nobody lists all again.

A store that keeps a listing of its snapshots, tags, and notes that forget. Whoever creates such an
object creates an entry of the log after it, and an opened repository reads only the entries that it
does not know. Entries are numbered, and creating the next number fails if it exists, so their order
is that of the log, whatever the writers' clocks say; each has the id of the one before.

The log is derived: an entry can be missing (its writer died, or may not write there), forged or
kept back. So whatever is odd about it, and each day in any case, the store is listed. An entry
never takes anything away: one that says that objects were deleted makes its readers list the store.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from itertools import pairwise

from pgsnap import interrupts
from pgsnap.errors import (
    CorruptionError,
    FormatTooNew,
    ObjectExists,
    ObjectNotFound,
    StoreError,
    StoreFull,
    WrongKey,
)
from pgsnap.format.remote import (
    NAMES_MAX,
    NUMBER_MAX,
    SNAPSHOTS_MAX,
    Publication,
    decode_publication,
    encode_publication,
    publication_id,
)
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.model import SnapshotId
from pgsnap.patterns import regex
from pgsnap.repository.index.index import Index
from pgsnap.repository.index.listing import Entry, Listing, Position
from pgsnap.repository.layout import (
    COLLECTIONS,
    LOG,
    NOTES,
    SNAPSHOTS,
    TAGS,
    hash_of,
    snapshot_name,
)
from pgsnap.repository.small_objects import contents
from pgsnap.stores.base import Data, ObjectInfo, Store

LISTED_SECONDS = 24 * 60 * 60
"""After so long the store is listed, though the log shows nothing odd."""
FOLLOWED_MAX = 200
"""Where the log has more new entries, listing the store takes fewer requests."""
KEPT = 100
"""So many entries before one that lists everything stay: who saw one of them can compare."""
_ATTEMPTS = 100
_JUMP_MAX = 10**9
"""Numbers do not jump: one that is so much greater than the one before is somebody's who wants to
use up all numbers."""

_FORGETTING = tuple(f"{COLLECTIONS}{NOTES}{kind}/" for kind in ("forgotten", "unforgotten"))
_LISTED = (SNAPSHOTS, TAGS, *_FORGETTING)
_NUMBER = regex(r"[0-9]{12}")
_NONE = Position(0, b"")


class Publications:
    """The objects of *inner*, of which some are listed from the index.

    Nothing is known of it before `refresh`. Once it *is_direct*, everything is read from the store.
    """

    def __init__(self, inner: Store, index: Index, transfers: int = 1) -> None:
        self.inner = inner
        self._transfers = transfers
        self.listing = Listing(index)
        self.is_direct = False
        self.fault: StoreError | None = None
        """Why the last entry could not be written."""
        self._depth = 0

    # -- reading ------------------------------------------------------------------------------

    def refresh(self, *, whole: bool) -> None:
        """Bring the listing up to date: by the log, or if that does not do, or with *whole*, by
        listing the store. Raises StoreError."""
        if whole or self._is_old() or not self._follow():
            self._list_all()

    def get(
        self,
        name: str,
        start: int = 0,
        length: int | None = None,
        *,
        bytes_max: int | None = None,
    ) -> bytes:
        try:
            return self.inner.get(name, start, length, bytes_max=bytes_max)
        except ObjectNotFound:
            if name.startswith(_LISTED):
                self.listing.drop([name])
            raise

    def many_reads(self) -> AbstractContextManager[None]:
        return self.inner.many_reads()

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """As in `Store`; sizes of what is listed from the index are 0."""
        # A single tag is looked up where it is: it may have moved.
        is_tag = prefix.startswith(TAGS) and prefix.count("/") > 2
        is_listed = prefix.startswith(_LISTED) and not is_tag
        if self.is_direct or not is_listed:
            yield from self.inner.list(prefix, after)
            return
        for name in self.listing.names(prefix):
            if name > after:
                yield ObjectInfo(name, 0)

    def contents(self, names: Iterable[str]) -> Iterator[tuple[str, bytes | CorruptionError]]:
        """Yield objects that are never replaced, in no certain order, each with what it holds or
        why that cannot be read; none that is not there. Each is read from the store once."""
        known = {} if self.is_direct else self.listing.contents(TAGS)
        wanted = list(names)
        yield from ((name, known[name]) for name in wanted if name in known)
        read = []
        unknown = [name for name in wanted if name not in known]
        for name, data in contents(self, unknown, self._transfers):
            if isinstance(data, bytes):
                read.append((name, data))
            yield name, data
        with contextlib.suppress(StoreFull):
            self.listing.keep(read)

    def settle(self, names: Iterable[str]) -> None:
        self.inner.settle(names)

    # -- writing ------------------------------------------------------------------------------

    def put(self, name: str, data: Data) -> None:
        self.inner.put(name, data)
        self._written(name, None)

    def create(self, name: str, data: bytes) -> None:
        try:
            self.inner.create(name, data)
        except ObjectExists:
            # Whoever created it may not have come to write the entry.
            if name.startswith(_LISTED) and not self.listing.has(name):
                self._written(name, None)
            raise
        self._written(name, data if name.startswith(TAGS) else None)

    def replace(self, name: str, data: bytes | None, expected: bytes | None) -> None:
        self.inner.replace(name, data, expected)
        if data is not None:
            self._written(name, None)
        else:
            self._deleted([name])

    def delete(self, *names: str) -> None:
        self.inner.delete(*names)
        self._deleted(names)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Write one entry for all that the block publishes. If it fails, that is in the next one of
        this host."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if self._depth == 0:
            self._publish()

    def _written(self, name: str, data: bytes | None) -> None:
        if not name.startswith(_LISTED):
            return
        # On a full disk others find it when they next list the store.
        with contextlib.suppress(StoreFull):
            self.listing.add_own(name, data)
            if self._depth == 0:
                self._publish()

    def _deleted(self, names: Iterable[str]) -> None:
        gone = [name for name in names if name.startswith(_LISTED)]
        if gone:
            with contextlib.suppress(StoreFull):
                self.listing.drop(gone)

    def _publish(self) -> None:
        """Write entries for what no entry has. What was published is so whether that succeeds or
        not."""
        try:
            while names := self.listing.unlogged(NAMES_MAX):
                snapshots = [hash_of(name) for name in names if name.startswith(SNAPSHOTS)]
                others = [name for name in names if not name.startswith(SNAPSHOTS)]
                ids = [one for one in snapshots if one is not None]
                self._append(ids, others, is_whole=False)
        except StoreError as error:
            self.fault = error

    def publish(self) -> None:
        """Write an entry for what this host could not write one for. Raises StoreError."""
        self.fault = None
        self._publish()
        if self.fault is not None:
            raise self.fault

    def begin_again(self, snapshots: Iterable[SnapshotId]) -> None:
        """Create an entry with which the chain begins: *snapshots* are all that there are. Remove
        those long before it. Raises StoreError."""
        position = self._append(sorted(snapshots)[:SNAPSHOTS_MAX], (), is_whole=True)
        old = [number for number in self.numbers() if number < position.number - KEPT]
        self.inner.delete(*map(entry_name, old))

    def _append(
        self, snapshots: Iterable[SnapshotId], names: Iterable[str], *, is_whole: bool
    ) -> Position:
        """Create the next entry of the log. Raises StoreError."""
        ids, others = tuple(snapshots), tuple(names)
        for _ in range(_ATTEMPTS):
            interrupts.check()
            last = self.listing.position() or _NONE
            if last.number >= NUMBER_MAX:
                raise StoreError(
                    "the log has the greatest number that there is",
                    detail="Somebody who may write to the store put it there: snap counts from 1.",
                    hint="A gc removes it: snap gc",
                )
            made = Publication(
                last.number + 1,
                last.id,
                datetime.now(UTC),
                ids,
                others,
                is_whole,
                os.urandom(16),
            )
            data = encode_publication(made)
            try:
                self.inner.create(entry_name(made.number), data)
            except ObjectExists:
                # Another writer was first.
                if not self._follow():
                    self._list_all()
                continue
            position = Position(made.number, publication_id(data))
            self.listing.add([*map(snapshot_name, ids), *others], [Entry(position, data)])
            return position
        raise StoreError("other writers to the log were always first")

    # -- the log ------------------------------------------------------------------------------

    def numbers(self, after: int = 0) -> Sequence[int]:
        """Return the numbers of the entries that the store has, in order. Raises StoreError."""
        found = [
            int(last)
            for info in self.inner.list(LOG, entry_name(after) if after else "")
            if _NUMBER.fullmatch(last := info.name.removeprefix(LOG)) and int(last)
        ]
        found.sort()
        jumps = (number - last > _JUMP_MAX for last, number in pairwise([after, *found]))
        return found[: next((at for at, jumped in enumerate(jumps) if jumped), None)]

    def read(self, number: int) -> tuple[Entry, Publication]:
        """Return an entry of the log. Raises CorruptionError, FormatTooNew, WrongKey,
        ObjectNotFound, StoreError."""
        data = self.inner.get(entry_name(number), bytes_max=RECORD_BYTES_MAX)
        found = decode_publication(data, number)
        return Entry(Position(number, publication_id(data)), data), found

    def _is_old(self) -> bool:
        # A clock that was set back shows nothing either.
        return not 0 <= time.time() - self.listing.listed_at() / 1e6 < LISTED_SECONDS

    def _follow(self) -> bool:
        """Bring the listing up to date by the entries after the last one that it knows. Return
        whether they show everything: False if the log is odd, or there is none."""
        last = self.listing.position()
        if last is None or last.number == 0:
            return False
        numbers = self.numbers(last.number - 1)
        expected = range(last.number, last.number + len(numbers))
        if not numbers or tuple(numbers) != tuple(expected) or len(numbers) > FOLLOWED_MAX:
            return False
        before, names, entries = last.id, list[str](), list[Entry]()
        for number in numbers[1:]:
            try:
                entry, found = self.read(number)
            except (CorruptionError, FormatTooNew, WrongKey, ObjectNotFound):
                return False
            if found.before != before or found.is_whole:
                return False
            before = entry.position.id
            names += [*map(snapshot_name, found.snapshots), *found.names]
            entries.append(entry)
        if entries:
            self.listing.add(names, entries)
        return True

    def _list_all(self) -> None:
        """List the store."""
        # The log first: what is published meanwhile is in a later entry.
        now = time.time_ns() // 1000
        numbers = self.numbers()
        position = _NONE
        entries = []
        if numbers:
            position = Position(numbers[-1], b"")
            with contextlib.suppress(CorruptionError, FormatTooNew, WrongKey, ObjectNotFound):
                entry, _ = self.read(numbers[-1])
                position = entry.position
                entries.append(entry)
        names = [info.name for prefix in _LISTED for info in self.inner.list(prefix)]
        self.listing.replace(names, position, now)
        self.listing.add([], entries)


def entry_name(number: int) -> str:
    return f"{LOG}{number:012d}"
