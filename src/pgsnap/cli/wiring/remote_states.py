"""The remotes of snap.toml as a monitor sees them: asked at once, briefly, and nobody is asked for
a secret."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.remotes import unlocking_remote
from pgsnap.cli.wiring.user_folders import cache_folder

if TYPE_CHECKING:
    from pgsnap.cli.config.remotes import RemoteTable
    from pgsnap.repository.repository import Repository
    from pgsnap.workflows.watch.check import RemoteSeen
    from pgsnap.workflows.watch.remote_states import RemoteState

_LOCK_SECONDS = 2.0


def remote_states(invocation: Invocation) -> dict[str, RemoteState]:
    """Return the state of each remote. Takes no longer than `LOOK_SECONDS`."""
    from pgsnap.workflows.watch.remote_states import LOOK_SECONDS, look_at_remotes

    remotes = invocation.settings.remotes or {}
    openers: dict[str, Callable[[], Repository]] = {
        name: partial(_open, invocation, name, table) for name, table in remotes.items()
    }
    asks, invocation.asks = invocation.asks, False
    try:
        return look_at_remotes(openers, invocation.now, LOOK_SECONDS)
    finally:
        invocation.asks = asks


def remotes_seen(invocation: Invocation, *, ask: bool) -> list[RemoteSeen]:
    """Return the remotes with the last push to each, and, if their stores are asked, what they
    hold."""
    from pgsnap.schedulers.state import State
    from pgsnap.workflows.sync.records import last_push
    from pgsnap.workflows.watch.check import RemoteSeen

    settings = invocation.settings
    states = remote_states(invocation) if ask else {}
    found = []
    for name, table in (settings.remotes or {}).items():
        # Remotes are nowhere else.
        assert settings.config_path is not None
        last = last_push(State(settings.config_path, invocation.trust), name)
        is_pushed_to = name in settings.push
        found.append(RemoteSeen(name, str(table.url), is_pushed_to, states.get(name), last))
    return found


def _open(invocation: Invocation, name: str, remote: RemoteTable) -> Repository:
    from pgsnap.repository.places.opening import place_of
    from pgsnap.repository.repository import Repository

    return Repository.open(
        place_of(remote.url, invocation.trust, hastily=True, bytes_per_second=remote.bandwidth),
        lock_timeout_seconds=_LOCK_SECONDS,
        index_folder=cache_folder(),
        whole=True,
        trust=invocation.trust,
        unlock=unlocking_remote(invocation, name, remote),
    )
