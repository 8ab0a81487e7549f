"""Keys of encrypted repositories, for tests: always the same ones."""

from __future__ import annotations

from pgsnap.sealing.keys import Keys, derive

REPOSITORY_ID = "0123456789abcdef0123456789abcdef"
FIRST = bytes(range(32))
SECOND = bytes(range(32, 64))
THIRD = bytes(range(64, 96))


def keys(*masters: bytes, repository_id: str = REPOSITORY_ID) -> Keys:
    """Return the keys of *masters*, by default of one."""
    return derive(masters or (FIRST,), repository_id)
