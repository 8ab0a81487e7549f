"""Slots: the master keys of a repository, wrapped so that one secret opens them (docs/format.md,
"Key slots"). Any number of slots may hold the same keys.

All that a slot says is bound to what it wraps, and so is the repository: a slot of another
repository, or one whose parameters were changed, does not open.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Sequence
from dataclasses import field, replace
from datetime import UTC, datetime

from pgsnap.errors import CorruptionError
from pgsnap.format.envelope import ObjectKind, unwrap, wrap
from pgsnap.format.record import RecordReader, RecordWriter, too_new
from pgsnap.format.times import from_micros, to_micros
from pgsnap.limits import (
    ARGON2_LANES_MAX,
    ARGON2_MEMORY_KIB_MAX,
    ARGON2_PASSES_MAX,
    KEY_EPOCHS_MAX,
    KEY_SLOT_BYTES_MAX,
)
from pgsnap.sealing import wrapping_keys
from pgsnap.sealing.keys import KEY_BYTES
from pgsnap.sealing.wrapping_keys import (
    Argon2,
    Identity,
    KeyFile,
    NewOpener,
    Opener,
    Passphrase,
    Recipient,
)
from pgsnap.values import dataclass

SLOT_SALT_BYTES = 32
_NONCE_BYTES = 12
_NAME_BYTES_MAX = 200
_RECIPIENT_BYTES_MAX = 16 * 1024

(
    SLOT_KIND,
    SLOT_NAME,
    SLOT_CREATED,
    SLOT_EPOCHS,
    SLOT_SALT,
    SLOT_PASSES,
    SLOT_MEMORY,
    SLOT_LANES,
    SLOT_RECIPIENT,
    SLOT_WRAPPING_KEY,
    SLOT_NONCE,
    SLOT_MASTERS,
) = range(1, 13)


class SlotKind(enum.IntEnum):
    """What opens a slot. Stored: never change one."""

    PASSPHRASE = 1
    KEY_FILE = 2
    RECIPIENT = 3

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


OPENED_BY = {
    Passphrase: SlotKind.PASSPHRASE,
    KeyFile: SlotKind.KEY_FILE,
    Recipient: SlotKind.RECIPIENT,
    Identity: SlotKind.RECIPIENT,
}


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot as stored. *epochs* is how many master keys it holds: all up to that one."""

    kind: SlotKind
    name: str
    created: datetime
    epochs: int
    salt: bytes
    work: Argon2 | None = None
    recipient: str = ""
    wrapping_key: bytes = b""
    """For a recipient: the key that the masters are wrapped with, encrypted by age."""
    nonce: bytes = b""
    masters: bytes = field(default=b"", repr=False)


def new_slot(
    masters: Sequence[bytes], repository_id: str, opener: NewOpener, *, name: str = ""
) -> Slot:
    """Return a slot with *masters* that *opener* opens. Raises UsageError."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    assert 0 < len(masters) <= KEY_EPOCHS_MAX
    slot = Slot(
        kind=OPENED_BY[type(opener)],
        name=name,
        created=datetime.now(UTC),
        epochs=len(masters),
        salt=os.urandom(SLOT_SALT_BYTES),
        nonce=os.urandom(_NONCE_BYTES),
    )
    if isinstance(opener, Passphrase):
        slot = replace(slot, work=Argon2())
        key = wrapping_keys.of_passphrase(opener, slot.salt, Argon2())
    elif isinstance(opener, KeyFile):
        key = wrapping_keys.of_key_file(opener, slot.salt)
    else:
        key, encrypted = wrapping_keys.for_recipient(opener)
        slot = replace(slot, recipient=opener.text, wrapping_key=encrypted)
    bound = _bound_to(slot, repository_id)
    return replace(slot, masters=AESGCM(key).encrypt(slot.nonce, b"".join(masters), bound))


def open_slot(slot: Slot, repository_id: str, opener: Opener) -> list[bytes] | None:
    """Return the master keys, oldest first; None if *opener* does not open this slot. Raises
    UsageError."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if slot.kind is not OPENED_BY[type(opener)]:
        return None
    key: bytes | None
    if isinstance(opener, Passphrase):
        assert slot.work is not None
        key = wrapping_keys.of_passphrase(opener, slot.salt, slot.work)
    elif isinstance(opener, KeyFile):
        key = wrapping_keys.of_key_file(opener, slot.salt)
    else:
        key = wrapping_keys.by_identity(opener, slot.wrapping_key)
    if key is None:
        return None
    try:
        found = AESGCM(key).decrypt(slot.nonce, slot.masters, _bound_to(slot, repository_id))
    except InvalidTag:
        return None
    return [found[start : start + KEY_BYTES] for start in range(0, len(found), KEY_BYTES)]


