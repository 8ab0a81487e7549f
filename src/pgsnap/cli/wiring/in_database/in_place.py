"""A restore of what differs, or the undo of one, from showing its plan to printing its result."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from typing import TYPE_CHECKING, Any

from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.stopping import ServicesAside, check_protected
from pgsnap.cli.wiring.untouched import untouched
from pgsnap.errors import UsageError
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgsnap.model import SnapshotId
    from pgsnap.progress import Progress
    from pgsnap.repository.repository import Repository
    from pgsnap.sessions.server import Server
    from pgsnap.workflows.restore.plan import RestorePlan
    from pgsnap.workflows.restore_changed.plan import ChangedPlan
    from pgsnap.workflows.restore_changed.spliced_rows import SplicedRows
    from pgsnap.workflows.restore_tables.plan import TablesPlan
    from pgsnap.workflows.restore_tables.rows_plan import RowsPlan

_JOBS_MAX = 2


@dataclass(frozen=True, slots=True)
class InPlace:
    """The user's choices. *begin* is called once the user has agreed. *prove*: everything is read
    and compared afterwards."""

    invocation: Invocation
    server: Server
    services: ServicesAside
    verb: str
    yes: bool
    i_know: bool
    prove: bool = False
    allow_newer_client: bool = False
    from_server: str | None = None
    dry_run: bool = False
    begin: Callable[[], None] = lambda: None
    undoes: Sequence[tuple[str, str]] = ()
    """If this is an undo: what the plan says of what it undoes."""
    more: dict[str, Any] = field(default_factory=dict)
    """Further --json fields."""

    def run(self, repo: Repository, snapshot_id: SnapshotId) -> None:
        """Put back what differs from a snapshot."""
        from pgsnap.cli.views.in_database.in_place import (
            changed_fields,
            changed_lines,
            changed_plan_lines,
        )
        from pgsnap.workflows.restore_changed.plan import ChangedOptions, plan_changed
        from pgsnap.workflows.restore_changed.restore import restore_changed
        from pgsnap.workflows.restore_changed.spliced_rows import SplicedRows

        invocation = self.invocation
        options = ChangedOptions(self.allow_newer_client, self.from_server)
        rows = SplicedRows(repo, snapshot_id)
        with invocation.console.progress() as progress:
            plan = plan_changed(
                repo,
                snapshot_id,
                self.server,
                options,
                lambda database, label: self._recording(
                    repo, database, label, progress, watch=rows
                )(),
                rows,
            )
        lines = changed_plan_lines(
            plan,
            repo.snapshot(snapshot_id),
            services=self.services.names,
            now=invocation.now,
            undoes=self.undoes,
        )
        if self.dry_run:
            plan.check()
            emit_plan(invocation, plan, lines, replaces=bool(plan.tables or plan.sequences))
            return
        invocation.console.propose(lines, plan.warnings)
        plan.check()
        check_protected(invocation, plan.database, i_know=self.i_know)
        if not self.yes:
            question = f"Change {plan.database}? Type its name to go on:"
            invocation.console.confirm(question, word=plan.database)
        self.begin()
        with self._guarded(plan.database), invocation.console.progress() as progress:
            report = restore_changed(
                repo,
                plan,
                self.server,
                safety=self._safety(repo, plan, progress),
                verb=self.verb,
                proof=self._proof(repo, plan, progress) if self.prove else None,
                aside=self.services.aside,
                progress=progress,
            )
        fields = {**changed_fields(report), **self.more, "warnings": plan.warnings}
        fields["services"] = self.services.fields()
        invocation.console.emit(fields, changed_lines(report))

    def _guarded(self, database: str) -> AbstractContextManager[None]:
        # While the result is compared, it is changed already.
        return nullcontext() if self.prove else untouched(database, is_there=True)

    def _safety(
        self, repo: Repository, plan: ChangedPlan, progress: Progress
    ) -> Callable[[], SnapshotId]:
        return self._recording(repo, plan.database, plan.label, progress)

    def _proof(
        self, repo: Repository, plan: ChangedPlan, progress: Progress
    ) -> Callable[[], SnapshotId]:
        return self._recording(
            repo, plan.database, plan.label, progress, is_proof=True, is_full=True
        )

    def _recording(
        self,
        repo: Repository,
        database: str,
        label: str,
        progress: Progress,
        *,
        is_proof: bool = False,
        is_full: bool = False,
        watch: SplicedRows | None = None,
    ) -> Callable[[], SnapshotId]:
        from pgsnap.workflows.commit.safety_snapshot import safety_commit

        settings = self.invocation.settings
        return safety_commit(
            repo,
            self.server,
            label=label,
            database=database,
            verb=self.verb,
            lock_wait_timeout_seconds=settings.lock_wait_timeout,
            allow_newer_client=self.allow_newer_client,
            jobs=min(_JOBS_MAX, os.cpu_count() or 1),
            may_checkpoint=settings.checkpoint,
            is_proof=is_proof,
            is_full=is_full,
            watch=watch,
            progress=progress,
        )


def emit_plan(
    invocation: Invocation,
    plan: RestorePlan | TablesPlan | RowsPlan | ChangedPlan,
    lines: Sequence[str],
    *,
    replaces: bool,
) -> None:
    """Print a plan as the result of a dry run."""
    found = [line.strip() for line in lines if line]
    fields = {
        "dry_run": True,
        "snapshot": plan.snapshot_id,
        "database": plan.database,
        "replaces": replaces,
        "plan": found[1:],
        "warnings": plan.warnings,
    }
    invocation.console.emit(fields, list(lines[:-1]))


def check_changed_only(given: dict[str, bool], *, prove: bool, changed_only: bool) -> None:
    """Raise UsageError for options that mean nothing to a restore of what differs; *given* says of
    each of them whether it was given."""
    if prove and not changed_only:
        raise UsageError(
            "--prove is about a restore of what differs",
            hint="A restore of the whole is checked anyway; or: snap restore REV --changed-only"
            " --prove",
        )
    odd = [name for name, is_given in given.items() if is_given]
    if changed_only and odd:
        raise UsageError(
            f"{odd[0]} has no use with --changed-only",
            detail="That changes rows of the live database in place; what is there is always"
            " recorded before.",
            hint=f"Leave one of the two out: --changed-only or {odd[0]}.",
        )
