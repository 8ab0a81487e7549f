"""The Source protocol: where dumps come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from pgsnap import interrupts
from pgsnap.model import DumpEvent, Origin, VolatileLine


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What is known after a source was read to its end and found complete."""

    origin: Origin
    volatile: tuple[VolatileLine, ...]


class Source(Protocol):
    """A dump of one database. Every implementation passes tests/contract/source_contract.py.

    The order is `open`, `events` to its end, `finish`; or `abandon` at any moment (`reading`
    ensures it). A dump that is truncated, empty or failed raises in `events` or `finish`: the end
    of `events` alone never means that the dump is complete. If `finish` raises TablesChanged,
    `events` and `finish` may be called once more, for a dump of a later moment. `abandon` may be
    called from another thread, and twice.
    """

    def open(self) -> Origin:
        """Connect or open, check versions, and return what is known before the first byte."""

    def events(self) -> Iterator[DumpEvent]:
        """Yield the sections of the dump, then the globals section if there is one."""

    def finish(self) -> SourceResult:
        """Return only if the whole dump was read and every sign says that it is complete."""

    def abandon(self) -> None:
        """Stop at once, including child processes."""


@contextmanager
def reading(source: Source) -> Iterator[Origin]:
    """Open *source* and yield its origin; if the `with` block fails, the source is abandoned. The
    block must read its `events` and call `finish`."""
    try:
        yield source.open()
