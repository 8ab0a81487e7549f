"""A store that seals what passes through it (docs/format.md, "Sealed objects")."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

from pgsnap.errors import CorruptionError, ObjectNotFound, StoreChanged, WrongKey
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.repository import layout
from pgsnap.sealing.keys import Keys
from pgsnap.sealing.objects import open_object, seal_object, sealed_bytes_max
from pgsnap.sealing.words import open_word, seal_word, split_words
from pgsnap.stores.base import Data, ObjectInfo, Store

# What is not sealed here: the config and the slots are read before there is a key, packs have a
# seal of their own, what was put aside as damaged need not open, and a gc announces only ids.
_CLEAR = (layout.PACKS, layout.KEYS, layout.DAMAGED, layout.COLLECTIONS)
_CLEAR_FILES = (layout.CONFIG, layout.GITIGNORE_FILE, layout.README_FILE)
_WORDS = (b"label", b"tag")
"""What the components below `tags/` are; any further one is no word."""


class SealedStore:
    """The small objects of *inner* as if they were not encrypted. Sizes in listings are those of
    the sealed objects."""

    def __init__(self, inner: Store, keys: Keys) -> None:
        self.inner = inner
        self._keys = keys

    def put(self, name: str, data: Data) -> None:
        if _is_clear(name):
            self.inner.put(name, data)
        else:
            whole = data if isinstance(data, bytes) else b"".join(data)
            self.inner.put(self.outer(name), self._sealed(name, whole))

    def create(self, name: str, data: bytes) -> None:
        self.inner.create(self.outer(name), self._sealed(name, data))

    def replace(self, name: str, data: bytes | None, expected: bytes | None) -> None:
        outer = self.outer(name)
        new = None if data is None else self._sealed(name, data)
        found = None
        if expected is not None:
            # No two sealed objects are equal, so the swap itself is of the stored bytes.
            with contextlib.suppress(ObjectNotFound):
                found = self.inner.get(outer, bytes_max=sealed_bytes_max(RECORD_BYTES_MAX))
            if found is None or self._opened(name, found) != expected:
                raise StoreChanged(f'"{name}" was changed by another process')
        self.inner.replace(outer, new, found)

    def get(
        self,
        name: str,
        start: int = 0,
        length: int | None = None,
        *,
        bytes_max: int | None = None,
    ) -> bytes:
        if _is_clear(_before(name)):
            return self.inner.get(name, start, length, bytes_max=bytes_max)
        sealed_max = sealed_bytes_max(RECORD_BYTES_MAX if bytes_max is None else bytes_max)
        data = self.inner.get(self.outer(name), bytes_max=sealed_max)
        is_aside = name.startswith(layout.DAMAGED)
        found = self._opened_aside(name, data) if is_aside else self._opened(name, data)
        if bytes_max is not None and len(found) > bytes_max:
            raise CorruptionError(f'"{name}" is damaged', detail=f"It has {len(found)} bytes.")
        end = len(found) if length is None else start + length
        if end > len(found) or start > len(found):
            raise CorruptionError(f'"{name}" is cut short', detail=f"It ends before offset {end}.")
        return found[start:end]

    def _opened_aside(self, name: str, data: bytes) -> bytes:
        """Return what an object that a repair put aside holds. A plain one is damage, like all else
        there: a repair must not seal what somebody put among it."""
        try:
            return open_object(self._keys, _before(name), data)
        except WrongKey as error:
            raise CorruptionError(error.message, detail=error.detail) from None

    def many_reads(self) -> AbstractContextManager[None]:
        return self.inner.many_reads()

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        # Sealed words have another order.
        behind = "" if prefix.startswith(layout.TAGS) else after
        for info in self.inner.list(self.outer(prefix), behind):
            # A name that the key did not make is a stray file's.
            with contextlib.suppress(CorruptionError):
                name = self._name_of(info.name)
                if name > after:
                    yield ObjectInfo(name, info.object_bytes)

    def delete(self, *names: str) -> None:
        self.inner.delete(*(self.outer(name) for name in names))

    def settle(self, names: Iterable[str]) -> None:
        self.inner.settle([self.outer(name) for name in names])

    def outer(self, name: str) -> str:
        """Return the name under which *name*, or all that begins with it, is stored."""
        if not name.startswith(layout.TAGS) or not name.isascii():
            # The store refuses what is not ASCII.
            return name
        components = name.removeprefix(layout.TAGS).split("/")
        sealed: list[str] = []
        above: list[bytes] = []
        for number, component in enumerate(components):
            if number < len(_WORDS) and component:
                word = component.encode()
                sealed.append(seal_word(self._keys.names, word, _WORDS[number], *above))
                above.append(word)
            else:
                sealed.append(component)
        return layout.TAGS + "/".join(sealed)

    def _name_of(self, outer: str) -> str:
        """Return the name that is stored as *outer*. Raises CorruptionError."""
        if not outer.startswith(layout.TAGS):
            return outer
        above: list[bytes] = []
        names = []
        words = split_words(outer.removeprefix(layout.TAGS).split("/"))
        for number, word in enumerate(words):
            if number < len(_WORDS):
                found = open_word(self._keys.names, word, _WORDS[number], *above)
                if not found.isascii():
                    raise CorruptionError(f'"{outer}" is no name that snap made')
                above.append(found)
                names.append(found.decode("ascii"))
            else:
                names.append(word)
        return layout.TAGS + "/".join(names)

    def _sealed(self, name: str, data: bytes) -> bytes:
        return data if _is_clear(name) else seal_object(self._keys, self.outer(name), data)

    def _opened(self, name: str, data: bytes) -> bytes:
        return data if _is_clear(name) else open_object(self._keys, self.outer(name), data)


def _before(name: str) -> str:
    """Return the name that an object had before a repair put it aside."""
    aside = name.removeprefix(layout.DAMAGED)
    return re.sub(r"~\d+$", "", aside) if aside != name else name


def _is_clear(name: str) -> bool:
    if name.startswith(layout.COLLECTED_NOTES):
        return False
    return name.startswith(_CLEAR) or name in _CLEAR_FILES
