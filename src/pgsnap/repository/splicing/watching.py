"""Who watches a commit sees which rows its splices take out of tables, and which they put in."""

from __future__ import annotations

from typing import Protocol

from pgsnap.model import Section

REMOVED, ADDED = 0, 1


class TextSink(Protocol):
    """Takes the text that is removed (REMOVED) and added (ADDED), each in the table's order and as
    whole rows in the end."""

    def feed(self, side: int, block: bytes) -> None:
        """Add the next bytes of one side."""


class SpliceWatch(Protocol):
    """Is asked for each section before it is spliced. A splice that fails is not ended: the section
    is read in full then."""

    def begin(self, former: Section) -> TextSink | None:
        """Return what takes the text that differs; None if nobody wants to know."""

    def end(self, made: Section) -> None:
        """Take note of what was made of the section that was begun last."""
