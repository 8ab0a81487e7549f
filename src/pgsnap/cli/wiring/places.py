"""From an address to the place there, used as fast as snap.toml allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.repository.places.address import Address

if TYPE_CHECKING:
    from pgsnap.repository.places.opening import Where


def place_at(invocation: Invocation, address: Address) -> Where:
    """Return the place at *address*; if a remote is there that has a `bandwidth`, within that.
    Raises UsageError, StoreError."""
    remotes = (invocation.settings.remotes or {}).values()
    limits = [one.bandwidth for one in remotes if one.url == address and one.bandwidth is not None]
    if not limits:
        return address
    from pgsnap.repository.places.opening import place_of

    return place_of(address, invocation.trust, bytes_per_second=min(limits))
