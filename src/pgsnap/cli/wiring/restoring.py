"""A restore from showing its plan to printing its result, for every kind of restore."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pgsnap.cli.console import steps
from pgsnap.cli.wiring.connect import (
    check_of_server,
    open_repository,
    resolve,
    server_of,
    tell_left_out,
)
from pgsnap.cli.wiring.dump_sources import jobs_of
from pgsnap.cli.wiring.hooks import hooks
from pgsnap.cli.wiring.in_database.in_place import InPlace, check_changed_only, emit_plan
from pgsnap.cli.wiring.in_database.rows_back import RowsBack, WhichRows
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.stopping import ServicesAside, check_protected, warn_of_stopped
from pgsnap.cli.wiring.untouched import untouched
from pgsnap.cli.wiring.warming.copies import refill_later, warn_of_missing_copies
from pgsnap.errors import UsageError
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgsnap.model import SnapshotId
    from pgsnap.repository.repository import Repository
    from pgsnap.sessions.server import Server
    from pgsnap.targets.swap.read_only import ReadOnly
    from pgsnap.workflows.restore.plan import RestoreOptions, RestorePlan
    from pgsnap.workflows.restore_tables.chosen import TableOptions
    from pgsnap.workflows.restore_tables.plan import TablesPlan
    from pgsnap.workflows.restore_tables.rows_plan import RowsPlan

Report = TypeVar("Report")


@dataclass(frozen=True, slots=True)
class RestoreChoices:
    """The user's choices. *options* are those of a whole database; restores of single tables use
    those of them that apply."""

    revision: str
    options: RestoreOptions
    tables: tuple[str, ...]
    replace: bool
    cascade_check: bool
    data_only: bool
    yes: bool
    i_know: bool
    changed_only: bool = False
    prove: bool = False
    without_safety: bool = False
    rows: WhichRows = field(default_factory=WhichRows)
    dry_run: bool = False

    @property
    def in_place(self) -> bool:
        """Whether single tables of the live database are restored."""
        return bool(self.tables) and self.options.to is None

    def check(self) -> None:
        """Raise UsageError for incompatible options."""
        command = f"snap restore {self.revision} --table SCHEMA.TABLE"
        changes_tables = self.replace or self.cascade_check
        if changes_tables and not self.in_place:
            raise UsageError(
                "--replace and --cascade-check are about tables of the live database",
                hint=f"Name them, without --to: {command} --replace",
            )
        if self.data_only and (changes_tables or not self.in_place):
            raise UsageError(
                "--data-only is about the rows of an extension's tables in the live database",
                hint=f"Name them alone: {command} --data-only",
            )
        whole = {
            "--partial": self.options.partial,
            "--no-owner": self.options.no_owner,
            "--no-acl": self.options.no_acl,
            "--create-roles": self.options.create_roles,
            "--read-only": self.options.read_only,
            "--discard-old": self.options.discard_old,
            "--trust-sql": self.options.trust_sql,
            "--as-superuser": self.options.as_superuser,
            "--no-analyze": not self.options.analyze,
            "--jobs": self.options.jobs is not None,
            "--any-order": self.options.any_order,
            "--load": self.options.load,
            "--mask": self.options.masks is not None,
        }
        given = [name for name, value in whole.items() if value]
        self.rows.check(
            self.tables,
            {
                "--to": self.options.to is not None,
                "--replace": changes_tables,
                "--data-only": self.data_only,
                "--changed-only": self.changed_only,
            },
        )
        no_use = {
            "--to": self.options.to is not None,
            "--table": bool(self.tables),
            "--no-safety-snapshot": self.without_safety,
            **whole,
        }
        check_changed_only(no_use, prove=self.prove, changed_only=self.changed_only)
        if given and self.in_place:
            raise UsageError(
                f"{given[0]} is about whole databases, and --table changes the live one",
                hint=f"Leave {given[0]} out, or make a copy: --to NEW.",
            )


def restore_chosen(
    invocation: Invocation, choices: RestoreChoices, services: tuple[str, ...]
) -> None:
    """Restore as chosen; *services* are stopped in addition to those of snap.toml."""
    choices.check()
    options = choices.options
    facts = {"revision": choices.revision, "to": options.to, "tables": list(choices.tables)}
    server = server_of(invocation.settings)
    if not (choices.tables or options.to or choices.data_only):
        tell_left_out(invocation.console, server.endpoint, deed="replaced")
    with ExitStack() as around:
        run = _Restoring(
            invocation,
            choices,
            server,
            ServicesAside(invocation, services),
            begin=lambda: around.enter_context(hooks(invocation, "restore", **facts)),
        )
        warn_of_stopped(invocation.console)
        warn_of_missing_copies(invocation)
        with open_repository(invocation) as repo:
            snapshot_id = resolve(
                invocation, repo, choices.revision, from_server=options.from_server
            )
            check_of_server(repo, snapshot_id, options.from_server)
            if choices.revision == "latest" and options.from_server is None:
                _tell_if_safety(invocation, repo, snapshot_id)
            if choices.changed_only:
                run.restore_changed(repo, snapshot_id)
            elif choices.rows.are_named:
                run.restore_single_rows(repo, snapshot_id)
            elif choices.data_only:
                run.restore_rows(repo, snapshot_id)
            elif choices.in_place:
                run.restore_tables(repo, snapshot_id)
            else:
                run.restore_all(repo, snapshot_id)
        run.services.outcome.check()


def _tell_if_safety(invocation: Invocation, repo: Repository, latest: SnapshotId) -> None:
    """Tell that *latest* is what a restore or undo recorded of what it replaced: after a restore of
    some rows, say, it does not have them."""
    regular = resolve(invocation, repo, None)
    if regular != latest:
        invocation.console.tell(
            "latest is the safety snapshot of a restore or undo; the newest other one is"
            f" {regular.hex()[:12]}"
        )


@dataclass(frozen=True, slots=True)
class _Restoring:
    """One restore of any kind. *begin* is called once the user has agreed: it runs the hook before
    it, and arranges for the one after it."""

    invocation: Invocation
    choices: RestoreChoices
    server: Server
    services: ServicesAside
    begin: Callable[[], None]

    def restore_all(self, repo: Repository, snapshot_id: SnapshotId) -> None:
        from pgsnap.cli.views.restore import (
            gone_fields,
            restore_fields,
            restore_lines,
            restore_plan_lines,
        )
        from pgsnap.workflows.contents.table_names import check_tables_known, parse_tables
        from pgsnap.workflows.history.log import last_saved
        from pgsnap.workflows.restore.plan import plan_restore
        from pgsnap.workflows.restore.restore import restore

        options = self.choices.options
        if self.choices.tables:
            options = replace(options, tables=parse_tables(self.choices.tables))
            check_tables_known(repo, repo.snapshot(snapshot_id), snapshot_id, options.tables)
        plan = plan_restore(repo, snapshot_id, self.server, options)
        question, name = f"Restore to {plan.database}?", None
        if plan.live is not None:
            question, name = f"{question} Type its name to go on:", plan.database
        last = last_saved(repo, plan.label, plan.server.system_identifier)
        lines_of = partial(restore_plan_lines, last=last)
        if not self._agree(
            repo, plan, lines_of, question, replaces=plan.live is not None, word=name
        ):
            return
        report = self._run(repo, plan, restore, plan.read_only)
        if not self.invocation.console.json:
            for warning in report.warnings:
                self.invocation.console.warn(f"warning: {warning}")
        # With --json the plan was not shown.
        fields = {
            **restore_fields(report),
            "warnings": [*plan.warnings, *report.warnings],
            "not_in_snapshot": gone_fields(plan.gone),
        }
        self._emit(fields, restore_lines(report))
        if plan.options.to is None:
            refill_later(self.invocation, snapshot_id)

    def restore_tables(self, repo: Repository, snapshot_id: SnapshotId) -> None:
        from pgsnap.cli.views.tables import tables_fields, tables_lines, tables_plan_lines
        from pgsnap.workflows.restore_tables.plan import plan_tables
        from pgsnap.workflows.restore_tables.restore import restore_tables

        options = self._table_options(repo, snapshot_id)
        plan = plan_tables(repo, snapshot_id, self.server, options, self.invocation.now)
        question = f"Change {plan.database}?"
        if not self._agree(repo, plan, tables_plan_lines, question, replaces=plan.replaces):
            return
        report = self._run(repo, plan, restore_tables)
        fields = {**tables_fields(report), "warnings": plan.warnings}
        self._emit(fields, tables_lines(report))

    def restore_changed(self, repo: Repository, snapshot_id: SnapshotId) -> None:
        InPlace(
            self.invocation,
            self.server,
            self.services,
            "restore",
            yes=self.choices.yes,
            i_know=self.choices.i_know,
            prove=self.choices.prove,
            allow_newer_client=self.choices.options.allow_newer_client,
            from_server=self.choices.options.from_server,
            dry_run=self.choices.dry_run,
            begin=self.begin,
        ).run(repo, snapshot_id)

    def restore_single_rows(self, repo: Repository, snapshot_id: SnapshotId) -> None:
        from pgsnap.workflows.contents.table_names import parse_tables
        from pgsnap.workflows.restore_rows.model import RowsBackOptions

        choices, rows = self.choices, self.choices.rows
        RowsBack(
            self.invocation,
            self.server,
            self.services,
            "restore",
            yes=choices.yes,
            i_know=choices.i_know,
            with_safety=choices.options.with_safety,
            dry_run=choices.dry_run,
            allow_newer_client=choices.options.allow_newer_client,
            begin=self.begin,
        ).run(
            repo,
            snapshot_id,
            RowsBackOptions(
                parse_tables(choices.tables)[0],
                rows.condition,
                typed=rows.keys,
                delete=rows.delete,
                from_server=choices.options.from_server,
            ),
        )

    def restore_rows(self, repo: Repository, snapshot_id: SnapshotId) -> None:
        from pgsnap.cli.views.in_database.in_place import rows_fields, rows_lines, rows_plan_lines
        from pgsnap.workflows.contents.table_names import parse_tables
        from pgsnap.workflows.restore_tables.restore_rows import restore_rows
        from pgsnap.workflows.restore_tables.rows_plan import RowsOptions, plan_rows

        whole = self.choices.options
        tables = parse_tables(self.choices.tables)
        options = RowsOptions(tables, whole.allow_newer_client, whole.from_server)
        plan = plan_rows(repo, snapshot_id, self.server, options)
        question = f"Change {plan.database}?"
        if not self._agree(repo, plan, rows_plan_lines, question, replaces=True):
            return
        report = self._run(repo, plan, restore_rows)
        self._emit({**rows_fields(report), "warnings": plan.warnings}, rows_lines(report))

    def _table_options(self, repo: Repository, snapshot_id: SnapshotId) -> TableOptions:
        from pgsnap.workflows.contents.table_names import parse_tables
        from pgsnap.workflows.restore_tables.chosen import TableOptions

        label = repo.snapshot(snapshot_id).database
        name = self.choices.revision.removeprefix(f"{label}/")
        is_tag = not name.startswith("@") and "~" not in name
        tagged = repo.tags.get(label, name) if is_tag and name != "latest" else None
        return TableOptions(
            parse_tables(self.choices.tables),
            name if tagged is not None else snapshot_id.hex()[:8],
            self.choices.replace,
            self.choices.cascade_check,
            self.choices.options.allow_newer_client,
            self.choices.options.from_server,
        )

    def _run(
        self,
        repo: Repository,
        plan: RestorePlan | TablesPlan | RowsPlan,
        restore: Callable[..., Report],
        read_only: ReadOnly | None = None,
    ) -> Report:
        """Carry out the plan with *restore*."""
        from pgsnap.workflows.restore.plan import RestorePlan

        self.begin()
        is_there = not isinstance(plan, RestorePlan) or plan.live is not None
        with (
            untouched(plan.database, is_there=is_there),
            self.invocation.console.progress(self._steps(plan)) as progress,
        ):
            safety = None
            if is_there and self.choices.options.with_safety:
                from pgsnap.workflows.commit.safety_snapshot import safety_commit

                safety = safety_commit(
                    repo,
                    self.server,
                    label=plan.label,
                    database=plan.database,
                    verb="restore",
                    lock_wait_timeout_seconds=self.invocation.settings.lock_wait_timeout,
                    allow_newer_client=self.choices.options.allow_newer_client,
                    jobs=jobs_of(self.invocation.settings),
                    may_checkpoint=self.invocation.settings.checkpoint,
                    read_only=read_only,
                    progress=progress,
                )
            return restore(
                repo,
                plan,
                self.server,
                safety=safety,
                aside=self.services.aside,
                progress=progress,
            )

    def _steps(self, plan: RestorePlan | TablesPlan | RowsPlan) -> steps.Steps:
        from pgsnap.workflows.restore.plan import RestorePlan

        if isinstance(plan, RestorePlan):
            found, replaces = steps.RESTORE, plan.live is not None
        else:
            found, replaces = steps.TABLES, getattr(plan, "replaces", True)
        with_safety = self.choices.options.with_safety and replaces
        return found if with_safety else steps.without_safety(found)

    def _emit(self, fields: dict[str, Any], lines: list[str]) -> None:
        self.invocation.console.emit({**fields, "services": self.services.fields()}, lines)

    def _agree(
        self,
        repo: Repository,
        plan: RestorePlan | TablesPlan | RowsPlan,
        lines_of: Callable[..., list[str]],
        question: str,
        *,
        replaces: bool,
        word: str | None = None,
    ) -> bool:
        """Show the plan; continue only if nothing forbids it and the user agrees. Return whether it
        is to be carried out."""
        lines = lines_of(
            plan,
            repo.snapshot(plan.snapshot_id),
            with_safety=self.choices.options.with_safety,
            services=self.services.names,
            now=self.invocation.now,
        )
        if self.choices.dry_run:
            plan.check()
            emit_plan(self.invocation, plan, lines, replaces=replaces)
            return False
        self.invocation.console.propose(lines, plan.warnings)
        plan.check()
        if replaces:
            check_protected(self.invocation, plan.database, i_know=self.choices.i_know)
        if not self.choices.yes:
            self.invocation.console.confirm(question, word=word)
        return True
