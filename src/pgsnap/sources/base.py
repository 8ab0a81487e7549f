"""The Source protocol: where dumps come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from pgsnap import interrupts
from pgsnap.model import DumpEvent, Origin, VolatileLine
from pgsnap.model.baseline import Baseline


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What is known once a source was read to its end and found whole."""

    origin: Origin
    volatile: tuple[VolatileLine, ...]
    baseline: Baseline | None = None
    """What the next commit needs to find out what has changed."""


class Source(Protocol):
    """A dump of one database. Every implementation passes tests/contract/source_contract.py.

    The order is `open`, `events` to its end, `finish`; `abandon` at any moment instead (`reading`
    sees to it). A dump that is cut short, empty or failed raises in `events` or `finish`: end of
    `events` alone never means that the dump is whole. Where `finish` raises TablesChanged, `events`
    and `finish` may be called once more, for a dump of another moment. `abandon` may come from
    another thread, and twice.
    """

    def open(self) -> Origin:
        """Connect or open, check versions, and tell what is known before the first byte."""

    def events(self) -> Iterator[DumpEvent]:
        """Yield the sections of the dump, then the globals section where there is one."""

    def finish(self) -> SourceResult:
        """Return only if the whole dump was read and every sign says that it is complete."""

    def abandon(self) -> None:
        """Stop at once, children included."""


@contextmanager
def reading(source: Source) -> Iterator[Origin]:
    """Open *source* and yield its origin; where the `with` block fails it is abandoned. The block
    reads its `events`, and calls `finish`."""
    with interrupts.undone_by(source.abandon):
        yield source.open()
