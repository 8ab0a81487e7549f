"""Cuts that only the holder of a key can predict.

A keyed hash whose bits decide the cuts does not hide its key: from the lengths of enough chunks of
known data it can be computed (Truong, Merino, Zhang, Vanhatupa, Paterson: Breaking and fixing
content-defined chunking, 2025). So each hash is encrypted first, and its ciphertext decides.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from blake3 import blake3

from pgsnap.chunking.row_hash import Hashes

# As many blocks fit into the L2 cache twice.
_HASHES_AT_A_TIME = 16 * 1024
_BLOCK_WORDS = 2
_BLOCK_BYTES = 16


class Purpose(IntEnum):
    """What a hash decides, so that no two decisions are related. Cuts depend on every value."""

    ROW = 1
    WHOLE_ROW = 2
    IN_ROW = 3


class Permutation:
    """A pseudorandom permutation of hashes: AES-256, one block for each. Not thread-safe."""

    def __init__(self, key: bytes) -> None:
        # Late: only encrypted repositories need it.
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        own = blake3(b"snap cuts: permutation", key=key).digest()
        # No mode that chains blocks: each is a function of its hash alone, and none is stored.
        self._encryptor = Cipher(algorithms.AES(own), modes.ECB()).encryptor()
        # Made once: new arrays of this size are new pages of memory each time.
        self._blocks = np.zeros((_HASHES_AT_A_TIME, _BLOCK_WORDS), "<u8")
        # `update_into` demands room for one more block.
        self._sealed = np.empty((_HASHES_AT_A_TIME + 1, _BLOCK_WORDS), "<u8")

    def of(self, hashes: Hashes, purpose: Purpose) -> Hashes:
        """Return for each of *hashes* a number that nobody without the key can tell from a random
        one."""
        found = np.empty(len(hashes), np.uint64)
        self._blocks[: len(hashes), 1] = purpose
        for first in range(0, len(hashes), _HASHES_AT_A_TIME):
            part = hashes[first : first + _HASHES_AT_A_TIME]
            blocks, sealed = self._blocks[: len(part)], self._sealed[: len(part) + 1]
            blocks[:, 0] = part
            self._encryptor.update_into(blocks.data.cast("B"), sealed.data.cast("B"))
            found[first : first + len(part)] = sealed[:-1, 0]
        return found
