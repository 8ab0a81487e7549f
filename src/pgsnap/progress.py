"""How workflows report their progress. They never print."""

from __future__ import annotations

from typing import Protocol

from pgsnap import interrupts


class Progress(Protocol):
    """Receives a workflow's progress, from one thread at a time, at most about ten times a second.

    `phase` begins a part of the work, with its size if known; `advance` counts bytes done in it;
    `say` passes a line to be shown to the user. The first two raise `interrupts.Stopped` after a
    signal.
    """

    def phase(self, name: str, total_bytes: int | None = None) -> None: ...
    def advance(self, plain_bytes: int, detail: str = "") -> None: ...
    def say(self, line: str) -> None: ...


class Silent:
    """Discards all reports; only checks for signals."""

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        interrupts.check()

    def advance(self, plain_bytes: int, detail: str = "") -> None:
        interrupts.check()

    def say(self, line: str) -> None:
        pass


SILENT: Progress = Silent()
