"""What becomes of the values of a column by its rule; values are as COPY writes them.

A mask gets the values of many rows at once. Of a long one it gets what `held` makes of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from typing import Protocol

import numpy as np
from blake3 import blake3

from pgsnap.dump.definitions.copy_text import escaped, values
from pgsnap.dump.entries import decode, encode
from pgsnap.errors import CorruptionError
from pgsnap.masking.catalog import ColumnType, Family
from pgsnap.masking.documents import Field, JsonMask
from pgsnap.masking.fakes import DIGEST_BYTES, MAKERS
from pgsnap.masking.masks import Kind, Rule
from pgsnap.masking.numbers import Permutation

NULL = rb"\N"
LONG_BYTES = 64 * 1024
"""A longer value is not held whole."""
_HELD_BYTES = LONG_BYTES // 2
HASH_CHARS = 32
_CONTEXT = "pgsnap masks 1"
_LETTERS_OF_BYTES = b"abcdefghijklmnopqrstuvwxyz234567" * 8
_CACHED = 1 << 16


class Held:
    """A value that comes in pieces, of which only a part is held."""

    def __init__(self) -> None:
        self._begin = b""
        self._hash = blake3()
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._hash.update(piece)
        self._size += len(piece)
        if len(self._begin) <= LONG_BYTES:
            self._begin += piece[: LONG_BYTES + 1 - len(self._begin)]

    def value(self) -> bytes:
        """Return the value, or instead of a long one its beginning and a digest of all of it: what
        a mask makes of that depends on all of the value, however it came."""
        if self._size <= LONG_BYTES:
            return self._begin
        return self._begin[:_HELD_BYTES] + self._hash.hexdigest().encode()


def held(value: bytes) -> bytes:
    """Return what a mask gets of *value*."""
    if len(value) <= LONG_BYTES:
        return value
    part = Held()
    part.add(value)
    return part.value()


class Mask(Protocol):
    """What becomes of a column's values."""

    def many(self, found: Sequence[bytes], by: Sequence[bytes]) -> list[bytes]:
        """Return what becomes of the values *found*; *by* are those that decide: the same, unless
        the rule names another column."""
        ...


def mask_of(rule: Rule, column: ColumnType, key: bytes, encoding: str) -> Mask | None:
    """Return the mask of a column, None to keep its values. *key* is the secret."""
    kind = rule.kind
    if kind is Kind.KEEP:
        return None
    if kind is Kind.NULL:
        return _Constant(NULL)
    if kind is Kind.FIXED:
        return _Constant(escaped(encode(rule.value, encoding)))
    if kind is Kind.TRUNCATE:
        if rule.value:
            return _CutMoment(rule.value, column)
        return _CutText(rule.number, encoding)
    if kind is Kind.JSON:
        return document_mask(rule, key, encoding)
    own = domain_key(key, rule)
    normal = _normal(column, encoding)
    if kind is Kind.FAKE:
        return _Fake(own, rule, column.width, normal)
    if kind is Kind.SHIFT:
        return _Shift(own, rule)
    if column.family is Family.INTEGER:
        return _Number(own, column)
    if column.family is Family.UUID:
        return _Uuid(own)
    return _Text(own, hash_chars(rule, column), normal)


def document_mask(rule: Rule, key: bytes, encoding: str) -> JsonMask:
    """Return the mask of a column of JSON: its strings and integers become what they would in
    columns of text and bigint."""

    def texts(of: Rule) -> Field:
        return _fields(of, ColumnType(Family.TEXT), key, encoding)

    def integers(of: Rule) -> Field:
        return _fields(of, ColumnType(Family.INTEGER, width=64), key, encoding)

    return JsonMask(rule, texts, integers, encoding)


def _fields(rule: Rule, column: ColumnType, key: bytes, encoding: str) -> Field:
    mask = mask_of(rule, column, key, encoding)
    assert mask is not None

    def masked(found: Sequence[bytes]) -> list[bytes]:
        seeds = list(map(held, found))
        return mask.many(seeds, seeds)

    return masked


