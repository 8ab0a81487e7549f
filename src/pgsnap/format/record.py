"""Records: length-prefixed fields, each critical or ignorable (docs/format.md, "Records").

A reader skips an unknown field if it is ignorable, and refuses the whole object if it is critical.
So later versions can add fields of either sort.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Container, Mapping

from pgsnap.errors import CorruptionError, FormatTooNew

FIELD = struct.Struct("<HI")
"""Field number with the ignorable bit (u16), length of the value in bytes (u32)."""
IGNORABLE = 0x8000
_NUMBER = IGNORABLE - 1

COUNT_MAX = 2**63 - 1

_I64 = struct.Struct("<q")
_I64_BYTES, _unpack_i64 = _I64.size, _I64.unpack


def too_new(what: str, detail: str) -> FormatTooNew:
    """Return the error for an object with a field that only a newer version understands."""
    return FormatTooNew(
        f"{what} was written by a newer version of snap",
        detail=detail,
        hint="Install a newer version of snap; `snap --version` shows the one that runs.",
    )


class RecordWriter:
    """Collects fields in the order they are added. A field may be added more than once."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def raw(self, number: int, value: bytes, *, ignorable: bool = False) -> None:
        self._parts.append(FIELD.pack(number | (IGNORABLE if ignorable else 0), len(value)))
        self._parts.append(value)

    def text(self, number: int, value: str, *, ignorable: bool = False) -> None:
        self.raw(number, value.encode("utf-8", "surrogateescape"), ignorable=ignorable)

    def integer(self, number: int, value: int, *, ignorable: bool = False) -> None:
        self.raw(number, _I64.pack(value), ignorable=ignorable)

    def to_bytes(self) -> bytes:
        return b"".join(self._parts)


def with_values(
    data: bytes, change: Mapping[int, Callable[[bytes], bytes]], *, without: Container[int] = ()
) -> bytes:
    """Return the record *data*, which a `RecordReader` took, with the values of some fields changed
    and others left out; all else, fields of later versions included, stays as it is."""
    parts = []
    position = 0
    while position < len(data):
        number, length = FIELD.unpack_from(data, position)
        start = position + FIELD.size
        position = start + length
        key = number & _NUMBER
        if key not in without:
            value = data[start:position]
            value = change[key](value) if key in change else value
            parts += [FIELD.pack(number, len(value)), value]
    return b"".join(parts)


class RecordReader:
    """The fields of a record.

    *what* names the object in errors; *known* are the field numbers that the caller understands,
    best a range or a frozenset: in a large repository a hundred thousand records are read at once.
    Raises CorruptionError if the bytes are not a record, FormatTooNew for an unknown critical
    field.
    """

    def __init__(self, data: bytes, *, what: str, known: Container[int]) -> None:
        self._what = what
        self._fields: dict[int, list[bytes]] = {}
        fields, unpack, header, end = self._fields, FIELD.unpack_from, FIELD.size, len(data)
        position = 0
        while position < end:
            start = position + header
            if start > end:
                raise self._damaged("a field header is cut")
            number, length = unpack(data, position)
            position = start + length
            key = number & _NUMBER
            if position > end:
                raise self._damaged(f"field {key} is cut")
            if key in known:
                value = data[start:position]
                if key in fields:
                    fields[key].append(value)
                else:
                    fields[key] = [value]
            elif number < IGNORABLE:
                raise too_new(what, f"It has field {key}, which this version does not know.")

    def _damaged(self, detail: str) -> CorruptionError:
        return CorruptionError(f"{self._what} is damaged", detail=f"In its record, {detail}.")

    def all(self, number: int) -> list[bytes]:
        """Return every value of a field, in order."""
        return self._fields.get(number, [])

    def optional(self, number: int, *, length: int | None = None) -> bytes | None:
        """Return a field's value, of *length* bytes if that is given; None if the field is
        absent."""
        values = self._fields.get(number)
        if not values:
            return None
        if length is not None and len(values[0]) != length:
            raise self._damaged(f"field {number} has {len(values[0])} bytes instead of {length}")
        return values[0]

    def raw(self, number: int, *, length: int | None = None) -> bytes:
        """Return a required field's value, of *length* bytes if that is given."""
        value = self.optional(number, length=length)
        if value is None:
            raise self._damaged(f"field {number} is missing")
        return value

    def text(self, number: int, default: str | None = None) -> str:
        value = self.optional(number) if default is not None else self.raw(number)
        if value is None:
            assert default is not None
            return default
        return value.decode("utf-8", "surrogateescape")

    def integer(self, number: int, default: int | None = None) -> int:
        values = self._fields.get(number)
        if not values and default is not None:
            return default
        value = values[0] if values else self.raw(number)
        if len(value) != _I64.size:
            value = self.raw(number, length=_I64.size)
        return int(_I64.unpack(value)[0])

    def count(self, number: int, default: int | None = None, *, most: int = COUNT_MAX) -> int:
        """Return an integer that is a count: from 0 to *most*."""
        values = self._fields.get(number)
        if values and len(values[0]) == _I64_BYTES:
            value: int = _unpack_i64(values[0])[0]
        else:
            value = self.integer(number, default)
        if not 0 <= value <= most:
            raise self._damaged(f"field {number} is {value}")
        return value

    def plain_text(self, number: int, default: str | None = None, *, most: int) -> str:
        """Return a text from PostgreSQL or a user: without NUL, and of at most *most* bytes."""
        values = self._fields.get(number)
        if not values:
            return self.text(number, default)
        if b"\0" in values[0] or len(values[0]) > most:
            raise self._damaged(f"field {number} is no text of at most {most} bytes")
        return values[0].decode("utf-8", "surrogateescape")
