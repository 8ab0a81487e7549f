"""What stands in the bodies of notes. Somebody else may have written one: what is not as snap
writes it is None, and its note passed over."""

from __future__ import annotations

from pgsnap.model import Note, SnapshotId
from pgsnap.patterns import regex

_HEX_ID = regex(r"[0-9a-f]{64}")
_TRANSACTIONS = 2**32


def transaction_in(note: Note) -> int | None:
    """Return the transaction that *note* is about."""
    number = note.body.get("transaction")
    return number if type(number) is int and 0 <= number < _TRANSACTIONS else None


def safety_in(note: Note) -> SnapshotId | None:
    """Return the safety snapshot that *note* names."""
    words = note.body.get("safety")
    is_id = isinstance(words, str) and _HEX_ID.fullmatch(words) is not None
    return bytes.fromhex(words) if is_id and words is not None else None


def lists_in(note: Note, key: str, length: int | None = None) -> tuple[tuple[str, ...], ...] | None:
    """Return the lists of text under *key*, each of a *length* (None: of any); none if there is no
    such key."""
    found = note.body.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, list) for each in found):
        return None
    if length is not None and any(len(each) != length for each in found):
        return None
    return tuple(tuple(map(str, each)) for each in found)
