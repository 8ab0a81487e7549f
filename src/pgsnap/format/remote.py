"""Objects that only a repository on a remote store has (docs/format.md, "Remote repositories")."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from pgsnap.errors import CorruptionError
from pgsnap.format.envelope import ObjectKind, unwrap, wrap
from pgsnap.format.record import RecordReader, RecordWriter
from pgsnap.format.times import from_micros, to_micros
from pgsnap.model import HASH_BYTES, PackId

GONE_TAG_TOKEN = 1

PHASE, TIME, PACKS, TOKEN = range(1, 5)


class Phase(enum.IntEnum):
    """What an announcement says about its packs. Stored: never change one."""

    MARKED = 1
    """No manifest needs them; they will be deleted after a grace period."""
    SWEEPING = 2
    """They are being deleted, except for those that turn out to be needed."""
    DONE = 3
    """They were deleted."""
    CLAIMED = 4
    """A writer relies on them: they must not be deleted in this round."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a gc, or a writer beside it, says about packs. The random *token* makes each unlike any
    other."""

    phase: Phase
    time: datetime
    packs: tuple[PackId, ...]
    token: bytes


def encode_announcement(one: Announcement) -> bytes:
    record = RecordWriter()
    record.integer(PHASE, one.phase)
    record.integer(TIME, to_micros(one.time))
    record.raw(PACKS, b"".join(one.packs))
    record.raw(TOKEN, one.token)
    return wrap(ObjectKind.ANNOUNCEMENT, record.to_bytes())


def decode_announcement(data: bytes, what: str) -> Announcement:
    """Return an announcement. Raises CorruptionError, FormatTooNew."""
    payload = unwrap(ObjectKind.ANNOUNCEMENT, data, what)
    record = RecordReader(payload, what=what, known=range(PHASE, TOKEN + 1))
    packs = record.raw(PACKS)
    number = record.count(PHASE, most=max(Phase))
    if len(packs) % HASH_BYTES or number < min(Phase):
        raise CorruptionError(f"{what} is damaged", detail="Its phase or list of packs is none.")
    return Announcement(
        Phase(number),
        from_micros(record.integer(TIME), what),
        tuple(packs[at : at + HASH_BYTES] for at in range(0, len(packs), HASH_BYTES)),
        record.raw(TOKEN),
    )


def encode_gone_tag(token: bytes) -> bytes:
    """Return what a deleted tag has as its newest object; the random *token* makes it unlike any
    other."""
    record = RecordWriter()
    record.raw(GONE_TAG_TOKEN, token)
    return wrap(ObjectKind.GONE_TAG, record.to_bytes())


def decode_gone_tag(data: bytes, what: str) -> bytes:
    """Return the token of a deleted tag. Raises CorruptionError, FormatTooNew."""
    payload = unwrap(ObjectKind.GONE_TAG, data, what)
    return RecordReader(payload, what=what, known=(GONE_TAG_TOKEN,)).raw(GONE_TAG_TOKEN)


def is_gone_tag(data: bytes) -> bool:
    """Return whether *data* says that a tag was deleted. Damage says nothing."""
    try:
        decode_gone_tag(data, "a deleted tag")
    except CorruptionError:
        return False
    return True
