"""The remotes of snap.toml: which one is meant, opened as a repository."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from pgsnap.cli.config.keys import unknown_key
from pgsnap.cli.config.remotes import RemoteTable
from pgsnap.cli.config.retention import KEEP_ALL
from pgsnap.cli.config.settings import Settings
from pgsnap.cli.wiring.connect import open_repository, resolve, warn_of_others
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.places import place_at
from pgsnap.cli.wiring.secrets_given import unlocking_other
from pgsnap.cli.wiring.user_folders import cache_folder
from pgsnap.errors import SnapError, UsageError
from pgsnap.repository.places.address import Address
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.model import SnapshotId
    from pgsnap.repository.footprint import Footprint
    from pgsnap.repository.repository import Repository
    from pgsnap.repository.sealed.unlocking import Unlock


def remote_of(
    invocation: Invocation, name: str | None, *, hint: str = "Add it: snap remote add NAME URL"
) -> tuple[str, RemoteTable]:
    """Return the remote of this *name*; without one, the only remote that there is. Raises
    UsageError, with this *hint* for a name that resembles none."""
    remotes = dict(invocation.settings.remotes or {})
    if name is None and len(remotes) == 1:
        return next(iter(remotes.items()))
    if name is None:
        raise UsageError(
            "which remote is meant?" if remotes else "there is no remote",
            detail=f"There are {', '.join(sorted(remotes))}." if remotes else "",
            hint="Name it." if remotes else "Add one: snap remote add offsite s3://bucket/shop",
        )
    if name not in remotes:
        message = f'there is no remote "{name}"'
        raise unknown_key(message, name, remotes, kind="remotes", hint=hint)
    return name, remotes[name]


def remotes_to_push_to(invocation: Invocation, name: str | None) -> list[tuple[str, RemoteTable]]:
    """Return the remote of this *name*; without one, those that commits are pushed to, else the
    only one that there is. Raises UsageError."""
    if name is None and invocation.settings.push:
        return [remote_of(invocation, one) for one in dict.fromkeys(invocation.settings.push)]
    return [remote_of(invocation, name)]


def open_remote(
    invocation: Invocation,
    name: str,
    remote: RemoteTable,
    *,
    alone: bool = False,
    whole: bool = False,
) -> Repository:
    """Return the repository of a remote, open with its own secrets if it names any; a context
    manager. *alone*: locked exclusively; *whole*: its store listed, whatever its log says."""
    unlock = unlocking_remote(invocation, name, remote)
    return open_other(invocation, remote.url, unlock=unlock, alone=alone, whole=whole)


def unlocking_remote(invocation: Invocation, name: str, remote: RemoteTable) -> Unlock:
    """Return what opens a remote: its own secrets if it names any."""
    where = f"[remotes.{name}] in {invocation.settings.config_path}"
    return unlocking_other(invocation, remote.secrets(where), remembers=True)


def open_other(
    invocation: Invocation,
    address: Address,
    *,
    unlock: Unlock,
    alone: bool = False,
    whole: bool = False,
) -> Repository:
    """Return another repository than that of the settings, open; a context manager. *alone*: locked
    exclusively; *whole*: its store listed, whatever its log says. The audit log is its own, unless
    that of the settings is open too."""
    from pgsnap.repository.repository import Repository

    repo = Repository.open(
        place_at(invocation, address),
        lock_timeout_seconds=invocation.settings.lock_timeout,
        index_folder=cache_folder(),
        alone=alone,
        whole=whole,
        trust=invocation.trust,
        unlock=unlock,
    )
    invocation.unlocked[str(address)] = repo.unlocked
    if invocation.opened is None:
        invocation.opened = address
    warn_of_others(invocation.console, repo)
    return repo


@contextlib.contextmanager
def open_to_read(invocation: Invocation, revision: str) -> Iterator[tuple[Repository, SnapshotId]]:
    """Yield the repository of the settings, open, and the snapshot of it that *revision* names; of
    REMOTE/NAME that is not in it, the remote and its snapshot. Raises RevisionError."""
    from pgsnap.workflows.sync.remote_names import NotHere

    with contextlib.ExitStack() as stack:
        try:
            with contextlib.ExitStack() as here:
                repo = here.enter_context(open_repository(invocation))
                snapshot = resolve(invocation, repo, revision)
                stack.push(here.pop_all())
        except NotHere as missing:
            name, table = remote_of(invocation, missing.remote)
            repo = stack.enter_context(open_remote(invocation, name, table))
            snapshot = resolve(invocation, repo, missing.there)
            invocation.console.tell(f"it is not in this repository, and so read from {name}")
        yield repo, snapshot


@dataclass(frozen=True, slots=True)
class RemoteSize:
    """How much space a remote takes; if it could not be asked, *error* is why."""

    name: str
    url: str
    footprint: Footprint | None
    error: str = ""


def remote_sizes(invocation: Invocation) -> list[RemoteSize]:
    """Return the size of each remote, by lists of its objects."""
    found = []
    for name, table in (invocation.settings.remotes or {}).items():
        try:
            with open_remote(invocation, name, table) as repo:
                found.append(RemoteSize(name, str(table.url), repo.place.footprint()))
        except SnapError as error:
            found.append(RemoteSize(name, str(table.url), None, error.message))
    return found


def open_chosen(
    invocation: Invocation, remote: str | None, *, alone: bool = False, whole: bool = False
) -> Repository:
    """Return the repository of a remote, or with None that of the settings, open; a context
    manager. *alone*: locked exclusively; *whole*: its store listed, whatever its log says."""
    if remote is None:
        return open_repository(invocation, alone=alone, whole=whole)
    return open_remote(invocation, *remote_of(invocation, remote), alone=alone, whole=whole)


def settings_for(invocation: Invocation, remote: str | None) -> Settings:
    """Return the settings that hold for a remote, with None those of the repository."""
    if remote is None:
        return invocation.settings
    _, table = remote_of(invocation, remote)
    # Without a policy of its own nothing is dropped there.
    return replace(invocation.settings, retention=table.retention or KEEP_ALL)
