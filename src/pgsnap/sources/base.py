"""The Source protocol: where dumps come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from pgsnap import interrupts
from pgsnap.model import (
    DumpEvent,
    Origin,
    Reading,
    SectionEnd,
    SectionStart,
    SourceEvent,
    VolatileLine,
)
from pgsnap.model.baseline import Baseline
from pgsnap.sources.former import FormerOf
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class SourceResult:
    """What is known once a source was read to its end and found whole: how it was *reading*, and a
    *baseline* that lets a later source read only what changed since, each None if unknown."""

    origin: Origin
    volatile: tuple[VolatileLine, ...]
    reading: Reading | None = None
    baseline: Baseline | None = None


class Source(Protocol):
    """A dump of one database. Every implementation passes tests/contract/source_contract.py.

    The order is `open`, `events` to its end, `finish`; `abandon` at any moment instead (`reading`
    sees to it). A dump that is cut short, empty or failed raises in `events` or `finish`: end of
    `events` alone never means that the dump is whole. Where `finish` raises TablesChanged, `events`
    and `finish` may be called once more, for a dump of another moment. `abandon` may come from
    another thread, and twice.
    """

    def open(self, former_of: FormerOf | None = None) -> Origin:
        """Connect or open, check versions, and tell what is known before the first byte. Only what
        changed since the snapshot that *former_of* returns needs to be read."""

    def events(self) -> Iterator[SourceEvent]:
        """Yield the sections of the dump, then the globals section where there is one. Without a
        former snapshot they are all a `DumpEvent`."""

    def distrust(self) -> None:
        """Forget the former snapshot: `events` and `finish`, which were called already, are called
        once more, and read everything."""

    def finish(self) -> SourceResult:
        """Return only if the whole dump was read and every sign says that it is complete."""

    def abandon(self) -> None:
        """Stop at once, children included."""


@contextmanager
def reading(source: Source, former_of: FormerOf | None = None) -> Iterator[Origin]:
    """Open *source* and yield its origin; where the `with` block fails it is abandoned. The block
    reads its `events`, and calls `finish`."""
    with interrupts.undone_by(source.abandon):
        yield source.open(former_of)


def dump_events(source: Source) -> Iterator[DumpEvent]:
    """Yield the `events` of a *source* that was opened without a former snapshot."""
    for event in source.events():
        assert isinstance(event, bytes | SectionStart | SectionEnd)
        yield event
