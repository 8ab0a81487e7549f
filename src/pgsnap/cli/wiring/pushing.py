"""Pushes, by command or after a commit, and the record of the last one to each remote."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from pgsnap.cli.config.remotes import RemoteTable
from pgsnap.cli.console.steps import TRANSFER
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.remotes import open_remote, remote_of
from pgsnap.errors import SnapError
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.progress import Progress
    from pgsnap.repository.repository import Repository
    from pgsnap.stores.counting import Counts
    from pgsnap.workflows.sync.transfer import TransferReport


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a push did; when the *newest* snapshot there of each label was begun; and what was asked
    of the store, None if nobody charges for that."""

    report: TransferReport
    newest: Mapping[str, datetime]
    counts: Counts | None


def push_to(
    invocation: Invocation,
    repo: Repository,
    name: str,
    remote: RemoteTable,
    *,
    all_tags: bool = False,
    force_tags: bool = False,
    dry_run: bool = False,
    progress: Progress,
) -> Pushed:
    """Send a remote what it lacks of *repo*."""
    from pgsnap.workflows.sync.records import newest_times
    from pgsnap.workflows.sync.transfer import transfer

    with open_remote(invocation, name, remote) as other:
        report = transfer(
            repo,
            other,
            database=invocation.given.database,
            all_tags=all_tags,
            force_tags=force_tags,
            dry_run=dry_run,
            progress=progress,
        )
        return Pushed(report, newest_times(other, invocation.now), other.place.counts())


def push_after_commit(invocation: Invocation, repo: Repository) -> dict[str, str | None]:
    """Push to the remotes that commits are pushed to. A failure is a warning: the snapshot is made,
    and the next push sends it. Returns the error of each remote, None if there was none."""
    console = invocation.console
    errors: dict[str, str | None] = {}
    for name in dict.fromkeys(invocation.settings.push):
        failed: SnapError | None = None
        pushed: Pushed | None = None
        try:
            _, table = remote_of(invocation, name)
            with console.progress(TRANSFER) as progress:
                pushed = push_to(invocation, repo, name, table, progress=progress)
            warn_of_refused(invocation, name, pushed)
        except SnapError as error:
            failed = error
            console.warn(
                f"warning: the snapshot is made, but the push to {name} failed: {error.message}."
                f" The next one sends it too: snap push {name}"
            )
        errors[name] = failed.message if failed is not None else None
        record_push(invocation, name, failed, pushed)
    return errors


def warn_of_refused(invocation: Invocation, name: str, pushed: Pushed) -> None:
    """Warn of tags that name another snapshot in a remote."""
    for one in pushed.report.divergent:
        invocation.console.warn(
            f'warning: tag "{one.tag.name}" of database "{one.tag.database}" names another snapshot'
            f" in {name}: give it another name here, or: snap push {name} --all-tags --force"
        )


def record_push(
    invocation: Invocation,
    name: str,
    failed: SnapError | None,
    pushed: Pushed | None = None,
) -> None:
    """Record how a push ended, for `snap check`. A record that cannot be written is a warning."""
    from pgsnap.schedulers.state import State
    from pgsnap.workflows.sync import records

    path = invocation.settings.config_path
    # Remotes are nowhere else.
    assert path is not None
    try:
        newest = pushed.newest if pushed is not None else None
        refused = [one.tag for one in pushed.report.divergent] if pushed is not None else None
        state = State(path, invocation.trust)
        records.record_push(state, name, failed, invocation.now, newest, refused)
    except SnapError as error:
        invocation.console.warn(f"warning: the push was not recorded: {error.message}")
