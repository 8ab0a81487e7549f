"""Warm copies: made by `snap restore REV --warm`, which each restore starts in the background.

Nobody sees how such a run ends. So it leaves a record beside snap.toml, and the next restore, check
and doctor say if it failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pgsnap.cli.wiring.connect import open_repository, resolve, server_of
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import SnapError, StoreError, TargetRefused, UsageError

if TYPE_CHECKING:
    from pgsnap.cli.wiring.restoring import RestoreChoices
    from pgsnap.model import Finding, SnapshotId
    from pgsnap.schedulers.state import RunRecord, State

_PROGRAM = (sys.executable, "-P", "-m", "pgsnap.cli")
_JOB = "warm"
# Restores may follow each other faster than copies are made.
_WAIT_SECONDS = 600.0


def keep_copies(invocation: Invocation, choices: RestoreChoices, services: Sequence[str]) -> None:
    """Let there be as many warm copies of a snapshot as snap.toml says. Raises UsageError for
    choices, or *services* to stop, that have no meaning for a copy, TargetRefused if another
    process is making some for long."""
    from pgsnap.cli.views.restore import warm_fields, warm_lines
    from pgsnap.workflows.warming.keep import keep_warm

    revision, options = choices.revision, choices.options
    others = {
        "--to": options.to,
        "--table": choices.tables,
        "--changed-only": choices.changed_only,
        "--stop": services,
        "--read-only": options.read_only,
        "--discard-old": options.discard_old,
        "--trust-sql": options.trust_sql,
        "--as-superuser": options.as_superuser,
        "--no-owner": options.no_owner,
        "--no-acl": options.no_acl,
        "--any-order": options.any_order,
        "--load": options.load,
        "--mask": options.masks is not None,
    }
    given = [name for name, value in others.items() if value]
    if given:
        raise UsageError(
            f"{given[0]} is about a restore, and --warm replaces nothing",
            hint=f"Leave {given[0]} out: snap restore {revision} --warm",
        )
    server = server_of(invocation.settings)
    with _recorded(invocation), open_repository(invocation) as repo:
        snapshot_id = resolve(invocation, repo, revision, from_server=options.from_server)
        with invocation.console.progress() as progress:
            report = keep_warm(
                repo, snapshot_id, server, invocation.settings.warm, options, progress
            )
    invocation.console.emit(warm_fields(report), warm_lines(report))


def refill_later(invocation: Invocation, snapshot_id: SnapshotId) -> None:
    """Make the next warm copies of a snapshot in a process of its own, which nobody waits for; it
    drops those of other snapshots."""
    if not invocation.settings.warm:
        return
    given, environ = invocation.given, dict(os.environ)
    if given.dsn is not None:
        # Its password would be in the list of processes until long after the answer.
        environ["DATABASE_URL"] = given.dsn
        given = replace(given, dsn=None)
    options = [
        (f"--{each.name.replace('_', '-')}", getattr(given, each.name)) for each in fields(given)
    ]
    words = [word for name, value in options if value is not None for word in (name, value)]
    subprocess.Popen(
        [*_PROGRAM, "restore", snapshot_id.hex(), "--warm", "--quiet", *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def missing_copies(invocation: Invocation) -> list[Finding]:
    """Return that the last run which was to make warm copies failed, if it did."""
    from pgsnap.model import Finding, Verdict
    from pgsnap.schedulers.state import State

    settings = invocation.settings
    if not settings.warm or settings.config_path is None:
        return []
    state = State(settings.config_path, invocation.trust)
    last = state.last_run(_JOB)
    if last is None or last.exit_code == 0 or state.is_running(_JOB):
        return []
    why = last.error or "it ended before it was done"
    text = f"the last run that was to make warm copies failed: {why}"
    return [Finding("warm", Verdict.WARNED, text, "Make them: snap restore REV --warm")]


def warn_of_missing_copies(invocation: Invocation) -> None:
    """Warn if the last run that was to make warm copies failed."""
    for found in missing_copies(invocation):
        invocation.console.warn(f"warning: {found.reason}; by hand: snap restore REV --warm")


@contextmanager
def _recorded(invocation: Invocation) -> Iterator[None]:
    """Record how the block ends; of several such runs at once only one is in its block."""
    from pgsnap.schedulers.state import RunBusy, RunRecord, State

    if invocation.settings.config_path is None:
        yield
        return
    state = State(invocation.settings.config_path, invocation.trust)
    begun = datetime.now(UTC)
    run = RunRecord(_JOB, begun.isoformat(), os.getpid())

    def end(code: int, error: str = "") -> None:
        now = datetime.now(UTC)
        seconds = (now - begun).total_seconds()
        _record(
            state,
            replace(run, finished=now.isoformat(), exit_code=code, seconds=seconds, error=error),
        )

    with ExitStack() as alone:
        try:
            # A folder that cannot be written to keeps nobody from restoring.
            with suppress(StoreError):
                alone.enter_context(state.alone(_JOB, wait_seconds=_WAIT_SECONDS))
        except RunBusy:
            raise TargetRefused(
                "another process is making warm copies", hint="Wait for it to end."
            ) from None
        _record(state, run)
        try:
            yield
        except SnapError as error:
            end(error.exit_code, error.message)
            raise
        end(0)


def _record(state: State, run: RunRecord) -> None:
    with suppress(StoreError):
        state.record(run)
