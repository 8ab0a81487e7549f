"""Padding by Padmé: sizes say little, and cost at most 12 %, less the larger they are.

Nikitin et al.: Reducing metadata leakage from encrypted files and communication with PURBs, 2019.
"""

from __future__ import annotations


def padme(size: int) -> int:
    """Return the size that *size* bytes are padded to."""
    if size < 2:
        return size
    exponent = size.bit_length() - 1
    free = exponent - exponent.bit_length()
    return -(-size >> free) << free if free > 0 else size
