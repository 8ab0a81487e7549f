"""Objects that only a repository on a remote store has (docs/format.md, "Remote repositories")."""

from __future__ import annotations

import enum
from datetime import datetime

from blake3 import blake3

from pgsnap.errors import CorruptionError
from pgsnap.format.envelope import ObjectKind, unwrap, wrap
from pgsnap.format.record import RecordReader, RecordWriter
from pgsnap.format.times import from_micros, to_micros
from pgsnap.model import HASH_BYTES, PackId, SnapshotId
from pgsnap.patterns import regex
from pgsnap.values import dataclass

GONE_TAG_TOKEN = 1

PHASE, TIME, PACKS, TOKEN = range(1, 5)

ENTRY_NUMBER, ENTRY_BEFORE, ENTRY_TIME, ENTRY_SNAPSHOTS, ENTRY_NAME, ENTRY_WHOLE, ENTRY_TOKEN = (
    range(1, 8)
)

NUMBER_MAX = 10**12 - 1
"""The numbers of entries have 12 digits, so that names are in the order of numbers."""
SNAPSHOTS_MAX = 400_000
NAMES_MAX = 20_000
"""So many fit into an entry, whatever their length."""

_NAME = regex(r"tags/[^/]+/[^/]+/[0-9]{8,18}|gc/notes/(?:un)?forgotten/[0-9a-f]{64}")


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


@dataclass(frozen=True, slots=True)
class Publication:
    """What one writer made visible at one time.

    *before* is the id of the entry with the number before, b"" if there is none that can be read.
    *snapshots* and *names* (of tags and notes) were written. If it *is_whole*, objects were
    deleted, and *snapshots* are all that there are. The random *token* makes each unlike any other.
    """

    number: int
    before: bytes
    time: datetime
    snapshots: tuple[SnapshotId, ...]
    names: tuple[str, ...]
    is_whole: bool
    token: bytes


def publication_id(data: bytes) -> bytes:
    """Return the id of a stored entry; in an encrypted repository of what it holds."""
    return blake3(data).digest()


def encode_publication(one: Publication) -> bytes:
    record = RecordWriter()
    record.integer(ENTRY_NUMBER, one.number)
    if one.before:
        record.raw(ENTRY_BEFORE, one.before)
    record.integer(ENTRY_TIME, to_micros(one.time))
    record.raw(ENTRY_SNAPSHOTS, b"".join(one.snapshots))
    for name in one.names:
        record.text(ENTRY_NAME, name)
    if one.is_whole:
        record.integer(ENTRY_WHOLE, 1)
    record.raw(ENTRY_TOKEN, one.token)
    return wrap(ObjectKind.PUBLICATION, record.to_bytes())


def decode_publication(data: bytes, number: int) -> Publication:
    """Return the entry that is stored under *number*. Raises CorruptionError, FormatTooNew."""
    what = f"entry {number} of the log"
    payload = unwrap(ObjectKind.PUBLICATION, data, what)
    record = RecordReader(payload, what=what, known=range(ENTRY_NUMBER, ENTRY_TOKEN + 1))
    ids = record.raw(ENTRY_SNAPSHOTS)
    names = [name.decode("utf-8", "surrogateescape") for name in record.all(ENTRY_NAME)]
    stored = record.count(ENTRY_NUMBER, most=NUMBER_MAX)
    if stored != number or len(ids) % HASH_BYTES or not all(map(_NAME.fullmatch, names)):
        raise CorruptionError(f"{what} is damaged", detail="Its number, or a name in it, is none.")
    return Publication(
        number,
        record.optional(ENTRY_BEFORE, length=HASH_BYTES) or b"",
        from_micros(record.integer(ENTRY_TIME), what),
        tuple(ids[at : at + HASH_BYTES] for at in range(0, len(ids), HASH_BYTES)),
        tuple(names),
        bool(record.count(ENTRY_WHOLE, 0, most=1)),
        record.raw(ENTRY_TOKEN),
    )
