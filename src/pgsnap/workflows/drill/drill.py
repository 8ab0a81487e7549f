"""Drill: a rollback test. A snapshot is actually restored, and the result compared with it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from pgsnap import interrupts
from pgsnap.errors import Interrupted, SnapError, StoreError
from pgsnap.limits import LOCK_WAIT_TIMEOUT_SECONDS
from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import Finding, Note, Snapshot, SnapshotId, Verdict
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import ident
from pgsnap.sessions.server import Server
from pgsnap.sources.parts import left_out
from pgsnap.sources.properties import read_server
from pgsnap.targets.checks.requirements import source_major
from pgsnap.targets.checks.subscriptions import drop_subscriptions
from pgsnap.targets.naming import application_name, new_token, scratch_name
from pgsnap.targets.swap.dropping import drop_database
from pgsnap.targets.swap.held import HeldSession
from pgsnap.values import dataclass
from pgsnap.words import plural, rate, size
from pgsnap.workflows.contents.trust import snapshot_to_run
from pgsnap.workflows.drill import checks as drill_checks
from pgsnap.workflows.drill.compare import Comparison, Copy, compare
from pgsnap.workflows.drill.found import Found, all_skipped, checked
from pgsnap.workflows.drill.report import (
    OF_COPY,
    Check,
    DrillReport,
    Recovery,
    failed,
    passed,
    reason_of,
    skipped,
    verdict_of,
)
from pgsnap.workflows.drill.runbook import Runbook, check_runbook
from pgsnap.workflows.drill.values import original_databases
from pgsnap.workflows.notes.verdicts import LEFT_OUT_KEY, REASON_KEY, SERVER_KEY, VERDICT
from pgsnap.workflows.restore.plan import RestoreOptions, RestorePlan, plan_restore
from pgsnap.workflows.restore.restore import restore
from pgsnap.workflows.restore.target import names_database

ThrowAway = Callable[[int | None], AbstractContextManager[Server]]
"""Creates a private server of a major version (None: any) that exists while its context is open."""

_DRY_RUN = "--dry-run touches no database"
_OF_RESTORE = ("restore", *OF_COPY, "assertions")


@dataclass(frozen=True, slots=True)
class DrillOptions:
    """The user's choices. *assertions* is the folder of the user's own queries, whose files must
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
    """Run every check of a drill, and restore the snapshot into a scratch database of *server*, or
    of the cluster that *throw_away* creates (then *server* is not touched).

    Failures are in the report; whether the snapshot is proven is stored with it, as a verdict. The
    live database is only read, and everything created is removed afterwards. Raises
    UnknownRevision, CorruptionError (an unreadable manifest), Interrupted.
    """
    snapshot = snapshot_to_run(repo, snapshot_id)
    return _Drill(repo, snapshot_id, snapshot, server, options, throw_away, progress).run()


@dataclass(frozen=True, slots=True)
class _Place:
    """The server that a drill restores to; if *server* is None, *why_not* is the reason."""

    server: Server | None
    host: str = ""
    version: str = ""
    why_not: str = ""


