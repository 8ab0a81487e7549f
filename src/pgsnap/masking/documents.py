"""Masks single values in JSON documents. All other bytes of a document stay as they are.

Documents are not parsed to objects and written again, which would change numbers, spaces, and keys
that are there twice: their tokens say where the values are that paths lead to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from pgsnap.dump.definitions.copy_text import escaped, without_escapes
from pgsnap.dump.entries import decode, encode
from pgsnap.errors import CorruptionError
from pgsnap.masking.masks import Kind, Rule
from pgsnap.masking.paths import Place, places_of
from pgsnap.patterns import regex
from pgsnap.values import dataclass

Field = Callable[[Sequence[bytes]], list[bytes]]
"""What makes masked fields of COPY text of fields."""

_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
# Commas say nothing: in an object keys and values alternate.
_TOKEN = regex(
    rb"[ \t\n\r,]*(?:(" + _STRING + rb")([ \t\n\r]*:)?|([{\[])|([}\]])|([^\s{}\[\],:\"]+))", re.S
)
_TEXT, _KEY, _OPEN, _CLOSE, _WORD = range(1, 6)
_BRACKET = regex(_STRING + rb"|([{\[])|[}\]]", re.S)
_SPACE = regex(rb"[ \t\n\r]*")
_INTEGER = regex(rb"-?\d{1,19}")
_INT64 = 1 << 63
# What stands for one character of a string.
_UNIT = regex(r"\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|\\u\w{4}|\\.|.", re.S)
_NULL_FIELD = rb"\N"
_NULL = b"null"


@dataclass(slots=True)
class _Edit:
    """A value of a document, from *start* to *stop*, that becomes *new*."""

    start: int
    stop: int
    new: bytes


@dataclass(slots=True)
class _Opened:
    """An object or array that was not closed yet, and where the paths into it lead."""

    place: Place | None
    is_object: bool


class JsonMask:
    """Masks values in documents. *texts* and *integers* make what masks a rule's strings and its
    integers; *encoding* is that of the text."""

    def __init__(
        self,
        rule: Rule,
        texts: Callable[[Rule], Field],
        integers: Callable[[Rule], Field],
        encoding: str,
    ) -> None:
        self.root = places_of(rule.paths)
        self._encoding = encoding
        self._texts = texts
        self._integers = integers
        self._made: dict[tuple[Rule, bool], Field] = {}
        # Of the documents at hand: fields to be masked, by rule and whether they are integers.
        self._waiting: dict[tuple[Rule, bool], list[tuple[_Edit, bytes]]] = {}

    def many(self, found: Sequence[bytes], by: Sequence[bytes]) -> list[bytes]:
        documents = [b"" if value == _NULL_FIELD else without_escapes(value) for value in found]
        edits = [
            () if value == _NULL_FIELD else self._edits(document)
            for value, document in zip(found, documents, strict=True)
        ]
        self._settle()
        return [
            value if not changes else escaped(_edited(document, changes))
            for value, document, changes in zip(found, documents, edits, strict=True)
        ]

    def _edits(self, document: bytes) -> Sequence[_Edit]:
        """Return what changes in a document."""
        edits: list[_Edit] = []
        opened: list[_Opened] = []
        place: Place | None = self.root
        awaits_key, position, token = False, 0, _TOKEN.match
        while (match := token(document, position)) is not None:
            kind, position = match.lastindex, match.end()
            if kind == _KEY:
                if not awaits_key:
                    raise _no_document()
                place, awaits_key = self._after(opened[-1].place, match[_TEXT]), False
                continue
            if kind == _CLOSE:
                if not opened or opened[-1].is_object != (match[_CLOSE] == b"}"):
                    raise _no_document()
                opened.pop()
            elif awaits_key:
                raise _no_document()
            elif kind != _OPEN:
                if place is not None:
                    self._scalar(match, place, edits)
            elif (new := _instead(place, match[_OPEN], self._encoding)) is not None:
                position = _closed(document, match.start(_OPEN))
                if new:
                    edits.append(_Edit(match.start(_OPEN), position, new))
            else:
                opened.append(_Opened(place, match[_OPEN] == b"{"))
            if not opened:
                break
            place, awaits_key = opened[-1].place, opened[-1].is_object
        end = _SPACE.match(document, position)
        if opened or not position or end is None or end.end() != len(document):
            raise _no_document()
        return edits

    def _after(self, place: Place | None, raw: bytes) -> Place | None:
        if place is None:
            return None
        if place.known(raw):
            return place.after(raw)
        text = decode(raw, self._encoding)
        return place.after(raw, _loaded(text))

    def _scalar(self, match: re.Match[bytes], place: Place, edits: list[_Edit]) -> None:
        """Note what becomes of a string, number or word."""
        is_string = match.lastindex == _TEXT
        start = match.start(_TEXT if is_string else _WORD)
        word = match[_TEXT if is_string else _WORD]
        rule = place.rule
        if rule is None:
            # A path leads on from here, and there is nothing.
            place.odd += word != _NULL
            if place.hides_others and word != _NULL:
                edits.append(_Edit(start, match.end(), _NULL))
            return
        place.met += 1
        if rule.kind is Kind.KEEP or (word == _NULL and rule.kind is not Kind.FIXED):
            return
        edit = _Edit(start, match.end(), _fixed(rule, self._encoding))
        edits.append(edit)
        if rule.kind in (Kind.NULL, Kind.FIXED):
            return
        if rule.kind is Kind.TRUNCATE and is_string:
            units = _UNIT.findall(decode(word[1:-1], self._encoding))[: rule.number]
            edit.new = encode(f'"{"".join(units)}"', self._encoding)
        elif rule.kind is Kind.HASH and _is_integer(word):
            self._waiting.setdefault((rule, True), []).append((edit, word))
        elif rule.kind is Kind.FAKE or (rule.kind is Kind.HASH and is_string):
            field = escaped(self._meant(word)) if is_string else word
            self._waiting.setdefault((rule, False), []).append((edit, field))
        else:
            place.odd += 1

    def _meant(self, word: bytes) -> bytes:
        """Return the text of a string, as a column of text would have it."""
        if b"\\" not in word:
            return word[1:-1]
        text = _loaded(decode(word, self._encoding))
        try:
            return encode(text, self._encoding)
        except UnicodeEncodeError:
            # Half of a pair of surrogates, which no text of PostgreSQL has.
            return text.encode("utf-8", "surrogatepass")

    def _settle(self) -> None:
        """Mask all values that are waiting for it."""
        for (rule, is_integer), waiting in self._waiting.items():
            field = self._made.get((rule, is_integer))
            if field is None:
                field = (self._integers if is_integer else self._texts)(rule)
                self._made[rule, is_integer] = field
            masked = field([value for _, value in waiting])
            for (edit, _), new in zip(waiting, masked, strict=True):
                edit.new = new if is_integer else b'"%b"' % new
        self._waiting.clear()


def _instead(place: Place | None, sign: bytes, encoding: str) -> bytes | None:
    """Return what an object or array becomes as a whole, "" if it stays; None if paths lead into
    it. *sign* begins it."""
    if place is None:
        return b""
    rule = place.rule
    if rule is None:
        return None
    place.met += 1
    if place.each and sign == b"[":
        return None
    if rule.kind is Kind.KEEP:
        return b""
    place.odd += rule.kind not in (Kind.NULL, Kind.FIXED)
    return _fixed(rule, encoding)


def _closed(document: bytes, start: int) -> int:
    """Return where the object or array ends that begins at *start*."""
    depth = 0
    for match in _BRACKET.finditer(document, start):
        if match.lastindex:
            depth += 1
        elif match[0] in b"}]":
            depth -= 1
            if not depth:
                return match.end()
    raise _no_document()


def _edited(document: bytes, edits: Sequence[_Edit]) -> bytes:
    parts, done = list[bytes](), 0
    for edit in edits:
        parts += (document[done : edit.start], edit.new)
        done = edit.stop
    parts.append(document[done:])
    return b"".join(parts)


def _fixed(rule: Rule, encoding: str) -> bytes:
    """Return what a value becomes that the mask is not for: null."""
    return encode(rule.value, encoding) if rule.kind is Kind.FIXED else _NULL


def _loaded(text: str) -> str:
    """Return what a JSON string means. Raises CorruptionError."""
    if "\\" not in text:
        return text[1:-1]
    try:
        return str(json.loads(text, strict=False))
    except ValueError:
        raise _no_document() from None


def _is_integer(word: bytes) -> bool:
    return _INTEGER.fullmatch(word) is not None and -_INT64 <= int(word) < _INT64


def _no_document() -> CorruptionError:
    """No text is shown: it is what must not be seen."""
    return CorruptionError(
        "a document that is to be masked is not valid JSON",
        detail="The column's definition says that it is.",
        hint="Look for damage: snap verify --data",
    )
