"""What is known about a dump that was read."""

from __future__ import annotations

from pgsnap.model import VolatileLine
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class DumpSummary:
    """What is known about a dump once it was read to its end.

    *owners* are those named in the headers of its entries, sorted. *dump_version* and *dumped_from*
    are as pg_dump wrote them ("15.18 (Debian 15.18-0+deb12u1)"), "" for other SQL.
    *client_encoding* is as the dump sets it, "" if it does not. *part* and *lacks_rights* are a
    `Tally`'s results.
    """

    is_pg_dump: bool
    dump_version: str
    dumped_from: str
    owners: tuple[str, ...]
    client_encoding: str
    has_meta_commands: bool
    volatile: tuple[VolatileLine, ...]
    part: str = ""
    lacks_rights: bool = False