class _Drill:
    """One drill: its subject and its steps."""

    def __init__(
        self,
        repo: Repository,
        snapshot_id: SnapshotId,
        snapshot: Snapshot,
        server: Server,
        options: DrillOptions,
        throw_away: ThrowAway | None,
        progress: Progress,
    ) -> None:
        self.repo = repo
        self.snapshot_id = snapshot_id
        self.snapshot = snapshot
        self.live = server
        self.options = options
        self.throw_away = throw_away
        self.progress = progress
        properties = snapshot.origin.properties
        self.database = properties.name if properties is not None else snapshot.database
        self.token = new_token()
        self.name = scratch_name(self.database, self.token)

    def run(self) -> DrillReport:
        started, clock = datetime.now(UTC), time.monotonic()
        with ExitStack() as stack:
            found, place = self._reach(stack)
            server = place.server
            found += checked("tools", lambda: self._tools(server))
            found += checked("repository", lambda: drill_checks.check_folder(self.repo))
            plan = self._plan(server)
            found += checked("space", lambda: self._space(place, plan))
            found += checked("commit", lambda: self._commit(place))
            found += checked("snapshot", self._verify)
            if server is None or plan is None:
                found += all_skipped(place.why_not, *_OF_RESTORE)
            elif found.last is Verdict.FAILED:
                found += all_skipped("the snapshot is damaged", *_OF_RESTORE)
            else:
                found += self._proof(server, plan)
        found += checked("documentation", lambda: check_runbook(self.options.runbook))
        found += self._noted(found)
        return DrillReport(
            snapshot_id=self.snapshot_id,
            snapshot=self.snapshot,
            dry_run=self.options.dry_run,
            place="throw-away" if self.throw_away is not None else "scratch",
            host=place.host,
            server_version=place.version,
            started=started,
            seconds=time.monotonic() - clock,
            checks=found.checks,
            recovery=found.recovery,
            tables=found.tables,
            notices=found.notices,
        )

    # -- the surroundings ----------------------------------------------------------------------

    def _reach(self, stack: ExitStack) -> tuple[Found, _Place]:
        """Return the server to restore to."""
        if self.options.dry_run:
            return all_skipped(_DRY_RUN, "postgresql"), _Place(None, why_not=_DRY_RUN)
        self.progress.phase("reach PostgreSQL")
        place = _Place(None, why_not="there is no PostgreSQL")

        def look() -> Finding:
            nonlocal place
            server = self.live
            if self.throw_away is not None:
                server = stack.enter_context(self.throw_away(source_major(self.snapshot.origin)))
            with server.connect(server.maintenance_database()) as session:
                version = read_server(session).version
            place = _Place(server, server.endpoint.display(), version)
            if self.throw_away is not None:
                return passed(f"a private cluster of PostgreSQL {version}, for this drill")
            return passed(f"PostgreSQL {version} at {place.host}")

        found = checked("postgresql", look)
        return found, place

    def _tools(self, server: Server | None) -> Finding:
        if server is None:
            return drill_checks.check_tools_offline(self.live.runner, self.snapshot)
        return drill_checks.check_tools(server, allow_newer=self.options.allow_newer_client)

    def _plan(self, server: Server | None) -> RestorePlan | SnapError | None:
        """Return the plan of the restore, or the error if there is none."""
        if server is None:
            return None
        options = RestoreOptions(
            to=self.name,
            # In a throw-away cluster only; on a real server the roles would outlive the drill.
            create_roles=self.throw_away is not None,
            allow_newer_client=self.options.allow_newer_client,
            scratch=True,
        )
        try:
            return plan_restore(self.repo, self.snapshot_id, server, options)
        except Interrupted:
            raise
        except SnapError as error:
            return error

    def _space(self, place: _Place, plan: RestorePlan | SnapError | None) -> Finding:
        if isinstance(plan, SnapError):
            return drill_checks.check_space(self.repo, None, plan.message)
        return drill_checks.check_space(self.repo, plan, place.why_not)

    def _commit(self, place: _Place) -> Finding:
        if self.throw_away is not None:
            return skipped("with --throw-away the live database is not touched")
        if place.server is None:
            return skipped(place.why_not)
        self.progress.phase("dump definitions")
        return drill_checks.check_commit(
            self.repo,
            place.server,
            self._live_name(place.server),
            lock_wait_timeout_seconds=self.options.lock_wait_timeout_seconds,
            allow_newer=self.options.allow_newer_client,
        )

    def _live_name(self, server: Server) -> str:
        named = names_database(server.endpoint)
        return server.endpoint.database if named else self.database

    # -- the snapshot --------------------------------------------------------------------------

    def _verify(self) -> tuple[Finding, Found]:
        report = verify(self.repo, snapshots=[self.snapshot_id], data=True, progress=self.progress)
        outcome, besides = drill_checks.judge_verify(report, self.snapshot_id, self.snapshot)
        return outcome, Found(notices=tuple(besides))

    def _proof(self, server: Server, plan: RestorePlan | SnapError) -> Found:
        """Restore, compare, and drop everything that was created."""
        notices: list[str] = []
        with ExitStack() as stack:

            def restore_now() -> tuple[Finding, Found]:
                stack.enter_context(self._scratch(server, notices))
                if isinstance(plan, SnapError):
                    raise plan
                return self._restore(server, plan)

            found = checked("restore", restore_now)
            if found.last is Verdict.PASSED and not isinstance(plan, SnapError):
                # Whatever a login trigger writes is not a difference of the snapshot.
                quiet = server.without_event_triggers()
                found += self._compare(quiet, plan)
                found += checked("assertions", lambda: self._assertions(quiet))
            else:
                found += self._nothing_restored(server)
        return found + Found(notices=tuple(notices))

    def _restore(self, server: Server, plan: RestorePlan) -> tuple[Finding, Found]:
        if plan.refusals:
            return drill_checks.refused(plan), Found()
        report = restore(self.repo, plan, server, progress=self.progress)
        # Raises here if the connection is lost.
        server.without_event_triggers()
        spent = report.seconds
        phases = {
            "create": spent.create,
            "load": spent.load,
            "analyze": spent.analyze,
            "swap": spent.swap,
        }
        total = sum(phases.values())
        outcome = passed(
            f"{plural(report.rows, 'row')}, {size(report.plain_bytes)} in {total:.2f} s"
            f" ({rate(report.plain_bytes, total)})",
            *plan.warnings,
            *report.warnings,
        )
        return outcome, Found(recovery=Recovery(total, report.plain_bytes, report.rows, phases))

    def _nothing_restored(self, server: Server) -> Found:
        found = all_skipped("nothing was restored", *_OF_RESTORE[1:])
        missing = drill_checks.missing_extensions(server, self.snapshot)
        if not missing:
            return found
        lines = [f"{words} is not installed on the server" for words in missing]
        hint = "Install its package on the server's machine."
        lacks = Check.of("extensions", failed(lines[0], *lines, hint=hint))
        return Found(tuple(lacks if one.check == lacks.check else one for one in found.checks))

    def _compare(self, server: Server, plan: RestorePlan) -> Found:
        """Run the checks of OF_COPY. A single dump serves them all: its time counts for the first
        one."""
        compared: Comparison | None = None

        def contents() -> tuple[Finding, Found]:
            nonlocal compared
            originals: tuple[str, ...] = ()
            if self.throw_away is None:
                live = self._live_name(server)
                originals = original_databases(self.repo, server, self.snapshot_id, live)
            copy = Copy(
                server,
                self.name,
                self.token,
                self.options.allow_newer_client,
                self.snapshot.origin,
                plan.extensions.left_out,
                originals,
            )
            compared = compare(self.repo, self.snapshot_id, copy, self.progress)
            more = Found(notices=compared.notices, tables=compared.tables)
            return compared.outcomes[OF_COPY[0]], more

        found = checked(OF_COPY[0], contents)
        if compared is None:
            return found + all_skipped("what was restored could not be compared", *OF_COPY[1:])
        outcomes = compared.outcomes
        return found + Found(tuple(Check.of(name, outcomes[name]) for name in OF_COPY[1:]))

    def _assertions(self, server: Server) -> Finding:
        folder, trusted = self.options.assertions, self.options.trusted
        return drill_checks.check_assertions(server, self.name, folder, trusted)

    @contextlib.contextmanager
    def _scratch(self, server: Server, notices: list[str]) -> Iterator[None]:
        """Keep the scratch database from being taken for a leftover, and drop it at the end; if
        that fails, the reason is added to *notices*."""
        connect = partial(server.connect, server.maintenance_database())

        def drop() -> None:
            with held.session() as session:
                quiet = server.without_event_triggers()
                drop_subscriptions(session, quiet.connect, self.name)
                drop_database(session, self.name, watch=connect, progress=self.progress)

        with HeldSession(lambda: connect(application_name(self.token))) as held:
            try:
                yield
            finally:
                try:
                    with interrupts.deferred():
                        drop()
                    interrupts.check()
                except SnapError as error:
                    notices.append(
                        f"the scratch database {self.name} could not be dropped"
                        f" ({error.message}); the next restore or drill does it, or:"
                        f" DROP DATABASE {ident(self.name)}"
                    )

    def _noted(self, found: Found) -> Found:
        """Store the verdict with the snapshot, if the checks gave one."""
        proven = verdict_of({one.check: one.verdict for one in found.checks})
        if self.options.dry_run or proven is None or (not proven and not found.is_conclusive):
            return Found()
        seconds = found.recovery.seconds if found.recovery is not None else 0.0
        body = {
            "by": "drill",
            "passed": proven,
            "seconds": round(seconds),
            "place": "throw-away" if self.throw_away is not None else "scratch",
            "checks": {one.check: one.status for one in found.checks},
            SERVER_KEY: self.snapshot.origin.system_identifier,
        }
        if words := left_out(self.snapshot.origin):
            body[LEFT_OUT_KEY] = words
        if not proven:
            body[REASON_KEY] = reason_of(found.checks)
        note = Note(VERDICT, self.snapshot.database, datetime.now(UTC), self.snapshot_id, body)
        try:
            self.repo.add_note(note)
        except StoreError as error:
            return Found(notices=(f"no verdict could be written: {error.message}",))
        return Found()
