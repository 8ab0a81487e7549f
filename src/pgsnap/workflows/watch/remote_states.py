"""What remotes hold, asked of their stores, or as the last push left it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime

from pgsnap import interrupts
from pgsnap.errors import SnapError
from pgsnap.maintenance.verify.withheld import not_shown
from pgsnap.repository.repository import Repository
from pgsnap.values import dataclass
from pgsnap.workflows.sync.clone import head_of
from pgsnap.workflows.sync.records import newest_of_servers, newest_times

LOOK_SECONDS = 20.0
"""How long a monitor waits for all remotes together."""


@dataclass(frozen=True, slots=True)
class RemoteState:
    """What a remote holds. *newest* has for each label when its newest snapshot was begun, safety
    snapshots left out, *of_servers* the same for each label and server; *credentials* is where
    those for the store are from; *not_shown* says what it had and does not show any more. If it
    could not be asked, *error* is why, *hint* what to do, and the rest is not known."""

    newest: Mapping[str, datetime] = field(default_factory=dict)
    snapshots: int | None = None
    is_encrypted: bool | None = None
    credentials: str = ""
    not_shown: tuple[str, ...] = ()
    head: str = ""
    error: str = ""
    hint: str = ""
    of_servers: Mapping[tuple[str, str], datetime] = field(default_factory=dict)


def state_of(repo: Repository, now: datetime) -> RemoteState:
    """Return what an open repository holds. Raises StoreError, CorruptionError."""
    return RemoteState(
        newest_times(repo, now),
        len(repo.newest(None)),
        repo.config.encryption is not None,
        repo.place.credentials(),
        tuple(not_shown(repo)),
        head_of(repo) or "",
        of_servers=newest_of_servers(repo, now),
    )


def look_at_remotes(
    openers: Mapping[str, Callable[[], Repository]], now: datetime, seconds: float
) -> dict[str, RemoteState]:
    """Return the state of each remote. All are asked at once; one that has not answered after so
    many *seconds* is left behind, which is its error. Raises Stopped."""
    found: dict[str, RemoteState] = {}

    def look(name: str, open_it: Callable[[], Repository]) -> None:
        try:
            with open_it() as repo:
                found[name] = state_of(repo, now)
        except SnapError as error:
            found[name] = RemoteState(error=error.message, hint=error.hint)

    threads = {
        name: threading.Thread(target=look, args=(name, open_it), name="remote", daemon=True)
        for name, open_it in openers.items()
    }
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + seconds
    for name, thread in threads.items():
        interrupts.ended(thread, max(0.0, deadline - time.monotonic()))
        if name not in found:
            hint = "See whether the network lets requests through to it."
            found[name] = RemoteState(error=f"no answer within {seconds:.0f} s", hint=hint)
    return {name: found[name] for name in openers}