def encode_slot(slot: Slot) -> bytes:
    record = _head_of(slot)
    record.raw(SLOT_MASTERS, slot.masters)
    return wrap(ObjectKind.KEY_SLOT, record.to_bytes())


def decode_slot(data: bytes, what: str) -> Slot:
    """Return the slot that is stored as *data*. What would cost a reader too much work is refused.
    Raises CorruptionError, FormatTooNew."""
    payload = unwrap(ObjectKind.KEY_SLOT, data, what, bytes_max=KEY_SLOT_BYTES_MAX)
    record = RecordReader(payload, what=what, known=range(SLOT_KIND, SLOT_MASTERS + 1))
    number = record.count(SLOT_KIND)
    if number not in list(SlotKind):
        raise too_new(what, f"It is of kind {number}.")
    kind = SlotKind(number)
    epochs = record.count(SLOT_EPOCHS, most=KEY_EPOCHS_MAX)
    masters = record.raw(SLOT_MASTERS, length=epochs * KEY_BYTES + 16)
    if not epochs:
        raise CorruptionError(f"{what} is damaged", detail="It holds no key.")
    of_recipient = kind is SlotKind.RECIPIENT
    return Slot(
        kind=kind,
        name=record.plain_text(SLOT_NAME, "", most=_NAME_BYTES_MAX),
        created=from_micros(record.integer(SLOT_CREATED), what),
        epochs=epochs,
        salt=record.raw(SLOT_SALT, length=SLOT_SALT_BYTES),
        work=_work(record, what) if kind is SlotKind.PASSPHRASE else None,
        recipient=record.plain_text(SLOT_RECIPIENT, "", most=_RECIPIENT_BYTES_MAX),
        wrapping_key=record.raw(SLOT_WRAPPING_KEY) if of_recipient else b"",
        nonce=record.raw(SLOT_NONCE, length=_NONCE_BYTES),
        masters=masters,
    )


def _work(record: RecordReader, what: str) -> Argon2:
    work = Argon2(
        record.count(SLOT_PASSES, most=ARGON2_PASSES_MAX),
        record.count(SLOT_MEMORY, most=ARGON2_MEMORY_KIB_MAX),
        record.count(SLOT_LANES, most=ARGON2_LANES_MAX),
    )
    # What Argon2 itself demands.
    if not work.passes or not work.lanes or work.memory_kib < 8 * work.lanes:
        raise CorruptionError(f"{what} is damaged", detail="Its parameters make no sense.")
    return work


def _bound_to(slot: Slot, repository_id: str) -> bytes:
    return repository_id.encode() + b"\0" + _head_of(slot).to_bytes()


def _head_of(slot: Slot) -> RecordWriter:
    """Return all of a slot but the wrapped keys."""
    record = RecordWriter()
    record.integer(SLOT_KIND, slot.kind)
    if slot.name:
        record.text(SLOT_NAME, slot.name)
    record.integer(SLOT_CREATED, to_micros(slot.created))
    record.integer(SLOT_EPOCHS, slot.epochs)
    record.raw(SLOT_SALT, slot.salt)
    if slot.work is not None:
        record.integer(SLOT_PASSES, slot.work.passes)
        record.integer(SLOT_MEMORY, slot.work.memory_kib)
        record.integer(SLOT_LANES, slot.work.lanes)
    if slot.recipient:
        record.text(SLOT_RECIPIENT, slot.recipient)
    if slot.wrapping_key:
        record.raw(SLOT_WRAPPING_KEY, slot.wrapping_key)
    record.raw(SLOT_NONCE, slot.nonce)
    return record
