"""The snapshot that a source may compare the database with, so that it reads only what changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pgsnap.model import Origin, Section, SectionName, VolatileLine
from pgsnap.model.baseline import Baseline


@dataclass(frozen=True, slots=True)
class Former:
    """A snapshot, and what was known of the server at its moment. *head* returns what precedes the
    rows of one of its *sections*, None if that cannot be read. *claims*: everything is read, and
    what is taken for unchanged has to be equal. *probes* is how many places are read again
    otherwise."""

    baseline: Baseline
    sections: Mapping[SectionName, Section]
    origin: Origin
    volatile: tuple[VolatileLine, ...]
    head: Callable[[Section], bytes | None]
    claims: bool = False
    probes: int = 3


FormerOf: TypeAlias = Callable[[Origin], Former | None]
"""Returns the former snapshot of the server and database that an origin describes."""
