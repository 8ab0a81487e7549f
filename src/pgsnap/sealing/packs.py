"""Sealing what packs hold: frames and tables (docs/format.md, "Sealed packs").

Each pack has a key of its own, derived from a random salt, so the offset of a frame never is a
nonce twice. A frame opens only at its place, in its pack, as what its pack's table says it is.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from pgsnap.errors import CorruptionError, WrongKey
from pgsnap.limits import SEAL_BYTES
from pgsnap.model import Cipher, Frame, Location, PackSeal
from pgsnap.sealing.keys import Keys, salted

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
# No frame begins there.
_TABLE_NONCE = b"\xff" * _NONCE_BYTES
_FRAME = struct.Struct("<11sB32sBBBB32sII")
"""What a frame is bound to beside its repository: a mark, then id, kind, codec, depth, whether it
has a base, the base, and its sizes decoded and encoded."""
_FRAME_MARK, _TABLE_MARK = b"snap frame ", b"snap table "
_VERSION = 1
_NO_BASE = bytes(32)
# A commit compares with a few packs, a restore reads from a few at a time.
_PACKS_REMEMBERED = 4096


class PackSealer:
    """Seals and opens frames and tables with the keys of one repository. Thread-safe.

    Opened bytes are whole and are what was sealed, or there are none: an error is raised before
    any of them is seen.
    """

    def __init__(self, keys: Keys, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._keys = keys
        self._repository = keys.repository_id.encode()
        self.random_bytes = random_bytes
        self._cipher = lru_cache(maxsize=_PACKS_REMEMBERED)(self._derived)

    def _derived(self, seal: PackSeal) -> AESGCM:
        # Late: only encrypted repositories need it.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(salted(self._keys.packs_of(seal.epoch), seal.salt))

    def new_seal(self) -> PackSeal:
        """Return the seal of a new pack: never one that there was before."""
        return PackSeal(self._keys.epoch, self._keys.new_salt(self.random_bytes))

    def seal(
        self, seal: PackSeal, offset: int, frame: Frame, data: bytes | memoryview
    ) -> tuple[Frame, bytes]:
        """Return the sealed form of *frame*, whose bytes are *data*, at *offset* of a pack."""
        # Sealed twice, nobody would ever read it again.
        assert frame.cipher is Cipher.NONE
        assert len(data) == frame.frame_bytes
        nonce = offset.to_bytes(_NONCE_BYTES, "little")
        sealed = self._cipher(seal).encrypt(nonce, data, self._bound_to(frame, len(data)))
        return _with(frame, Cipher.AES_256_GCM, len(sealed)), sealed

    def open(self, location: Location, data: bytes | memoryview) -> tuple[Frame, bytes]:
        """Return the frame at *location*, whose sealed bytes are *data*, as it was before. Raises
        CorruptionError, WrongKey."""
        frame, what = location.frame, f"a frame of pack {location.pack.hex()[:12]}"
        if location.seal is None or frame.cipher is not Cipher.AES_256_GCM:
            raise CorruptionError(
                f"{what} is not sealed", detail="All frames of an encrypted repository are."
            )
        if len(data) != frame.frame_bytes or len(data) < SEAL_BYTES:
            raise CorruptionError(f"{what} is cut", detail=f"It has {len(data)} bytes.")
        opened = _with(frame, Cipher.NONE, len(data) - SEAL_BYTES)
        nonce = location.offset.to_bytes(_NONCE_BYTES, "little")
        plain = self._opened(
            location.seal, nonce, data, self._bound_to(opened, opened.frame_bytes), what
        )
        return opened, plain

    def seal_table(self, seal: PackSeal, table: bytes) -> bytes:
        return self._cipher(seal).encrypt(_TABLE_NONCE, table, self._table_bound_to())

    def open_table(self, seal: PackSeal, data: bytes, what: str) -> bytes:
        """Return the table of a pack. Raises CorruptionError, WrongKey."""
        return self._opened(
            seal, _TABLE_NONCE, data, self._table_bound_to(), f"the table of {what}"
        )

    def _opened(
        self, seal: PackSeal, nonce: bytes, data: bytes | memoryview, bound_to: bytes, what: str
    ) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher(seal).decrypt(nonce, data, bound_to)
        except InvalidTag:
            why, detail = self._keys.why_shut(
                seal.epoch, seal.salt, "It was changed, or put in the place of another."
            )
            raise CorruptionError(f"{what} {why}", detail=detail) from None
        except WrongKey as error:
            # Not the repository as a whole: a forged or damaged head must not close it.
            raise CorruptionError(f"{what} does not open", detail=f"{error.message}.") from error

    def _bound_to(self, frame: Frame, packed_bytes: int) -> bytes:
        fixed = _FRAME.pack(
            _FRAME_MARK,
            _VERSION,
            frame.chunk,
            frame.kind,
            frame.codec,
            frame.depth,
            frame.base is not None,
            frame.base or _NO_BASE,
            frame.chunk_bytes,
            packed_bytes,
        )
        return fixed + self._repository

    def _table_bound_to(self) -> bytes:
        return b"".join((_TABLE_MARK, bytes([_VERSION]), self._repository))


def _with(frame: Frame, cipher: Cipher, frame_bytes: int) -> Frame:
    # Three times as fast as dataclasses.replace.
    return Frame(
        frame.chunk,
        frame.kind,
        frame.codec,
        cipher,
        frame.depth,
        frame.base,
        frame_bytes,
        frame.chunk_bytes,
    )