def hash_chars(rule: Rule, column: ColumnType) -> int:
    """Return how many characters a hash has in a column of text."""
    wanted = rule.number or HASH_CHARS
    return min(wanted, column.width) if column.width else wanted


def hash_bits(chars: int) -> int:
    """Return how many bits of a digest a hash of so many characters holds."""
    return 4 * chars if chars >= HASH_CHARS else 5 * chars


def domain_key(key: bytes, rule: Rule) -> bytes:
    """Return the key of a rule's domain. Hashes of one domain are the same whatever their type."""
    root = blake3(key, derive_key_context=_CONTEXT).digest()
    return blake3(f"{rule.kind}\0{rule.domain}".encode("utf-8", "replace"), key=root).digest()


def _normal(column: ColumnType, encoding: str) -> Callable[[bytes], bytes] | None:
    """Return what makes equal values the same bytes, None if they are."""
    if column.folds_case:
        return lambda value: encode(decode(value, encoding).lower(), encoding)
    if column.is_padded:
        return lambda value: value.rstrip(b" ")
    return None


class _Constant:
    """One value for all rows, NULL or not."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def many(self, found: Sequence[bytes], by: Sequence[bytes]) -> list[bytes]:
        return [self._value] * len(found)


class _One(ABC):
    """A mask that goes value by value; NULL stays NULL."""

    def many(self, found: Sequence[bytes], by: Sequence[bytes]) -> list[bytes]:
        one = self.one
        return [value if value == NULL else one(value) for value in found]

    @abstractmethod
    def one(self, value: bytes) -> bytes:
        """Return what becomes of a value that is not NULL."""


class _Text:
    def __init__(self, key: bytes, chars: int, normal: Callable[[bytes], bytes] | None) -> None:
        self._key, self._chars, self._normal = key, chars, normal

    def many(self, found: Sequence[bytes], by: Sequence[bytes]) -> list[bytes]:
        key, chars, normal = self._key, self._chars, self._normal
        if normal is not None:
            found = [value if value == NULL else normal(value) for value in found]
        make = _long_hash if chars >= HASH_CHARS else _short_hash
        return [
            NULL if value == NULL else make(blake3(value, key=key).digest(chars)) for value in found
        ]


def _long_hash(digest: bytes) -> bytes:
    return digest.hex()[: len(digest)].encode()


def _short_hash(digest: bytes) -> bytes:
    return digest.translate(_LETTERS_OF_BYTES)


class _Uuid(_One):
    def __init__(self, key: bytes) -> None:
        self._key = key

    def one(self, value: bytes) -> bytes:
        text = blake3(value, key=self._key).hexdigest(16)
        # A random one, by its version and variant.
        variant = "89ab"[int(text[16], 16) & 3]
        made = f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
        return made.encode()


class _Number:
    def __init__(self, key: bytes, column: ColumnType) -> None:
        self._permutation = Permutation(key, column.width)

    def many(self, found: Sequence[bytes], by: Sequence[bytes]) -> list[bytes]:
        if NULL not in found:
            return self._all(found)
        made = iter(self._all([value for value in found if value != NULL]))
        return [value if value == NULL else next(made) for value in found]

    def _all(self, found: Sequence[bytes]) -> list[bytes]:
        if not found:
            return []
        try:
            numbers = np.array(list(map(int, found)), dtype=np.int64)
        except (ValueError, OverflowError):
            raise _no_value("an integer") from None
        return list(map(b"%d".__mod__, self._permutation.of(numbers)))


class _Fake:
    """Made up by the value itself, or by that of another column of the row."""

    def __init__(
        self, key: bytes, rule: Rule, width: int, normal: Callable[[bytes], bytes] | None
    ) -> None:
        self._key = key
        self._normal = None if rule.by else normal
        self._make = MAKERS[rule.value]
        self._width = width or None

    def many(self, found: Sequence[bytes], by: Sequence[bytes]) -> list[bytes]:
        make, key, width, normal = self._make, self._key, self._width, self._normal
        if normal is not None:
            by = [normal(seed) for seed in by]
        return [
            value
            if value == NULL
            else make(blake3(seed, key=key).digest(DIGEST_BYTES))[:width].encode()
            for value, seed in zip(found, by, strict=True)
        ]


class _Shift:
    def __init__(self, key: bytes, rule: Rule) -> None:
        self._key, self._days = key, rule.number
        # Rows of the same customer are often near each other.
        self._by = lru_cache(_CACHED)(self._days_by)

    def many(self, found: Sequence[bytes], by: Sequence[bytes]) -> list[bytes]:
        days = self._by
        return [
            value if value == NULL else _moved(value, days(seed))
            for value, seed in zip(found, by, strict=True)
        ]

    def _days_by(self, seed: bytes) -> int:
        drawn = int.from_bytes(blake3(seed, key=self._key).digest(8), "little")
        days = 1 + (drawn >> 1) % self._days
        return -days if drawn & 1 else days


class _CutText(_One):
    def __init__(self, chars: int, encoding: str) -> None:
        self._chars, self._encoding = chars, encoding

    def one(self, value: bytes) -> bytes:
        if value.isascii() and b"\\" not in value:
            return value[: self._chars]
        (text,) = values(value)
        return escaped(encode(decode(text or b"", self._encoding)[: self._chars], self._encoding))


class _CutMoment(_One):
    """Dates and times at the beginning of their year, month, day, hour or minute."""

    def __init__(self, unit: str, column: ColumnType) -> None:
        self._unit = unit
        self._is_date = column.family is Family.DATE

    def one(self, value: bytes) -> bytes:
        if value in (b"infinity", b"-infinity"):
            return value
        day, clock, era = _taken_apart(value)
        year, month, _ = day.split(b"-")
        if self._unit == "year":
            day = year + b"-01-01"
        elif self._unit == "month":
            day = year + b"-" + month + b"-01"
        if self._is_date or not clock:
            return day + era
        sign = max(clock.find(b"+"), clock.find(b"-"))
        time, zone = (clock, b"") if sign < 0 else (clock[:sign], clock[sign:])
        hour, minute = time[1:3], time[4:6]
        if self._unit == "minute":
            time = b" " + hour + b":" + minute + b":00"
        elif self._unit == "hour":
            time = b" " + hour + b":00:00"
        else:
            time = b" 00:00:00"
        return day + time + zone + era


def _taken_apart(value: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the day, the time with its zone (with a space before it), and the era of a moment as
    the server writes it in the style ISO."""
    rest, era = (value[:-3], b" BC") if value.endswith(b" BC") else (value, b"")
    day, space, clock = rest.partition(b" ")
    if day.count(b"-") != 2:
        raise _no_value("a date")
    return day, space + clock, era


