"""The keys of an encrypted repository, all derived from its master keys (docs/format.md, "Keys").

A master key is made when the repository is, and another one by each rotation: its number is the
*epoch*, from 1. What decides names and cuts comes from the first one for ever, so that
deduplication survives a rotation; what seals bytes comes from the epoch that the bytes name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import field

from pgsnap.errors import WrongKey
from pgsnap.values import dataclass

KEY_BYTES = 32
SALT_BYTES = 32
KEY_ID_BYTES = 8
FIRST_EPOCH = 1


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one repository. *epoch* is the newest: what is written is sealed with its keys.

    *fingerprint* is public: it says which repository's keys these are, and reveals none of them.
    """

    repository_id: str
    epoch: int
    fingerprint: bytes
    ids: bytes = field(repr=False)
    cuts: bytes = field(repr=False)
    sketches: bytes = field(repr=False)
    names: bytes = field(repr=False)
    _packs: tuple[bytes, ...] = field(repr=False)
    _objects: tuple[bytes, ...] = field(repr=False)
    _key_ids: tuple[bytes, ...] = field(repr=False)

    def packs_of(self, epoch: int) -> bytes:
        """Return the key from which each pack's own key is derived. Raises WrongKey."""
        return self._of(self._packs, epoch)

    def objects_of(self, epoch: int) -> bytes:
        """Return the key from which each small object's own key is derived. Raises WrongKey."""
        return self._of(self._objects, epoch)

    def id_of(self, epoch: int) -> bytes:
        """Return what tells this key from any other of the same number. It is public, as the
        fingerprint is. Raises WrongKey."""
        return self._of(self._key_ids, epoch)

    def new_salt(self, random_bytes: Callable[[int], bytes] | None = None) -> bytes:
        """Return the salt of a new pack or object: never one that there was before. It begins with
        the id of the newest key."""
        random_bytes = random_bytes or os.urandom
        return self.id_of(self.epoch) + random_bytes(SALT_BYTES - KEY_ID_BYTES)

    def why_shut(self, epoch: int, salt: bytes, otherwise: str) -> tuple[str, str]:
        """Return why bytes with this *salt* do not open, and more about it: because another key
        sealed them, or *otherwise*."""
        named, ours = salt[:KEY_ID_BYTES], self.id_of(epoch)
        if named == ours:
            return "does not open with the repository's key", otherwise
        return (
            "was encrypted with another key",
            f"The repository's key number {epoch} is {ours.hex()}, and this was encrypted with"
            f" {named.hex()}: by another repository, or after a rotation that was undone since by"
            " putting older key slots back.",
        )

    def _of(self, keys: tuple[bytes, ...], epoch: int) -> bytes:
        if not FIRST_EPOCH <= epoch <= len(keys):
            raise WrongKey(
                f"the repository's key number {epoch} is missing",
                detail=f"The slot that was opened holds the keys 1 to {len(keys)}.",
                hint="Open the repository with a key that was added after the last rotation:"
                " snap key list",
            )
        return keys[epoch - FIRST_EPOCH]


def new_master() -> bytes:
    """Return a new random master key."""
    return os.urandom(KEY_BYTES)


def derive(masters: Sequence[bytes], repository_id: str) -> Keys:
    """Return the keys of a repository with these master keys, oldest first."""
    assert masters
    assert all(len(master) == KEY_BYTES for master in masters)

    def key(master: bytes, purpose: str) -> bytes:
        return hkdf(master, salt=repository_id.encode(), info=f"snap {purpose}".encode())

    first = masters[0]
    return Keys(
        repository_id=repository_id,
        epoch=len(masters),
        fingerprint=key(first, "fingerprint"),
        ids=key(first, "ids"),
        cuts=key(first, "cuts"),
        sketches=key(first, "sketches"),
        names=key(first, "names"),
        _packs=tuple(key(master, "packs") for master in masters),
        _objects=tuple(key(master, "objects") for master in masters),
        _key_ids=tuple(key(master, "key id")[:KEY_ID_BYTES] for master in masters),
    )


def salted(key: bytes, salt: bytes) -> bytes:
    """Return the key of one pack or object. No two have the same *salt*, so each may count its
    nonces from 0."""
    assert len(salt) == SALT_BYTES
    return hkdf(key, salt=salt, info=b"snap sealed")


def hkdf(key: bytes, *, salt: bytes, info: bytes) -> bytes:
    """Return the 32 bytes that HKDF with SHA-256 (RFC 5869) makes of *key*."""
    # Imported when used: commands on plain repositories start faster without it.
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(key)
