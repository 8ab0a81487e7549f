"""A restore from the plan that is shown to the lines at its end, for each kind there is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.stopping import ServicesAside, check_protected

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgsnap.model import SnapshotId
    from pgsnap.progress import Progress
    from pgsnap.repository.repository import Repository
    from pgsnap.sessions.server import Server
    from pgsnap.targets.swap.read_only import ReadOnly
    from pgsnap.workflows.restore.plan import RestoreOptions, RestorePlan
    from pgsnap.workflows.restore_tables.plan import TableOptions


@dataclass(frozen=True, slots=True)
class Restoring:
    """One restore, whichever: what both kinds need. *begin* is called when the user has agreed: it
    runs the hook before, and lets the one after run at the end."""

    invocation: Invocation
    server: Server
    services: ServicesAside
    revision: str
    yes: bool
    i_know: bool
    with_safety: bool
    allow_newer_client: bool
    begin: Callable[[], None]

    def restore_all(
        self,
        repo: Repository,
        snapshot_id: SnapshotId,
        options: RestoreOptions,
        tables: list[str],
    ) -> None:
        from pgsnap.cli.views.restore import gone_fields, restore_fields, restore_lines
        from pgsnap.workflows.contents.table_names import check_tables_known, parse_tables
        from pgsnap.workflows.restore.plan import plan_restore
        from pgsnap.workflows.restore.restore import restore

        invocation = self.invocation
        if tables:
            options = replace(options, tables=parse_tables(tables))
            check_tables_known(repo, repo.snapshot(snapshot_id), snapshot_id, options.tables)
        plan = plan_restore(repo, snapshot_id, self.server, options)
        self._agree(repo, plan)
        self.begin()
        with invocation.progress() as progress:
            safety = self._safety(repo, plan.label, plan.database, progress, plan.read_only)
            report = restore(
                repo,
                plan,
                self.server,
                safety=safety if self.with_safety else None,
                aside=self.services.aside,
                progress=progress,
            )
        if not invocation.json:
            for warning in report.warnings:
                invocation.warn(f"warning: {warning}")
        fields = restore_fields(report)
        # With --json nobody saw the plan.
        fields["warnings"] = [*plan.warnings, *report.warnings]
        fields["not_in_snapshot"] = gone_fields(plan.gone)
        fields["services"] = self.services.fields()
        invocation.emit(fields, restore_lines(report))

    def table_options(
        self,
        repo: Repository,
        snapshot_id: SnapshotId,
        tables: list[str],
        *,
        replaces: bool,
        check_keys: bool,
    ) -> TableOptions:
        from pgsnap.workflows.contents.table_names import parse_tables
        from pgsnap.workflows.restore_tables.plan import TableOptions

        label = repo.snapshot(snapshot_id).database
        name = self.revision.removeprefix(f"{label}/")
        is_tag = not name.startswith("@") and "~" not in name
        tagged = repo.tags.get(label, name) if is_tag and name != "latest" else None
        word = name if tagged is not None else snapshot_id.hex()[:8]
        return TableOptions(
            parse_tables(tables), word, replaces, check_keys, self.allow_newer_client
        )

    def restore_tables(
        self, repo: Repository, snapshot_id: SnapshotId, options: TableOptions
    ) -> None:
        from pgsnap.cli.views.tables import tables_fields, tables_lines, tables_plan_lines
        from pgsnap.workflows.restore_tables.plan import plan_tables
        from pgsnap.workflows.restore_tables.restore import restore_tables

        invocation = self.invocation
        plan = plan_tables(repo, snapshot_id, self.server, options, invocation.now)
        lines = tables_plan_lines(
            plan,
            repo.snapshot(snapshot_id),
            with_safety=self.with_safety,
            services=self.services.names,
            now=invocation.now,
        )
        invocation.propose(lines, plan.warnings)
        plan.check()
        if plan.replaces:
            check_protected(invocation, plan.database, i_know=self.i_know)
        if not self.yes:
            invocation.confirm(f"Change {plan.database}?")
        self.begin()
        with invocation.progress() as progress:
            safety = self._safety(repo, plan.label, plan.database, progress)
            report = restore_tables(
                repo,
                plan,
                self.server,
                safety=safety if self.with_safety else None,
                aside=self.services.aside,
                progress=progress,
            )
        fields = {
            **tables_fields(report),
            "warnings": plan.warnings,
            "services": self.services.fields(),
        }
        invocation.emit(fields, tables_lines(report))

    def restore_rows(
        self,
        repo: Repository,
        snapshot_id: SnapshotId,
        tables: list[str],
        from_server: str | None,
    ) -> None:
        from pgsnap.cli.views.data_only import rows_fields, rows_lines, rows_plan_lines
        from pgsnap.workflows.contents.table_names import parse_tables
        from pgsnap.workflows.restore_tables.restore_rows import restore_rows
        from pgsnap.workflows.restore_tables.rows_plan import RowsOptions, plan_rows

        invocation = self.invocation
        options = RowsOptions(parse_tables(tables), self.allow_newer_client, from_server)
        plan = plan_rows(repo, snapshot_id, self.server, options)
        lines = rows_plan_lines(
            plan,
            repo.snapshot(snapshot_id),
            with_safety=self.with_safety,
            services=self.services.names,
            now=invocation.now,
        )
        invocation.propose(lines, plan.warnings)
        plan.check()
        check_protected(invocation, plan.database, i_know=self.i_know)
        if not self.yes:
            invocation.confirm(f"Change {plan.database}?")
        self.begin()
        with invocation.progress() as progress:
            safety = self._safety(repo, plan.label, plan.database, progress)
            report = restore_rows(
                repo,
                plan,
                self.server,
                safety=safety if self.with_safety else None,
                aside=self.services.aside,
                progress=progress,
            )
        fields = {
            **rows_fields(report),
            "warnings": plan.warnings,
            "services": self.services.fields(),
        }
        invocation.emit(fields, rows_lines(report))

    def _safety(
        self,
        repo: Repository,
        label: str,
        database: str,
        progress: Progress,
        read_only: ReadOnly | None = None,
    ) -> Callable[[], SnapshotId]:
        from pgsnap.workflows.commit.safety_snapshot import safety_commit

        settings = self.invocation.settings
        return safety_commit(
            repo,
            self.server,
            label=label,
            database=database,
            verb="restore",
            lock_wait_timeout_seconds=settings.lock_wait_timeout,
            allow_newer_client=self.allow_newer_client,
            read_only=read_only,
            progress=progress,
        )

    def _agree(self, repo: Repository, plan: RestorePlan) -> None:
        """Show the plan; go on only if nothing forbids it and the user agrees."""
        from pgsnap.cli.views.restore import restore_plan_lines
        from pgsnap.workflows.history.log import last_saved

        invocation = self.invocation
        snapshot = repo.snapshot(plan.snapshot_id)
        last = last_saved(repo, plan.label, plan.server.system_identifier)
        lines = restore_plan_lines(
            plan,
            snapshot,
            last=last,
            with_safety=self.with_safety,
            services=self.services.names,
            now=invocation.now,
        )
        invocation.propose(lines, plan.warnings)
        plan.check()
        if plan.live is not None:
            check_protected(invocation, plan.database, i_know=self.i_know)
        if self.yes:
            return
        if plan.live is None:
            invocation.confirm(f"Restore to {plan.database}?")
        else:
            invocation.confirm(
                f"Restore to {plan.database}? Type its name to go on:", word=plan.database
            )
