"""The undo of what was changed in the live database itself: single tables, or what differed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pgsnap.cli.console import steps
from pgsnap.cli.wiring.dump_sources import jobs_of
from pgsnap.cli.wiring.in_database.in_place import InPlace
from pgsnap.cli.wiring.in_database.rows_back import RowsBack
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.stopping import ServicesAside, check_protected
from pgsnap.cli.wiring.untouched import untouched
from pgsnap.errors import ConnectionFailed
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.model import SnapshotId
    from pgsnap.repository.repository import Repository
    from pgsnap.sessions.server import Server
    from pgsnap.workflows.notes.tables_put_back import TablesPutBack
    from pgsnap.workflows.restore_tables.plan import TablesPlan
    from pgsnap.workflows.restore_tables.rows_plan import RowsPlan
    from pgsnap.workflows.undo.last import Last


@dataclass(frozen=True, slots=True)
class Undoing:
    """The user's choices."""

    invocation: Invocation
    server: Server
    services: ServicesAside
    yes: bool
    i_know: bool
    allow_newer_client: bool
    with_safety: bool

    def run(self, repo: Repository, last: Last, label: str) -> None:
        """Undo what was *last* done in the live database. Raises TargetRefused if that cannot be
        undone."""
        from pgsnap.cli.views.in_database.in_place import undoes_facts, undoes_fields
        from pgsnap.workflows.notes.tables_put_back import TablesPutBack
        from pgsnap.workflows.undo.last import check_undoable

        assert last.done is not None, "there is something to undo"
        safety = check_undoable(repo, last, label)
        facts, fields = undoes_facts(last, self.invocation.now), undoes_fields(last.done)
        try:
            if isinstance(last.done, TablesPutBack) and last.done.keys:
                self._single_rows(repo, safety, last.done, facts, fields)
            elif isinstance(last.done, TablesPutBack):
                self._tables(repo, safety, last.done, facts, fields)
            else:
                self._changed(repo, safety, facts, fields)
        except ConnectionFailed as error:
            if last.kept is not None:
                way = "Back to the database that was replaced before: snap undo --whole"
                error.hint = f"{error.hint} {way} --no-safety-snapshot".strip()
            raise
        self.services.outcome.check()

    def _changed(
        self,
        repo: Repository,
        safety: SnapshotId,
        facts: Sequence[tuple[str, str]],
        fields: dict[str, Any],
    ) -> None:
        """What is there is recorded in any case: there is no other way back."""
        InPlace(
            self.invocation,
            self.server,
            self.services,
            "undo",
            yes=self.yes,
            i_know=self.i_know,
            allow_newer_client=self.allow_newer_client,
            undoes=facts,
            more=fields,
        ).run(repo, safety)

    def _single_rows(
        self,
        repo: Repository,
        safety: SnapshotId,
        done: TablesPutBack,
        facts: Sequence[tuple[str, str]],
        fields: dict[str, Any],
    ) -> None:
        """Put the rows with these keys back, and delete those that were not there."""
        from pgsnap.workflows.restore_rows.model import RowsBackOptions

        RowsBack(
            self.invocation,
            self.server,
            self.services,
            "undo",
            yes=self.yes,
            i_know=self.i_know,
            with_safety=self.with_safety,
            allow_newer_client=self.allow_newer_client,
            undoes=facts,
            more=fields,
        ).run(repo, safety, RowsBackOptions(done.tables[0], None, keys=done.keys, delete=True))

    def _tables(
        self,
        repo: Repository,
        safety: SnapshotId,
        done: TablesPutBack,
        facts: Sequence[tuple[str, str]],
        fields: dict[str, Any],
    ) -> None:
        from pgsnap.cli.views.in_database.in_place import rows_fields, rows_lines, rows_plan_lines
        from pgsnap.cli.views.tables import tables_fields, tables_lines, tables_plan_lines
        from pgsnap.workflows.restore_tables.chosen import TableOptions
        from pgsnap.workflows.restore_tables.plan import plan_tables
        from pgsnap.workflows.restore_tables.restore import restore_tables
        from pgsnap.workflows.restore_tables.restore_rows import restore_rows
        from pgsnap.workflows.restore_tables.rows_plan import RowsOptions, plan_rows

        newer, now = self.allow_newer_client, self.invocation.now
        if done.rows_only:
            rows = plan_rows(repo, safety, self.server, RowsOptions(done.replaced, newer))
            self._agree(repo, rows, rows_plan_lines, facts)
            of_rows = self._carry_out(repo, rows, restore_rows)
            found, lines = rows_fields(of_rows), rows_lines(of_rows)
        else:
            options = TableOptions(
                done.replaced,
                safety.hex()[:8],
                replace=True,
                check_keys=True,
                allow_newer_client=newer,
            )
            plan = plan_tables(repo, safety, self.server, options, now)
            self._agree(repo, plan, tables_plan_lines, facts)
            report = self._carry_out(repo, plan, restore_tables)
            found, lines = tables_fields(report), tables_lines(report)
        warnings = {"warnings": (rows if done.rows_only else plan).warnings}
        services = {"services": self.services.fields()}
        self.invocation.console.emit({**found, **fields, **warnings, **services}, lines)

    def _agree(
        self,
        repo: Repository,
        plan: TablesPlan | RowsPlan,
        lines_of: Callable[..., list[str]],
        facts: Sequence[tuple[str, str]],
    ) -> None:
        lines = lines_of(
            plan,
            repo.snapshot(plan.snapshot_id),
            with_safety=self.with_safety,
            services=self.services.names,
            now=self.invocation.now,
            undoes=facts,
        )
        self.invocation.console.propose(lines, plan.warnings)
        plan.check()
        check_protected(self.invocation, plan.database, i_know=self.i_know)
        if not self.yes:
            self.invocation.console.confirm(f"Change {plan.database}?")

    def _carry_out(
        self, repo: Repository, plan: TablesPlan | RowsPlan, restore: Callable[..., Any]
    ) -> Any:
        from pgsnap.workflows.commit.safety_snapshot import safety_commit

        with (
            untouched(plan.database, is_there=True),
            self.invocation.console.progress(steps.TABLES) as progress,
        ):
            record = safety_commit(
                repo,
                self.server,
                label=plan.label,
                database=plan.database,
                verb="undo",
                lock_wait_timeout_seconds=self.invocation.settings.lock_wait_timeout,
                allow_newer_client=self.allow_newer_client,
                jobs=jobs_of(self.invocation.settings),
                may_checkpoint=self.invocation.settings.checkpoint,
                progress=progress,
            )
            return restore(
                repo,
                plan,
                self.server,
                safety=record if self.with_safety else None,
                verb="undo",
                aside=self.services.aside,
                progress=progress,
            )
