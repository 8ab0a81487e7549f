"""From an address to the place there, used as fast as the command line or snap.toml allows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pgsnap.cli.text.rate import parse_rate
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import UsageError
from pgsnap.repository.places.address import Address

if TYPE_CHECKING:
    from pgsnap.repository.places.opening import Where


def place_at(invocation: Invocation, address: Address) -> Where:
    """Return the place at *address*; within --bandwidth or, if a remote is there that has a
    `bandwidth`, within that. Raises UsageError, StoreError."""
    limit = invocation.bandwidth
    if limit is None:
        remotes = (invocation.settings.remotes or {}).values()
        limits = [one.bandwidth for one in remotes if one.url == address]
        limit = min((one for one in limits if one is not None), default=None)
    if limit is None:
        return address
    from pgsnap.repository.places.opening import place_of

    return place_of(address, invocation.trust, bytes_per_second=limit)


def limit_bandwidth(invocation: Invocation, rate: str | None, *addresses: Address) -> None:
    """Let --bandwidth hold for all stores that are opened from now on. Raises UsageError if there
    is none among *addresses*."""
    if rate is None:
        return
    from pgsnap.stores.address import parse

    invocation.bandwidth = parse_rate(rate, "--bandwidth")
    folders = [one for one in addresses if isinstance(one, Path) or parse(one).scheme == "file"]
    if len(folders) == len(addresses):
        raise UsageError(
            "--bandwidth limits nothing: no store is reached over a network",
            detail=f"Only folders are used: {', '.join(dict.fromkeys(map(str, folders)))}.",
            hint="Leave it out.",
        )
