"""The checkpoint that taking down a state needs, begun while a restore gathers statistics: most of
it is writing, and most of that is reading."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pgsnap import interrupts
from pgsnap.errors import SnapError
from pgsnap.sessions.base import Session
from pgsnap.sources.changes.ways import best_way


@contextmanager
def checkpoint_meanwhile(connect: Callable[[], Session]) -> Iterator[None]:
    """Let the server make a checkpoint within the block, if it lets us and changes can be told on
    it at all; what goes wrong there is left to who needs the checkpoint, and requests another one.
    *connect* opens a session to the maintenance database, which is closed at the block's end."""

    def work() -> None:
        with suppress(SnapError), connect() as session:
            if best_way(session).method is not None:
                session.execute("CHECKPOINT")

    thread = threading.Thread(target=work, name="checkpoint", daemon=True)
    thread.start()
    yield
    interrupts.ended(thread)
