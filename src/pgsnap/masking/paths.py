"""Paths to values in JSON documents, as a file of masks writes them: ``address.street``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from pgsnap.patterns import regex
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.masking.masks import Rule

OTHERS = "*"
_STEP = regex(r'(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<plain>[^".\[\]]+)')
_ELEMENTS = "[]"
# A document has as many different keys as it likes.
_KNOWN_MAX = 4096


@dataclass(frozen=True, slots=True)
class Path:
    """A path: *keys* from the outermost object on, None for each key that no other path names. With
    *each* it means the elements of an array; an array on the way is always looked into."""

    text: str
    keys: tuple[str | None, ...]
    each: bool


def parse_path(text: str) -> Path | None:
    """Return the path that is written as *text*, None if it is none. Keys are separated by dots;
    one with a dot in it is in quotes, as in JSON. ``[]`` may follow a key whose value is an array.
    `None` among the keys stands for all others."""
    keys: list[str | None] = []
    position, each = 0, False
    if text.startswith(_ELEMENTS):
        position, each = _after_elements(text, 0)
        if position < len(text) and text[position] == ".":
            position += 1
        elif position < len(text):
            return None
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            return None
        try:
            keys.append(_key(match))
        except ValueError:
            return None
        position, each = _after_elements(text, match.end())
        if position == len(text):
            break
        if text[position] != "." or position + 1 == len(text):
            return None
        position += 1
    return Path(text, tuple(keys), each) if keys or each else None


def _after_elements(text: str, position: int) -> tuple[int, bool]:
    start = position
    while text.startswith(_ELEMENTS, position):
        position += len(_ELEMENTS)
    return position, position > start


def _key(match: re.Match[str]) -> str | None:
    """Return the key of a step. Raises ValueError for quotes with anything but a JSON string."""
    if match["plain"] is not None:
        return None if match["plain"] == OTHERS else match["plain"]
    return str(json.loads(match["quoted"]))


@dataclass(slots=True)
class Place:
    """Where paths lead in a document: either a *rule* says what becomes of the value there (with
    *each*, of the elements of an array), or *keys* and *others* lead on.

    *met* is how many values were there; *odd* how many of them had another form than it takes:
    they are no object though a path leads on, or no value that the rule is for.
    """

    path: str
    rule: Rule | None = None
    each: bool = False
    keys: dict[str, Place] = field(default_factory=dict)
    others: Place | None = None
    met: int = 0
    odd: int = 0
    _known: dict[bytes, Place | None] = field(default_factory=dict)

    @property
    def hides_others(self) -> bool:
        """Whether only what paths name may be seen here: not a value that is no object either."""
        rule = self.others.rule if self.others is not None else None
        return rule is not None and not rule.is_keep

    def known(self, raw: bytes) -> bool:
        return raw in self._known

    def after(self, raw: bytes, key: str | None = None) -> Place | None:
        """Return where the key leads that a document writes as *raw*; *key* is its meaning, which
        is looked up once."""
        if key is None:
            return self._known[raw]
        found = self.keys.get(key, self.others)
        if len(self._known) < _KNOWN_MAX:
            self._known[raw] = found
        return found

    def all(self) -> Iterator[Place]:
        """Yield this place and those below it."""
        waiting = [self]
        while waiting:
            place = waiting.pop(0)
            yield place
            waiting += place.keys.values()
            waiting += () if place.others is None else (place.others,)


def places_of(paths: Sequence[tuple[Path, Rule]]) -> Place:
    """Return the root of all *paths*. Raises ValueError, with the text of a path, if what another
    path masks is masked by it as well."""
    root = Place("")
    for path, rule in paths:
        place, way = root, ""
        for key in path.keys:
            if place.rule is not None:
                raise ValueError(path.text)
            shown = OTHERS if key is None else _shown(key)
            way = f"{way}.{shown}" if way else shown
            place = _next(place, key, way)
        if place.rule is not None or place.keys or place.others is not None:
            raise ValueError(path.text)
        place.rule, place.each, place.path = rule, path.each, path.text
    return root


def _next(place: Place, key: str | None, way: str) -> Place:
    if key is not None:
        return place.keys.setdefault(key, Place(way))
    if place.others is None:
        place.others = Place(way)
    return place.others


def _shown(key: str) -> str:
    is_plain = key != OTHERS and re.fullmatch(r'[^".\[\]]+', key) is not None
    return key if is_plain else json.dumps(key, ensure_ascii=False)
