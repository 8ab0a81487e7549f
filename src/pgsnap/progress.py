"""How workflows tell how far they are. They never print."""

from __future__ import annotations

from typing import Protocol

from pgsnap import interrupts


class Progress(Protocol):
    """Told by a workflow, from one thread at a time, at most some ten times a second.

    `phase` begins a part of the work, with its size where it is known; `advance` adds to it;
    `say` is one line of news for the user. The first two raise `interrupts.Stopped` after a signal.
    """

    def phase(self, name: str, total_bytes: int | None = None) -> None: ...
    def advance(self, plain_bytes: int, detail: str = "") -> None: ...
    def say(self, line: str) -> None: ...


class Silent:
    """Tells nobody."""

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        interrupts.check()

    def advance(self, plain_bytes: int, detail: str = "") -> None:
        interrupts.check()

    def say(self, line: str) -> None:
        pass


SILENT: Progress = Silent()
