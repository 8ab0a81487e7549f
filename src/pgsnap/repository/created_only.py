"""The objects of a remote repository, which are only ever created under names not used before.

Packs, manifests and notes are named by their contents: one that exists already is the same one.
Notes that take a snapshot away (forgotten, given up as lost) are below `gc/`, where credentials
that only commit need not write. A tag is the folder `tags/LABEL/TAG/`; its newest object
(`00000001`, `00000002`, …) counts. Creating the next number is the compare-and-swap, so credentials
that may create objects, but neither overwrite nor delete any, suffice. A deleted tag has an object
that says so as its newest.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager

from pgsnap.errors import CorruptionError, ObjectExists, ObjectNotFound, StoreChanged
from pgsnap.format.remote import encode_gone_tag, is_gone_tag
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.patterns import regex
from pgsnap.repository.layout import COLLECTED_NOTES, COLLECTIONS, NOTES, TAGS
from pgsnap.repository.log.publications import Publications
from pgsnap.repository.small_objects import contents
from pgsnap.stores.base import Data, ObjectInfo, Store

_TAKING_AWAY = tuple(f"{NOTES}{kind}/" for kind in ("forgotten", "unforgotten", "lost"))
_BELOW = COLLECTIONS
_GENERATION = regex(r"[0-9]{8,18}")
_GENERATION_MAX = 10**18 - 1


class CreatedOnly:
    """A store that creates objects only, and in which each tag looks like one object that can be
    replaced."""

    def __init__(self, inner: Store | Publications, transfers: int = 1) -> None:
        self.inner = inner
        self.transfers = transfers

    def put(self, name: str, data: Data) -> None:
        body = data if isinstance(data, bytes) else b"".join(data)
        if not name.startswith(TAGS):
            self._create(_outer(name), body)
        else:
            self._append_next(name, body)

    def create(self, name: str, data: bytes) -> None:
        if not name.startswith(TAGS):
            self.inner.create(_outer(name), data)
            return
        try:
            self.replace(name, data, None)
        except StoreChanged:
            raise ObjectExists(f'"{name}" exists already') from None

    def replace(self, name: str, data: bytes | None, expected: bytes | None) -> None:
        if not name.startswith(TAGS):
            self.inner.replace(_outer(name), data, expected)
            return
        number, found = self._newest(name)
        changed = StoreChanged(f'"{name}" was changed by another process')
        if found != expected:
            raise changed
        if data is None and found is None:
            return
        try:
            self._append(name, number + 1, encode_gone_tag(_token()) if data is None else data)
        except ObjectExists:
            raise changed from None

    def get(
        self,
        name: str,
        start: int = 0,
        length: int | None = None,
        *,
        bytes_max: int | None = None,
    ) -> bytes:
        if not name.startswith(TAGS):
            return self.inner.get(_outer(name), start, length, bytes_max=bytes_max)
        _, found = self._newest(name)
        if found is None:
            raise ObjectNotFound(f'there is no "{name}"')
        end = len(found) if length is None else start + length
        if end > len(found):
            raise CorruptionError(f'"{name}" is cut short')
        return found[start:end]

    def many_reads(self) -> AbstractContextManager[None]:
        return self.inner.many_reads()

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        for info in self._list_tags(prefix) if prefix.startswith(TAGS) else self._list(prefix):
            if info.name > after:
                yield info

    def _list_tags(self, prefix: str) -> Iterator[ObjectInfo]:
        newest, strays = self._generations(prefix)
        yield from strays
        # The first is never a deletion, so that tags that did not move need not be read.
        moved = [info.name for number, info in newest.values() if number > 1]
        gone = {name for name, data in self._contents(moved) if _says_gone(data)}
        for tag, (_, info) in newest.items():
            if info.name not in gone:
                yield ObjectInfo(tag, info.object_bytes)

    def tags(self, prefix: str) -> Iterator[tuple[str, bytes | CorruptionError]]:
        """Yield the tags whose names begin with *prefix*, each with its object or why that cannot
        be read."""
        newest, _ = self._generations(prefix)
        tags = {info.name: tag for tag, (_, info) in newest.items()}
        for name, data in self._contents(tags):
            if not _says_gone(data):
                yield tags[name], data

    def _generations(
        self, prefix: str
    ) -> tuple[dict[str, tuple[int, ObjectInfo]], Sequence[ObjectInfo]]:
        """Return the newest generation of each tag whose name begins with *prefix*, and what is
        stray there."""
        newest: dict[str, tuple[int, ObjectInfo]] = {}
        strays = []
        for info in self.inner.list(prefix):
            tag, _, last = info.name.rpartition("/")
            if tag.count("/") != 2 or not _GENERATION.fullmatch(last):
                strays.append(info)
            elif tag not in newest or newest[tag][0] < int(last):
                newest[tag] = int(last), info
        return newest, strays

    def _contents(self, names: Iterable[str]) -> Iterator[tuple[str, bytes | CorruptionError]]:
        if isinstance(self.inner, Publications):
            yield from self.inner.contents(names)
        else:
            yield from contents(self.inner, names, self.transfers)

    def _list(self, prefix: str) -> Iterator[ObjectInfo]:
        if prefix in _TAKING_AWAY or prefix == NOTES:
            for info in self.inner.list(_BELOW + prefix):
                yield ObjectInfo(info.name.removeprefix(_BELOW), info.object_bytes)
        if prefix not in _TAKING_AWAY:
            for info in self.inner.list(prefix):
                # Under these names anybody who may commit could have put one.
                if not info.name.startswith((*_TAKING_AWAY, COLLECTED_NOTES)):
                    yield info

    def delete(self, *names: str) -> None:
        tags = [name for name in names if name.startswith(TAGS)]
        for name in tags:
            try:
                is_there = self._newest(name)[1] is not None
            except CorruptionError:
                # It does not even open, and counts until there is a newer one.
                is_there = True
            if is_there:
                self._append_next(name, encode_gone_tag(_token()))
        self.inner.delete(*(_outer(name) for name in names if name not in tags))

    def settle(self, names: Iterable[str]) -> None:
        self.inner.settle(_outer(name) for name in names if not name.startswith(TAGS))

    def remove_superseded(self) -> None:
        """Delete the objects of tags that no longer count: what a gc does."""
        self.inner.delete(*self.superseded())

    def superseded(self) -> Iterator[str]:
        """Yield the names of the objects that no longer count."""
        numbers: dict[str, list[str]] = {}
        for info in self.inner.list(TAGS):
            tag, _, last = info.name.rpartition("/")
            if _GENERATION.fullmatch(last):
                numbers.setdefault(tag, []).append(info.name)
        for names in numbers.values():
            yield from sorted(names, key=_number)[:-1]

    def stored_name(self, name: str) -> str:
        """Return the name of the object that counts for *name*."""
        if not name.startswith(TAGS):
            return _outer(name)
        return _generation(name, self._number(name))

    def _number(self, name: str) -> int:
        """Return the newest generation of a tag, 0 if it never was."""
        numbers = (
            int(last)
            for info in self.inner.list(name + "/")
            if _GENERATION.fullmatch(last := info.name.rpartition("/")[2])
        )
        return max(numbers, default=0)

    def _newest(self, name: str) -> tuple[int, bytes | None]:
        """Return the newest generation of a tag (0: it never was), and its content, None if it was
        deleted."""
        number = self._number(name)
        if not number:
            return 0, None
        data = self.inner.get(_generation(name, number), bytes_max=RECORD_BYTES_MAX)
        return number, None if is_gone_tag(data) else data

    def _create(self, name: str, body: bytes) -> None:
        """Create an object that is named by its contents. Raises CorruptionError if it is there
        with others: somebody who may create objects may have put them there."""
        while True:
            try:
                self.inner.create(name, body)
                return
            except ObjectExists:
                # One that a gc deletes at this moment is created again.
                with contextlib.suppress(ObjectNotFound):
                    self._check_same(name, body)
                    return

    def _check_same(self, name: str, body: bytes) -> None:
        try:
            is_same = self.inner.get(name, bytes_max=max(len(body), 1)) == body
        except CorruptionError:
            is_same = False
        if not is_same:
            raise CorruptionError(
                f'"{name}" is there already, with other contents than its name says',
                detail="Somebody who may write to the store put it there, or it is damaged.",
                hint="Delete that object, with credentials that may, then run the command again.",
            )

    def _append_next(self, name: str, data: bytes) -> None:
        """Make *data* the newest generation of a tag, whatever is there."""
        while True:
            with contextlib.suppress(ObjectExists):
                self._append(name, self._number(name) + 1, data)
                return

    def _append(self, name: str, number: int, data: bytes) -> None:
        if number > _GENERATION_MAX:
            # Else the new one would not count, and a writer would try again for ever.
            raise CorruptionError(
                f'"{name}" has the greatest number that there is',
                detail="Somebody who may write to the store put it there: snap counts from 1.",
                hint=f'Delete the object "{_generation(name, number - 1)}".',
            )
        self.inner.create(_generation(name, number), data)


def _says_gone(data: bytes | CorruptionError) -> bool:
    # Who reads a damaged one is shown the damage.
    return isinstance(data, bytes) and is_gone_tag(data)


def _outer(name: str) -> str:
    return _BELOW + name if name.startswith(_TAKING_AWAY) else name


def _generation(name: str, number: int) -> str:
    return f"{name}/{number:08d}"


def _number(name: str) -> int:
    return int(name.rpartition("/")[2])


def _token() -> bytes:
    return os.urandom(16)
