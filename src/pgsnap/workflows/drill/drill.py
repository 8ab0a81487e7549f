"""Drill: the rollback test. A snapshot is restored for real, and what came back is compared."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pgsnap.errors import (
    ConnectionFailed,
    Interrupted,
    SnapError,
    StoreError,
    ToolMissing,
    ToolVersion,
)
from pgsnap.limits import LOCK_WAIT_TIMEOUT_SECONDS
from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import Note, Snapshot, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import ident
from pgsnap.sessions.server import Server
from pgsnap.sources.parts import left_out
from pgsnap.sources.properties import read_server
from pgsnap.targets.checks.requirements import source_major
from pgsnap.targets.checks.subscriptions import drop_subscriptions
from pgsnap.targets.cleaning import clean_up_whole
from pgsnap.targets.naming import application_name, new_token, scratch_name
from pgsnap.targets.swap.dropping import drop_database
from pgsnap.targets.swap.held import HeldSession
from pgsnap.words import plural, rate, size
from pgsnap.workflows.contents.trust import snapshot_to_run
from pgsnap.workflows.drill import checks as drill_checks
from pgsnap.workflows.drill.compare import Copy, compare
from pgsnap.workflows.drill.report import (
    OF_COPY,
    Check,
    DrillReport,
    Outcome,
    Recovery,
    Status,
    TableFinding,
    failed,
    passed,
    reason_of,
    skipped,
    verdict_of,
)
from pgsnap.workflows.drill.runbook import Runbook, check_runbook
from pgsnap.workflows.drill.values import original_databases
from pgsnap.workflows.notes.verdicts import LEFT_OUT_KEY, REASON_KEY, SERVER_KEY, VERDICT
from pgsnap.workflows.restore.plan import RestoreOptions, RestorePlan, names_database, plan_restore
from pgsnap.workflows.restore.restore import restore

ThrowAway = Callable[[int | None], AbstractContextManager[Server]]
"""Makes a private server of a major version (None: any), for as long as its context is open."""

_DRY_RUN = "--dry-run touches no database"


@dataclass(frozen=True, slots=True)
class DrillOptions:
    """What the user chose. *assertions* is the folder of the user's own queries, whose files must
    belong to one of the *trusted* users."""

    runbook: Runbook
    assertions: Path
    trusted: frozenset[int]
    dry_run: bool = False
    allow_newer_client: bool = False
    lock_wait_timeout_seconds: float = LOCK_WAIT_TIMEOUT_SECONDS


def drill(
    repo: Repository,
    snapshot_id: SnapshotId,
    server: Server,
    options: DrillOptions,
    *,
    throw_away: ThrowAway | None = None,
    progress: Progress = SILENT,
) -> DrillReport:
    """Make every check of a drill, and restore the snapshot into a scratch database of *server*,
    or (then *server* is not touched) of the one that *throw_away* makes.

    What fails is in the report; whether the snapshot is proven is stored with it, as a verdict.
    The live database is only read, and everything that was made is gone afterwards. Raises
    UnknownRevision, CorruptionError (a manifest that cannot be read), Interrupted.
    """
    return _Drill(repo, snapshot_id, server, options, throw_away, progress).run()


class _Drill:
    """One drill under way."""

    def __init__(
        self,
        repo: Repository,
        snapshot_id: SnapshotId,
        server: Server,
        options: DrillOptions,
        throw_away: ThrowAway | None,
        progress: Progress,
    ) -> None:
        self.repo = repo
        self.snapshot_id = snapshot_id
        self.snapshot: Snapshot = snapshot_to_run(repo, snapshot_id)
        self.live = server
        self.options = options
        self.throw_away = throw_away
        self.progress = progress
        properties = self.snapshot.origin.properties
        self.database = properties.name if properties is not None else self.snapshot.database
        self.token = new_token()
        self.name = scratch_name(self.database, self.token)
        self.why_no_server = _DRY_RUN
        self.host = self.version = ""
        self.quiet: Server | None = None
        self.plan: RestorePlan | None = None
        self.plan_error: SnapError | None = None
        self.is_conclusive = True
        self.checks: list[Check] = []
        self.recovery: Recovery | None = None
        self.tables: tuple[TableFinding, ...] = ()
        self.notices: list[str] = []

    def run(self) -> DrillReport:
        started, clock = datetime.now(UTC), time.monotonic()
        with ExitStack() as stack:
            server = self._reach(stack)
            self._check("tools", lambda: self._tools(server))
            self._check("repository", lambda: drill_checks.check_folder(self.repo))
            self._make_plan(server)
            why = self.why_no_server if server is None else self._why_no_plan()
            self._check("space", lambda: drill_checks.check_space(self.repo, self.plan, why))
            self._check("commit", lambda: self._commit(server))
            self._check("snapshot", self._verify)
            self._restore(server)
        self._check("documentation", lambda: check_runbook(self.options.runbook))
        self._note()
        return DrillReport(
            snapshot_id=self.snapshot_id,
            snapshot=self.snapshot,
            dry_run=self.options.dry_run,
            place="throw-away" if self.throw_away is not None else "scratch",
            host=self.host,
            server_version=self.version,
            started=started,
            seconds=time.monotonic() - clock,
            checks=tuple(self.checks),
            recovery=self.recovery,
            tables=self.tables,
            notices=tuple(self.notices),
        )

    def _check(self, name: str, make: Callable[[], Outcome]) -> Status:
        """Make a check: an error of ours is a failure of it, and of nothing else."""
        started = time.monotonic()
        try:
            outcome = make()
        except Interrupted:
            raise
        except SnapError as error:
            outcome = self._failure(error)
        self.checks.append(Check(name, outcome, time.monotonic() - started))
        return outcome.status

    def _failure(self, error: SnapError) -> Outcome:
        # A lost connection says nothing of the snapshot.
        self.is_conclusive &= not isinstance(error, (ConnectionFailed, ToolMissing, ToolVersion))
        return failed(error.message, error.detail, hint=error.hint)

    def _skip(self, reason: str, *names: str) -> None:
        for name in names:
            self.checks.append(Check(name, skipped(reason), 0.0))

    # -- what is around it ---------------------------------------------------------------------

    def _reach(self, stack: ExitStack) -> Server | None:
        """Return the server to restore to, None where there is none."""
        reached: list[Server] = []

        def look() -> Outcome:
            if self.options.dry_run:
                return skipped(_DRY_RUN)
            self.progress.phase("reach PostgreSQL")
            server = self.live
            if self.throw_away is not None:
                server = stack.enter_context(self.throw_away(source_major(self.snapshot.origin)))
            with server.connect(server.maintenance_database()) as session:
                self.version = read_server(session).version
            self.host = server.endpoint.display()
            reached.append(server)
            if self.throw_away is not None:
                return passed(f"a private cluster of PostgreSQL {self.version}, for this drill")
            return passed(f"PostgreSQL {self.version} at {self.host}")

        if self._check("postgresql", look) is Status.FAILED:
            self.why_no_server = "there is no PostgreSQL"
        return reached[0] if reached else None

    def _tools(self, server: Server | None) -> Outcome:
        if server is None:
            return drill_checks.check_tools_offline(self.live.runner, self.snapshot)
        return drill_checks.check_tools(server, allow_newer=self.options.allow_newer_client)

    def _make_plan(self, server: Server | None) -> None:
        if server is None:
            return
        options = RestoreOptions(
            to=self.name,
            # Those of a cluster that is thrown away; on a real server roles outlive the drill.
            create_roles=self.throw_away is not None,
            allow_newer_client=self.options.allow_newer_client,
            scratch=True,
        )
        try:
            self.plan = plan_restore(self.repo, self.snapshot_id, server, options)
        except Interrupted:
            raise
        except SnapError as error:
            self.plan_error = error

    def _why_no_plan(self) -> str:
        return f"{self.plan_error.message}" if self.plan_error is not None else ""

    def _commit(self, server: Server | None) -> Outcome:
        if self.throw_away is not None:
            return skipped("with --throw-away the live database is not touched")
        if server is None:
            return skipped(self.why_no_server)
        self.progress.phase("dump definitions")
        return drill_checks.check_commit(
            self.repo,
            server,
            self._live_name(server),
            lock_wait_timeout_seconds=self.options.lock_wait_timeout_seconds,
            allow_newer=self.options.allow_newer_client,
        )

    def _live_name(self, server: Server) -> str:
        named = names_database(server.endpoint)
        return server.endpoint.database if named else self.database

    # -- the snapshot --------------------------------------------------------------------------

    def _verify(self) -> Outcome:
        report = verify(self.repo, snapshots=[self.snapshot_id], data=True, progress=self.progress)
        outcome, besides = drill_checks.judge_verify(report, self.snapshot_id, self.snapshot)
        self.notices += besides
        return outcome

    def _restore(self, server: Server | None) -> None:
        """Restore, compare, and drop what was made."""
        after = (*OF_COPY, "assertions")
        if server is None:
            self._skip(self.why_no_server, "restore", *after)
            return
        if self.checks[-1].outcome.status is Status.FAILED:
            self._skip("the snapshot is damaged", "restore", *after)
            return
        with ExitStack() as stack:

            def restore_now() -> Outcome:
                stack.enter_context(self._scratch(server))
                return self._restore_now(server)

            if self._check("restore", restore_now) is not Status.PASSED:
                self._skip_after_refusal(server)
                return
            self._compare(self.quiet or server)
            self._check("assertions", lambda: self._assertions(self.quiet or server))

    def _restore_now(self, server: Server) -> Outcome:
        if self.plan_error is not None:
            raise self.plan_error
        assert self.plan is not None, "a plan was made, or it failed"
        if self.plan.refusals:
            return drill_checks.refused(self.plan)
        report = restore(self.repo, self.plan, server, progress=self.progress)
        # What a trigger on login writes is no difference of the snapshot.
        self.quiet = server.without_event_triggers()
        spent = report.seconds
        phases = {
            "create": spent.create,
            "load": spent.load,
            "analyze": spent.analyze,
            "swap": spent.swap,
        }
        total = sum(phases.values())
        self.recovery = Recovery(total, report.plain_bytes, report.rows, phases)
        return passed(
            f"{plural(report.rows, 'row')}, {size(report.plain_bytes)} in {total:.2f} s"
            f" ({rate(report.plain_bytes, total)})",
            *self.plan.warnings,
            *report.warnings,
        )

    def _skip_after_refusal(self, server: Server) -> None:
        reason = "nothing was restored"
        missing = drill_checks.missing_extensions(server, self.snapshot)
        for name in (*OF_COPY, "assertions"):
            if name == "extensions" and missing:
                lines = [f"{words} is not installed on the server" for words in missing]
                outcome = failed(
                    lines[0], *lines, hint="Install its package on the server's machine."
                )
                self.checks.append(Check(name, outcome, 0.0))
            else:
                self._skip(reason, name)

    def _compare(self, server: Server) -> None:
        started = time.monotonic()
        newer, origin = self.options.allow_newer_client, self.snapshot.origin
        left_out = self.plan.extensions.left_out if self.plan is not None else ()
        originals: tuple[str, ...] = ()
        if self.throw_away is None:
            live = self._live_name(server)
            originals = original_databases(self.repo, server, self.snapshot_id, live)
        copy = Copy(server, self.name, self.token, newer, origin, left_out, originals)
        try:
            found = compare(self.repo, self.snapshot_id, copy, self.progress)
        except Interrupted:
            raise
        except SnapError as error:
            self.checks.append(Check("contents", self._failure(error), time.monotonic() - started))
            self._skip("what was restored could not be compared", *OF_COPY[1:])
            return
        self.tables = found.tables
        self.notices += found.notices
        # One dump serves them all: the first of them bears its time.
        spent = time.monotonic() - started
        for name in OF_COPY:
            self.checks.append(Check(name, found.outcomes[name], spent))
            spent = 0.0

    def _assertions(self, server: Server) -> Outcome:
        folder, trusted = self.options.assertions, self.options.trusted
        return drill_checks.check_assertions(server, self.name, folder, trusted)

    @contextlib.contextmanager
    def _scratch(self, server: Server) -> Iterator[None]:
        """Keep the scratch database from being taken for a leftover, and drop it at the end."""
        connect = partial(server.connect, server.maintenance_database())

        def drop() -> None:
            with held.session() as session:
                drop_subscriptions(session, (self.quiet or server).connect, self.name)
                drop_database(session, self.name, watch=connect, progress=self.progress)

        with HeldSession(lambda: connect(application_name(self.token))) as held:
            try:
                yield
            finally:
                try:
                    clean_up_whole(drop)
                except SnapError as error:
                    self.notices.append(
                        f"the scratch database {self.name} could not be dropped"
                        f" ({error.message}); the next restore or drill does it, or:"
                        f" DROP DATABASE {ident(self.name)}"
                    )

    def _note(self) -> None:
        """Store with the snapshot what was found of it; nothing where nothing was."""
        statuses = {check.name: check.outcome.status for check in self.checks}
        proven = verdict_of(statuses)
        if self.options.dry_run or proven is None or (not proven and not self.is_conclusive):
            return
        seconds = self.recovery.seconds if self.recovery is not None else 0.0
        body = {
            "by": "drill",
            "passed": proven,
            "seconds": round(seconds),
            "place": "throw-away" if self.throw_away is not None else "scratch",
            "checks": {name: str(status) for name, status in statuses.items()},
            SERVER_KEY: self.snapshot.origin.system_identifier,
        }
        if words := left_out(self.snapshot.origin):
            body[LEFT_OUT_KEY] = words
        if not proven:
            body[REASON_KEY] = reason_of(self.checks)
        note = Note(VERDICT, self.snapshot.database, datetime.now(UTC), self.snapshot_id, body)
        try:
            self.repo.add_note(note)
        except StoreError as error:
            self.notices.append(f"no verdict could be written: {error.message}")
