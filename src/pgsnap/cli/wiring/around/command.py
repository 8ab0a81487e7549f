"""The user's command with a snapshot before it: what it changed, and the way back."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.wiring.around.committing import CommitChoices, commit_chosen
from pgsnap.cli.wiring.connect import open_repository, server_of
from pgsnap.cli.wiring.dump_sources import commit_source, diff_source, warn_of_dump
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import Declined, Interrupted, RestoreError, SnapError
from pgsnap.runners.foreground import Ended, program_named, run_in_foreground
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgsnap.model import SnapshotId
    from pgsnap.sessions.base import Session
    from pgsnap.targets.checks.other_writers import Before
    from pgsnap.workflows.restore.target import RestoreOptions


class NotPutBack(RestoreError):
    """The command failed, and the restore after it did, too."""

    kind = "not-put-back"


@dataclass(frozen=True, slots=True)
class RunChoices:
    """The user's choices. *diff*: whether the differences are shown; None: after a failure, and
    after a success where somebody watches."""

    argv: tuple[str, ...]
    commit: CommitChoices
    diff: bool | None
    restore_on_failure: bool
    yes: bool
    i_know: bool
    services: tuple[str, ...]
    options: RestoreOptions


def run_chosen(invocation: Invocation, choices: RunChoices) -> int:
    """Commit, run the command, and see to what follows. Returns the exit code of the command.
    Raises SnapError, without having started it, if there is no commit; NotPutBack."""
    program_named(choices.argv[0])
    run = _Run(invocation, choices)
    run.prepare()
    with invocation.console.as_part():
        snapshot_id = commit_chosen(
            invocation,
            choices.commit,
            lambda: commit_source(
                invocation,
                None,
                lock_wait_timeout=invocation.settings.lock_wait_timeout,
                allow_newer_client=choices.options.allow_newer_client,
            ),
        )
        committed = invocation.console.result
    # For the audit log, whatever the command's end is.
    invocation.resolved.append(snapshot_id.hex())
    return run.carry_out(snapshot_id, committed)


class _Run:
    """One run of a command."""

    def __init__(self, invocation: Invocation, choices: RunChoices) -> None:
        self._invocation = invocation
        self._choices = choices
        self._console = invocation.console
        self._before: Before | None = None
        self._diff: dict[str, Any] | None = None
        self._restored: dict[str, Any] | None = None
        # Why the differences, or the restore that was asked for, are missing.
        self._failed: SnapError | None = None

    def prepare(self) -> None:
        """Look at what a restore without a question depends on. Raises TargetRefused."""
        from pgsnap.cli.wiring.stopping import check_protected

        if not self._choices.restore_on_failure:
            return
        server = server_of(self._invocation.settings)
        check_protected(self._invocation, server.endpoint.database, i_know=self._choices.i_know)
        if not self._choices.yes:
            self._before = self._state()

    def carry_out(self, snapshot_id: SnapshotId, committed: dict[str, Any]) -> int:
        self._note_writers_during_commit()
        self._console.terminal.flush()
        # With --json, standard output is for one object.
        stdout = sys.stderr.fileno() if self._console.json else None
        ended = run_in_foreground(self._choices.argv, stdout=stdout)
        code = ended.exit_code
        try:
            if code:
                self._after_failure(snapshot_id, ended)
            else:
                self._after_success(snapshot_id, ended)
        except Interrupted as error:
            # It is the command's end that counts, unless it was well.
            self._failed = error
            code = code or error.exit_code
            self._console.warn(error.message)
        except NotPutBack as error:
            self._failed = error
            self._emit(committed, ended)
            raise
        self._emit(committed, ended)
        return code

    # -- after the command ------------------------------------------------------------------------

    def _after_success(self, snapshot_id: SnapshotId, ended: Ended) -> None:
        short = render.short_id(snapshot_id)
        self._console.tell(f"the command succeeded after {render.seconds(ended.seconds)}")
        watched = self._console.terminal.stderr_is_terminal and not self._console.json
        wanted = self._choices.diff if self._choices.diff is not None else watched
        if wanted and not ended.asked_to_end:
            self._show_differences(snapshot_id)
        else:
            self._console.tell(f"what it changed: snap diff {short}")
        self._console.tell(f"back to before it: snap restore {short}")

    def _after_failure(self, snapshot_id: SnapshotId, ended: Ended) -> None:
        how = f"ended by {ended.signal}" if ended.signal else f"failed: exit code {ended.exit_code}"
        self._console.warn(f"the command {how}, after {render.seconds(ended.seconds)}")
        if self._choices.diff is not False and not ended.asked_to_end:
            try:
                self._show_differences(snapshot_id)
            except Interrupted as error:
                if not self._choices.restore_on_failure:
                    raise
                later = f"snap restore {render.short_id(snapshot_id)}"
                raise _not_put_back(error, ended, later) from None
        if self._choices.restore_on_failure:
            self._restore(snapshot_id, ended, yes=True)
        elif (
            self._console.terminal.stdin_is_terminal
            and not self._console.json
            and not ended.asked_to_end
        ):
            self._restore(snapshot_id, ended, yes=False)
        else:
            self._console.warn(f"back to before it: snap restore {render.short_id(snapshot_id)}")

    def _show_differences(self, snapshot_id: SnapshotId) -> None:
        """Show what differs; that it cannot be shown changes nothing else."""
        from pgsnap.cli.views import diff as diff_view
        from pgsnap.workflows.diff.diff import diff

        try:
            with self._stoppable(), open_repository(self._invocation) as repo:
                source, name = diff_source(
                    self._invocation,
                    None,
                    like=repo.snapshot(snapshot_id).origin,
                    allow_newer_client=self._choices.options.allow_newer_client,
                )
                with self._console.progress() as progress:
                    report = diff(repo, snapshot_id, source, progress=progress)
                warn_of_dump(self._console, source)
        except Interrupted:
            raise
        except SnapError as error:
            self._console.warn(f"warning: the differences are not known: {_words(error)}")
            return
        colour = self._console.terminal.stderr_colour
        self._diff = diff_view.diff_fields(report, name)
        with self._console.as_part():
            self._console.emit(self._diff, diff_view.diff_lines(report, name, colour=colour))

    def _restore(self, snapshot_id: SnapshotId, ended: Ended, *, yes: bool) -> None:
        """Put the database back, asking first unless *yes*. Raises NotPutBack, Interrupted."""
        from pgsnap.cli.wiring.restoring import RestoreChoices, restore_chosen

        choices = RestoreChoices(
            revision=snapshot_id.hex(),
            options=self._choices.options,
            tables=(),
            replace=False,
            cascade_check=False,
            data_only=False,
            yes=yes,
            i_know=self._choices.i_know,
        )
        later = f"snap restore {render.short_id(snapshot_id)}"
        try:
            with self._stoppable():
                if yes:
                    self._check_writers()
                with self._console.as_part():
                    restore_chosen(self._invocation, choices, self._choices.services)
                    self._restored = self._console.result
        except Declined:
            self._console.warn(f"not restored; the way back stays open: {later}")
        except Interrupted as error:
            if yes:
                raise _not_put_back(error, ended, later) from None
            raise
        except SnapError as error:
            raise _not_put_back(error, ended, later) from error

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Let a signal within the block be an error of it."""
        try:
            yield
        except KeyboardInterrupt as stop:
            raise Interrupted(str(stop) or "interrupted") from None

    # -- others who write -------------------------------------------------------------------------

    def _state(self) -> Before:
        from pgsnap.targets.checks.other_writers import state_before

        with self._session() as (session, database):
            return state_before(session, database)

    @contextmanager
    def _session(self) -> Iterator[tuple[Session, str]]:
        """Yield a session beside the database, and the database's name."""
        server = server_of(self._invocation.settings)
        with server.connect(server.maintenance_database()) as session:
            yield session, server.endpoint.database

    def _note_writers_during_commit(self) -> None:
        """Look at the database once more, now that the commit is done."""
        from pgsnap.targets.checks.other_writers import later

        if self._before is not None:
            self._before = later(self._before, self._state())

    def _check_writers(self) -> None:
        """Raise RestoreError if others may have written since the commit."""
        from pgsnap.targets.checks.other_writers import what_hides_sessions, writers_since

        if self._before is None:
            return
        with self._session() as (session, database):
            found = writers_since(session, self._before)
            grant = what_hides_sessions(session) if found else ""
        if not found:
            return
        hint = "If what they wrote may go too, restore."
        if grant:
            hint += f" So that idle sessions of other roles are seen to be idle: {grant}"
        raise RestoreError(
            f"others may have written to {database} since the commit",
            detail=" ".join(found),
            hint=hint,
        )

    # -- the result -------------------------------------------------------------------------------

    def _emit(self, committed: dict[str, Any], ended: Ended) -> None:
        restored = self._restored
        fields = {
            "id": committed["id"],
            "database": committed["database"],
            "exit_code": ended.exit_code,
            "signal": ended.signal or None,
            "seconds": round(ended.seconds, 3),
            "commit": _without_notices(committed),
            "diff": self._diff,
            "restore": _without_notices(restored) if restored is not None else None,
            "error": self._failed.message if self._failed is not None else None,
        }
        self._console.emit(fields, [])


def _not_put_back(error: SnapError, ended: Ended, later: str) -> NotPutBack:
    command = f"ended by {ended.signal}" if ended.signal else f"exit code {ended.exit_code}"
    return NotPutBack(
        f"the command failed ({command}), and the database was not put back: {error.message}",
        detail=error.detail,
        hint=f"{error.hint} The way back: {later}".strip(),
    )


def _words(error: SnapError) -> str:
    return f"{error.message}. {error.detail}".strip() if error.detail else error.message


def _without_notices(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "notices"}
