"""`snap commit`: records a snapshot."""

from __future__ import annotations

from typing import Annotated

import typer

from pgsnap.cli.commands.options import AllowNewerClient, Bandwidth, option_of
from pgsnap.cli.config.snap_toml import KEYS
from pgsnap.cli.text.duration import parse_duration
from pgsnap.cli.wiring.around.committing import CommitChoices, commit_chosen
from pgsnap.cli.wiring.dump_sources import commit_source
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.places import limit_bandwidth
from pgsnap.errors import UsageError

EXAMPLES = """
snap commit -m "before the migration" --tag pre-migration
snap commit -m nightly --skip-unchanged --dsn service=shop
pg_dump shop | snap commit -m "from a pipe" --file - --database shop
snap commit -m "an old backup" --file backup.sql.gz --database shop
"""

Message = Annotated[
    str | None,
    typer.Option(
        "--message",
        "-m",
        metavar="TEXT",
        show_default=False,
        help="What this snapshot is. [default: its tags, if it has any]",
    ),
]
Tag = Annotated[
    list[str] | None, typer.Option("--tag", metavar="NAME", help="Tag it (repeatable).")
]
Force = Annotated[bool, typer.Option("--force", help="Move tags that exist already.")]
File = Annotated[
    str | None,
    typer.Option(
        "--file", metavar="FILE|-", help="Read a dump (.sql, .sql.gz, .sql.zst); - is stdin."
    ),
]
SkipUnchanged = Annotated[
    bool, typer.Option("--skip-unchanged", help="Make no new snapshot if nothing changed.")
]
ExcludeTableData = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude-table-data",
        metavar="PATTERN",
        help="Leave out the rows of these tables, not the tables (repeatable).",
    ),
]
Schema = Annotated[
    list[str] | None,
    typer.Option("--schema", metavar="PATTERN", help="Only these schemas (repeatable)."),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        min=1,
        help="How many connections read rows. [default: 2, or 1 on one core]",
    ),
]
Full = Annotated[
    bool,
    typer.Option("--full", help="Read everything, also what did not change, and compare."),
]
Acknowledge = Annotated[
    bool,
    typer.Option(
        "--acknowledge",
        help="With --full: rely on change detection again, though it missed a change.",
    ),
]
LockWaitTimeout = Annotated[str | None, option_of(KEYS["lock_wait_timeout"])]


def run(
    ctx: typer.Context,
    message: Message = None,
    tag: Tag = None,
    force: Force = False,
    file: File = None,
    skip_unchanged: SkipUnchanged = False,
    exclude_table_data: ExcludeTableData = None,
    schema: Schema = None,
    jobs: Jobs = None,
    full: Full = False,
    acknowledge: Acknowledge = False,
    lock_wait_timeout: LockWaitTimeout = None,
    allow_newer_client: AllowNewerClient = False,
    bandwidth: Bandwidth = None,
) -> None:
    """Record the whole database as a snapshot.

    Nothing is recorded unless the dump is whole. An unchanged database adds next to nothing.
    """
    invocation = Invocation.of(ctx)
    message = _message(message, tag or [])
    if acknowledge and not full:
        raise UsageError(
            "--acknowledge needs --full", hint="Run: snap commit --full --acknowledge -m TEXT"
        )
    waits = invocation.settings.lock_wait_timeout
    if lock_wait_timeout is not None:
        waits = parse_duration(lock_wait_timeout, "--lock-wait-timeout")
    _limit(invocation, bandwidth)
    choices = CommitChoices(
        message, tuple(tag or ()), force, skip_unchanged, full=full, acknowledge=acknowledge
    )
    commit_chosen(
        invocation,
        choices,
        lambda: commit_source(
            invocation,
            file,
            lock_wait_timeout=waits,
            allow_newer_client=allow_newer_client or invocation.settings.allow_newer_client,
            exclude_table_data=tuple(exclude_table_data or ()),
            only_schemas=tuple(schema or ()),
            jobs=jobs,
        ),
    )


def _message(given: str | None, tags: list[str]) -> str:
    """Return the message; tags may speak for themselves."""
    if given is None and tags:
        return ", ".join(tags)
    if given is None:
        raise UsageError(
            "a snapshot needs a message, or a tag",
            hint='Write one: snap commit -m "before the migration", or: snap commit --tag NAME',
        )
    if not given.strip():
        raise UsageError("the message is empty", hint='Write it: snap commit -m "why"')
    return given


def _limit(invocation: Invocation, bandwidth: str | None) -> None:
    remotes = invocation.settings.remotes or {}
    urls = [remotes[one].url for one in invocation.settings.push if one in remotes]
    limit_bandwidth(invocation, bandwidth, invocation.settings.repository, *urls)
