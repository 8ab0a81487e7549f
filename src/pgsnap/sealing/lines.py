"""Lines of a log, each sealed by itself (docs/format.md, "Audit log")."""

from __future__ import annotations

import base64
import struct

from pgsnap.errors import CorruptionError, WrongKey
from pgsnap.format.padding import padme
from pgsnap.sealing.keys import SALT_BYTES, Keys, salted
from pgsnap.sealing.objects import NONCE

_START = struct.Struct(f"<I{SALT_BYTES}s")
"""Epoch, salt."""
_PADDED_BYTES_MIN = 512


def seal_line(keys: Keys, line: bytes) -> bytes:
    """Return *line*, which has no line end, encrypted and without one."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    start = _START.pack(keys.epoch, keys.new_salt())
    padded = line.ljust(padme(max(len(line), _PADDED_BYTES_MIN)))
    key = salted(keys.objects_of(keys.epoch), start[-SALT_BYTES:])
    sealed = AESGCM(key).encrypt(NONCE, padded, _bound_to(keys, start))
    return base64.b64encode(start + sealed)


def open_line(keys: Keys, line: bytes) -> bytes:
    """Return what was sealed as *line*, with spaces at its end. Raises CorruptionError for any
    other line, and for one whose key is missing."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        data = base64.b64decode(line, validate=True)
        epoch, salt = _START.unpack_from(data)
        key = salted(keys.objects_of(epoch), salt)
        bound = _bound_to(keys, data[: _START.size])
        return AESGCM(key).decrypt(NONCE, data[_START.size :], bound)
    except (ValueError, struct.error, InvalidTag, WrongKey):
        raise CorruptionError("a line of the log does not open with the repository's key") from None


def _bound_to(keys: Keys, start: bytes) -> bytes:
    return b"\0".join((b"snap audit" + start, keys.repository_id.encode()))