def _moved(value: bytes, days: int) -> bytes:
    if value in (b"infinity", b"-infinity"):
        return value
    day, clock, era = _taken_apart(value)
    moved, new_era = _moved_day(day, bool(era), days)
    return moved + clock + new_era


@lru_cache(_CACHED)
def _moved_day(day: bytes, is_before_christ: bool, days: int) -> tuple[bytes, bytes]:
    try:
        year, month, number = map(int, day.split(b"-"))
    except ValueError:
        raise _no_value("a date") from None
    if is_before_christ:
        year = 1 - year
    # The calendar repeats every 400 years, and Python's has only the years 1 to 9999.
    rounds = (year - 400) // 400 if not 400 <= year < 9500 else 0
    try:
        ordinal = date(year - rounds * 400, month, number).toordinal() + days
    except ValueError:
        raise _no_value("a date") from None
    found = date.fromordinal(ordinal)
    year = found.year + rounds * 400
    shown, era = (year, b"") if year > 0 else (1 - year, b" BC")
    return b"%04d-%02d-%02d" % (shown, found.month, found.day), era


def _no_value(what: str) -> CorruptionError:
    """No value is shown: it is what must not be seen."""
    return CorruptionError(
        f"a value that is to be masked is not {what}",
        detail="The column's definition says that it is.",
        hint="Look for damage: snap verify --data",
    )
