"""A commit from its hooks to its result, for `snap commit` and `snap run`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from pgsnap.cli.console import steps
from pgsnap.cli.views.commit import (
    check_nothing_missed,
    commit_fields,
    commit_lines,
    warn_of_commit,
)
from pgsnap.cli.wiring.around.rights import warn_of_missing_rights
from pgsnap.cli.wiring.connect import open_repository, server_of
from pgsnap.cli.wiring.dump_sources import warn_of_dump
from pgsnap.cli.wiring.hooks import hooks
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.pushing import push_after_commit
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.model import SnapshotId
    from pgsnap.sources.base import Source
    from pgsnap.workflows.commit.former import Policy


@dataclass(frozen=True, slots=True)
class CommitChoices:
    """The user's choices, other than what is read."""

    message: str
    tags: tuple[str, ...] = ()
    force: bool = False
    skip_unchanged: bool = False
    full: bool = False
    acknowledge: bool = False


def commit_chosen(
    invocation: Invocation, choices: CommitChoices, find: Callable[[], tuple[Source, str]]
) -> SnapshotId:
    """Commit what *find* returns, a source and a label, once the repository is open; return the
    snapshot."""
    from pgsnap.sources.postgres import PostgresSource
    from pgsnap.workflows.commit.commit import commit
    from pgsnap.workflows.notes.bases import put_back_last
    from pgsnap.workflows.notes.verdicts import last_drill

    with hooks(invocation, "commit", message=choices.message, tags=list(choices.tags)):
        with open_repository(invocation) as repo:
            source, database = find()
            is_live = isinstance(source, PostgresSource)
            server = server_of(invocation.settings)
            with invocation.console.progress(steps.COMMIT) as progress:
                report = commit(
                    repo,
                    source,
                    database=database,
                    message=choices.message,
                    tags=choices.tags,
                    force_tags=choices.force,
                    skip_unchanged=choices.skip_unchanged,
                    stems_from=put_back_last(repo, server, database) if is_live else None,
                    policy=_policy(invocation, choices),
                    progress=progress,
                )
            last = last_drill(repo, frozenset(repo.newest(database)))
            is_first = len(repo.newest(database, 2)) == 1
            pushed = push_after_commit(invocation, repo)
        warn_of_dump(invocation.console, source)
        warn_of_commit(invocation, report, database, last)
        if is_live:
            warn_of_missing_rights(invocation, database, is_first=is_first)
        check_nothing_missed(report)
        invocation.console.emit({**commit_fields(report), "pushed": pushed}, commit_lines(report))
    return report.snapshot_id


def _policy(invocation: Invocation, choices: CommitChoices) -> Policy:
    """Return how much has to be read."""
    from pgsnap.workflows.commit.former import Policy

    every = timedelta(seconds=invocation.settings.full_every)
    return Policy(is_full=choices.full, full_every=every, acknowledges=choices.acknowledge)
