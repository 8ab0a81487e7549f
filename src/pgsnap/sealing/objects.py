"""Small objects, sealed whole (docs/format.md, "Sealed objects")."""

from __future__ import annotations

import struct

from pgsnap.errors import CorruptionError, WrongKey
from pgsnap.format.envelope import CHECKSUM_BYTES, HEAD, MAGIC, ObjectKind, head, unwrap, wrap
from pgsnap.format.padding import padme
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.sealing.keys import SALT_BYTES, Keys, salted

_START = struct.Struct(f"<I{SALT_BYTES}s")
"""Epoch, salt."""
_LENGTH = struct.Struct("<I")
_PADDED_BYTES_MIN = 256
TAG_BYTES = 16
# The key is used for this object only.
NONCE = bytes(12)

SEALED_BYTES_MORE = HEAD.size + _START.size + TAG_BYTES + CHECKSUM_BYTES
"""What sealing adds beside the padding."""


def seal_object(keys: Keys, name: str, data: bytes) -> bytes:
    """Return *data* as it is stored under *name*: encrypted, and bound to repository and name."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    start = _START.pack(keys.epoch, keys.new_salt())
    plain = _LENGTH.pack(len(data)) + data
    plain += bytes(padme(max(len(plain), _PADDED_BYTES_MIN)) - len(plain))
    key = salted(keys.objects_of(keys.epoch), start[-SALT_BYTES:])
    sealed = AESGCM(key).encrypt(NONCE, plain, _bound_to(keys, name, start))
    return wrap(ObjectKind.SEALED, start + sealed)


def open_object(keys: Keys, name: str, data: bytes) -> bytes:
    """Return what was sealed under *name*. Raises CorruptionError; WrongKey for an object that is
    not encrypted, or that is sealed with a key that is missing."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    what = f'"{name}"'
    refuse_plain(name, data)
    payload = unwrap(ObjectKind.SEALED, data, what, bytes_max=sealed_bytes_max(RECORD_BYTES_MAX))
    if len(payload) < _START.size + _LENGTH.size + TAG_BYTES:
        raise CorruptionError(f"{what} is damaged", detail="It is too short.")
    epoch, salt = _START.unpack_from(payload)
    key = salted(keys.objects_of(epoch), salt)
    bound = _bound_to(keys, name, payload[: _START.size])
    try:
        plain = AESGCM(key).decrypt(NONCE, payload[_START.size :], bound)
    except InvalidTag:
        why, detail = keys.why_shut(
            epoch, salt, "It was changed, or is another object under this name."
        )
        raise CorruptionError(f"{what} {why}", detail=detail) from None
    length = _LENGTH.unpack_from(plain)[0]
    if length > len(plain) - _LENGTH.size:
        raise CorruptionError(f"{what} is damaged", detail="Its length makes no sense.")
    return plain[_LENGTH.size : _LENGTH.size + length]


def epoch_of(data: bytes) -> int | None:
    """Return the number of the key that sealed an object, as it says; None if it is not sealed."""
    if not data.startswith(head(ObjectKind.SEALED)) or len(data) < HEAD.size + _START.size:
        return None
    epoch: int = _START.unpack_from(data, HEAD.size)[0]
    return epoch


def refuse_plain(name: str, data: bytes) -> None:
    """Raise WrongKey if *data* is an object that snap stores without encryption: in an encrypted
    repository somebody else put it there. What is neither is damage."""
    letters = [kind.value for kind in ObjectKind if kind is not ObjectKind.SEALED]
    if data.startswith(MAGIC) and data[len(MAGIC) : len(MAGIC) + 1] in letters:
        raise WrongKey(
            f'"{name}" is not encrypted, and the repository is',
            detail="No command of snap can have written it there.",
            hint="Find out who can write to the repository's store, then delete this object.",
        )


def sealed_bytes_max(bytes_max: int) -> int:
    """Return the size of the largest object that holds *bytes_max* bytes."""
    return padme(max(bytes_max + _LENGTH.size, _PADDED_BYTES_MIN)) + SEALED_BYTES_MORE


def _bound_to(keys: Keys, name: str, start: bytes) -> bytes:
    """Return the associated data: it cannot be opened in another repository, or under another
    name."""
    return b"\0".join((head(ObjectKind.SEALED) + start, keys.repository_id.encode(), name.encode()))
