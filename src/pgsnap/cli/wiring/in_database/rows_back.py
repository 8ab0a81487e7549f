"""A restore of single rows, or the undo of one, from showing its plan to printing its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from pgsnap.cli.console import steps
from pgsnap.cli.wiring.dump_sources import jobs_of
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.stopping import ServicesAside, check_protected
from pgsnap.cli.wiring.untouched import untouched
from pgsnap.errors import UsageError
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgsnap.model import SnapshotId
    from pgsnap.repository.repository import Repository
    from pgsnap.sessions.server import Server
    from pgsnap.workflows.restore_rows.model import Prepared, RowsBackOptions


@dataclass(frozen=True, slots=True)
class WhichRows:
    """The rows that the user names: by a *condition*, or by *keys* as typed."""

    condition: str | None = None
    keys: tuple[str, ...] = ()
    delete: bool = False

    @property
    def are_named(self) -> bool:
        return self.condition is not None or bool(self.keys)

    def check(self, tables: Sequence[str], others: dict[str, bool]) -> None:
        """Raise UsageError unless rows of one table are named; *others* says of each option that
        means something else whether it was given."""
        if self.condition is not None and self.keys:
            raise UsageError(
                "--rows and --row both choose rows",
                hint='Leave one of the two out; --rows "id in (1, 2)" takes several keys, too.',
            )
        if not self.are_named:
            if self.delete:
                raise UsageError(
                    "--delete is about single rows",
                    hint='Name them: snap restore REV --table SCHEMA.TABLE --rows "id in (1, 2)"'
                    " --delete",
                )
            return
        if len(tables) != 1:
            raise UsageError(
                "--rows and --row are about the rows of one table",
                hint="Name it, and no other: snap restore REV --table SCHEMA.TABLE --row KEY",
            )
        if odd := [name for name, is_given in others.items() if is_given]:
            raise UsageError(
                f"{odd[0]} has no use with --rows and --row",
                detail="They put rows back into the live table, which stays.",
                hint=f"Leave one of the two out: {odd[0]}, or the choice of rows.",
            )


@dataclass(frozen=True, slots=True)
class RowsBack:
    """The user's choices. *begin* is called once the user has agreed."""

    invocation: Invocation
    server: Server
    services: ServicesAside
    verb: str
    yes: bool
    i_know: bool
    with_safety: bool
    dry_run: bool = False
    allow_newer_client: bool = False
    begin: Callable[[], None] = lambda: None
    undoes: Sequence[tuple[str, str]] = ()
    """If this is an undo: what the plan says of what it undoes."""
    more: dict[str, Any] = field(default_factory=dict)
    """Further --json fields."""

    def run(self, repo: Repository, snapshot_id: SnapshotId, options: RowsBackOptions) -> None:
        """Put rows back."""
        from contextlib import ExitStack

        from pgsnap.cli.views.in_database.rows_back import (
            rows_back_fields,
            rows_back_lines,
            rows_back_plan_lines,
        )
        from pgsnap.workflows.restore_rows.plan import planned_rows

        console = self.invocation.console
        with ExitStack() as planned:
            with console.progress() as progress:
                prepared = planned.enter_context(
                    planned_rows(repo, snapshot_id, self.server, options, progress=progress)
                )
            plan = prepared.plan
            lines = rows_back_plan_lines(
                plan,
                repo.snapshot(snapshot_id),
                with_safety=self.with_safety,
                services=self.services.names,
                now=self.invocation.now,
                undoes=self.undoes,
            )
            fields = {**rows_back_fields(plan), **self.more, "dry_run": self.dry_run}
            fields |= {"warnings": plan.warnings, "safety_snapshot": None, "seconds": 0.0}
            if not self.dry_run:
                console.propose(lines, plan.warnings)
            plan.check()
            if self.dry_run:
                console.emit({**fields, "services": self.services.fields()}, lines[:-1])
                return
            check_protected(self.invocation, plan.database, i_know=self.i_know)
            if plan.changes and not self.yes:
                console.confirm(f"Change {plan.database}?")
            report = self._carry_out(repo, prepared)
        fields |= {"safety_snapshot": report.safety, "seconds": report.seconds}
        console.emit({**fields, "services": self.services.fields()}, rows_back_lines(report))

    def _carry_out(self, repo: Repository, prepared: Prepared) -> Any:
        from pgsnap.workflows.commit.safety_snapshot import safety_commit
        from pgsnap.workflows.restore_rows.write import put_rows_back

        plan = prepared.plan
        if plan.changes:
            self.begin()
        with (
            untouched(plan.database, is_there=True),
            self.invocation.console.progress(
                steps.TABLES if self.with_safety else steps.without_safety(steps.TABLES)
            ) as progress,
        ):
            safety = safety_commit(
                repo,
                self.server,
                label=plan.label,
                database=plan.database,
                verb=self.verb,
                lock_wait_timeout_seconds=self.invocation.settings.lock_wait_timeout,
                allow_newer_client=self.allow_newer_client,
                jobs=jobs_of(self.invocation.settings),
                may_checkpoint=self.invocation.settings.checkpoint,
                progress=progress,
            )
            return put_rows_back(
                repo,
                prepared,
                self.server,
                safety=safety if self.with_safety else None,
                verb=self.verb,
                aside=self.services.aside,
                progress=progress,
            )
