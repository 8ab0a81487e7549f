"""Envelopes: the stored form of every object except packs (docs/format.md, "Envelopes")."""

from __future__ import annotations

import enum
import struct

from blake3 import blake3

from pgsnap.errors import CorruptionError, WrongKey
from pgsnap.format.record import too_new
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.model import Cipher

# The high bit of the first byte distinguishes an object from text, as in PNG.
MAGIC = b"\x89snap"
VERSION = 1
MANIFEST_VERSION_2 = 2
"""Version of manifests with contents unknown to the first readers, which refuse it."""
MANIFEST_VERSION_3 = 3
"""Version of manifests with leaf digests, unknown to the readers of the versions before."""
HEAD = struct.Struct("<5scBB")
"""Magic, kind, version, cipher."""
CHECKSUM_BYTES = 16


class ObjectKind(enum.Enum):
    """The letter for an object's kind. Stored: never change one."""

    ANNOUNCEMENT = b"G"
    CONFIG = b"C"
    GONE_TAG = b"D"
    KEY_SLOT = b"K"
    MANIFEST = b"M"
    NOTE = b"N"
    PACK = b"P"
    PUBLICATION = b"L"
    SEALED = b"S"
    """A small object of an encrypted repository, whatever its own kind."""
    TAG = b"T"


def checksum(*parts: bytes) -> bytes:
    """Return the first 16 bytes of the BLAKE3 hash of *parts*."""
    hasher = blake3()
    for part in parts:
        hasher.update(part)
    return hasher.digest(CHECKSUM_BYTES)


_VERSIONS = {ObjectKind.MANIFEST: (VERSION, MANIFEST_VERSION_2, MANIFEST_VERSION_3)}
_CIPHERS = {
    ObjectKind.SEALED: (Cipher.AES_256_GCM,),
    ObjectKind.PACK: (Cipher.NONE, Cipher.AES_256_GCM),
}
"""The ciphers that there are for a kind: for all others none."""


def head(kind: ObjectKind, version: int = VERSION, cipher: Cipher | None = None) -> bytes:
    if cipher is None:
        cipher = _ciphers(kind)[0]
    return HEAD.pack(MAGIC, kind.value, version, cipher)


def _ciphers(kind: ObjectKind) -> tuple[Cipher, ...]:
    return _CIPHERS.get(kind, (Cipher.NONE,))


_HEADS = {
    kind: tuple(head(kind, version) for version in _VERSIONS.get(kind, (VERSION,)))
    for kind in ObjectKind
}


def check_head(kind: ObjectKind, data: bytes, what: str) -> None:
    """Raise CorruptionError or FormatTooNew unless *data* begins like an object of *kind*."""
    if data[: HEAD.size] in _HEADS[kind]:
        return
    if len(data) < HEAD.size:
        raise CorruptionError(f"{what} is damaged", detail="It is too short.")
    magic, letter, version, cipher = HEAD.unpack_from(data)
    if magic != MAGIC or letter != kind.value:
        raise CorruptionError(
            f"{what} is damaged",
            detail=f"It does not begin as a {kind.name.lower().replace('_', ' ')} does.",
        )
    if version not in _VERSIONS.get(kind, (VERSION,)) or cipher not in _ciphers(kind):
        raise too_new(what, f"Its format is version {version}, cipher {cipher}.")


def wrap(kind: ObjectKind, payload: bytes, version: int = VERSION) -> bytes:
    """Return the bytes of an object with *payload*."""
    start = head(kind, version)
    return b"".join((start, payload, checksum(start, payload)))


def refuse_sealed(what: str, data: bytes) -> None:
    """Raise WrongKey if *data* is a sealed object, where the repository's config says that nothing
    is."""
    if data.startswith(MAGIC + ObjectKind.SEALED.value):
        raise WrongKey(
            f"{what} is encrypted, and the repository's config says that the repository is not",
            detail="The config was replaced, or somebody put the object of another repository"
            " there. If the config was, what is written from now on could be read by anybody who"
            " can read the store. Nothing was written.",
            hint="Compare the object config with a copy of it; if the repository never was"
            " encrypted, delete the object that is.",
        )


def unwrap(kind: ObjectKind, data: bytes, what: str, *, bytes_max: int = RECORD_BYTES_MAX) -> bytes:
    """Return the payload of an object; *what* names it in errors."""
    if len(data) > bytes_max:
        raise CorruptionError(f"{what} is damaged", detail=f"It has {len(data)} bytes.")
    # The checksum first: a flipped version byte is damage, not a newer format.
    if len(data) < HEAD.size + CHECKSUM_BYTES:
        raise CorruptionError(f"{what} is damaged", detail="It is too short.")
    body, stored = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if checksum(body) != stored:
        raise CorruptionError(f"{what} is damaged", detail="Its checksum does not match.")
    check_head(kind, body, what)
    return body[HEAD.size :]
