"""`snap commit`: records a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsnap.cli.commands.options import AllowNewerClient, option_of
from pgsnap.cli.config.snap_toml import KEYS
from pgsnap.cli.console.console import Console
from pgsnap.cli.text import render
from pgsnap.cli.text.duration import parse_duration
from pgsnap.cli.views.snapshot import snapshot_fields, summary_line
from pgsnap.cli.wiring.connect import open_repository
from pgsnap.cli.wiring.dump_sources import commit_source, warn_of_dump
from pgsnap.cli.wiring.hooks import hooks
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.pushing import push_after_commit
from pgsnap.errors import UsageError

if TYPE_CHECKING:
    from pgsnap.workflows.commit.commit import CommitReport
    from pgsnap.workflows.notes.verdicts import Drilled

EXAMPLES = """
snap commit -m "before the migration" --tag pre-migration
snap commit -m nightly --skip-unchanged --dsn service=shop
pg_dump shop | snap commit -m "from a pipe" --file - --database shop
snap commit -m "an old backup" --file backup.sql.gz --database shop
"""

Message = Annotated[
    str, typer.Option("--message", "-m", metavar="TEXT", help="What this snapshot is.")
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
        help='How many connections read rows, with source = "direct". [default: 2, or 1 on one'
        " core]",
    ),
]
LockWaitTimeout = Annotated[str | None, option_of(KEYS["lock_wait_timeout"])]


def run(
    ctx: typer.Context,
    message: Message,
    tag: Tag = None,
    force: Force = False,
    file: File = None,
    skip_unchanged: SkipUnchanged = False,
    exclude_table_data: ExcludeTableData = None,
    schema: Schema = None,
    jobs: Jobs = None,
    lock_wait_timeout: LockWaitTimeout = None,
    allow_newer_client: AllowNewerClient = False,
) -> None:
    """Record the whole database as a snapshot.

    Nothing is recorded unless the dump is whole. An unchanged database adds next to nothing.
    """
    from pgsnap.workflows.commit.commit import commit
    from pgsnap.workflows.notes.verdicts import last_drill

    invocation = Invocation.of(ctx)
    if not message.strip():
        raise UsageError("the message is empty", hint='Write it: snap commit -m "why"')
    waits = invocation.settings.lock_wait_timeout
    if lock_wait_timeout is not None:
        waits = parse_duration(lock_wait_timeout, "--lock-wait-timeout")
    with hooks(invocation, "commit", message=message, tags=list(tag or ())):
        with open_repository(invocation) as repo:
            source, database = commit_source(
                invocation,
                file,
                lock_wait_timeout=waits,
                allow_newer_client=allow_newer_client or invocation.settings.allow_newer_client,
                exclude_table_data=tuple(exclude_table_data or ()),
                only_schemas=tuple(schema or ()),
                jobs=jobs,
            )
            with invocation.console.progress() as progress:
                report = commit(
                    repo,
                    source,
                    database=database,
                    message=message,
                    tags=tag or (),
                    force_tags=force,
                    skip_unchanged=skip_unchanged,
                    progress=progress,
                )
            last = last_drill(repo, frozenset(repo.newest(database)))
            pushed = push_after_commit(invocation, repo)
        warn_of_dump(invocation.console, source)
        _warn_of_contents(invocation.console, report)
        _tell_of_chain(invocation.console, report)
        _warn_of_drill(invocation, database, last)
        for refused in report.tags_refused:
            invocation.console.warn(
                f'warning: tag "{refused}" was set by another process meanwhile; move it with '
                f"`snap tag --force {refused} {render.short_id(report.snapshot_id)}`"
            )
        invocation.console.emit({**_fields(report), "pushed": pushed}, _lines(report))


def _warn_of_contents(console: Console, report: CommitReport) -> None:
    """Warn of data that the dump lacks."""
    from pgsnap.sources.extensions import left_behind
    from pgsnap.sources.parts import WITHOUT_RIGHTS, left_out

    origin = report.snapshot.origin
    if origin.part:
        console.warn(
            f"warning: the dump is of a part: it was made without {render.plain(left_out(origin))}"
        )
    if origin.lacks_rights:
        console.warn(f"warning: {WITHOUT_RIGHTS}")
    for words in left_behind(origin):
        console.warn(f"warning: {words}")


def _warn_of_drill(invocation: Invocation, database: str, last: Drilled | None) -> None:
    if last is not None and not last.passed:
        why = f": {render.plain(last.reason)}" if last.reason else ""
        invocation.console.warn(
            f"warning: the last drill of {render.plain(database)} failed"
            f" {render.ago(last.time, invocation.now)}{why}. What cannot be restored is no"
            " backup; when that is mended: snap drill"
        )


def _tell_of_chain(console: Console, report: CommitReport) -> None:
    """Report anything unusual about the snapshot's place among those of its label."""
    label = render.plain(report.snapshot.database)
    if report.recorded and report.other is not None:
        other, here = report.other.origin, report.snapshot.origin.system_identifier
        place = render.plain(other.host or "an unknown address")
        there = f"{label}@{other.system_identifier}"
        console.warn(
            f"warning: this is another server (system identifier {here}) than that of the newest"
            f" snapshot of {label} before ({other.system_identifier}, {place}). Each has a chain of"
            " its own: latest, parents, retention and check go by the server that is connected to."
            f" If the other one is gone for good: snap database adopt {there}. If both are in use,"
            " give them labels of their own: --database NAME"
        )
    if report.is_of_unknown_server:
        console.warn(
            f"warning: this server does not say which one it is, and {label} has snapshots of"
            " several: this one stands with those of the newest. Let the role call"
            " pg_control_system(), or give it a label of its own: --database NAME"
        )
    if report.ahead is not None:
        short = render.short_id(report.ahead)
        console.warn(
            f"warning: snapshot {short} is dated in the future: a clock was wrong. This one is"
            " dated by the clock as it is; `latest` means the newest that is not of the future. If"
            f" that snapshot is not needed: snap forget {short}"
        )


def _fields(report: CommitReport) -> dict[str, Any]:
    return {
        **snapshot_fields(report.snapshot_id, report.snapshot, report.tags),
        "new_bytes": report.stored_bytes,
        "recorded": report.recorded,
        "unchanged": report.unchanged,
        "globals_changed": report.globals_changed,
        "tags_refused": report.tags_refused,
        "system_identifier": report.snapshot.origin.system_identifier,
        "another_server": report.other.origin.system_identifier if report.other else None,
    }


def _lines(report: CommitReport) -> list[str]:
    lines = []
    if report.unchanged:
        words = "nothing changed"
        if report.globals_changed:
            words = "nothing changed in the database, roles or tablespaces did"
        lines.append(words if report.recorded else f"{words}, no new snapshot made")
    lines.append(summary_line(report.snapshot_id, report.snapshot))
    return lines
