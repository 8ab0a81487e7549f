"""Names by content (the ids of chunks, snapshots and notes), and keys that decide cuts."""

from __future__ import annotations

from dataclasses import field

from blake3 import blake3

from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Naming:
    """Names bytes by their BLAKE3-256, keyed if there is a *key* of 32 bytes: then nobody without
    it can find out whether a known text is stored."""

    key: bytes | None = field(default=None, repr=False)

    def name(self, data: bytes | memoryview) -> bytes:
        """Return the name of *data*."""
        hasher = blake3(data) if self.key is None else blake3(data, key=self.key)
        return hasher.digest()


@dataclass(frozen=True, slots=True)
class ChunkerKeys:
    """The keys that decide the *cuts* and the *sketches* of an encrypted repository, each of 32
    bytes."""

    cuts: bytes = field(repr=False)
    sketches: bytes = field(repr=False)


PLAIN_NAMES = Naming()
"""How a repository that is not encrypted names its contents."""
