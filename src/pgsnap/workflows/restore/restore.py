"""Restore: fill a scratch database beside the live one, then let it take the live one's name.

Until the swap commits, the live database is not touched; the swap does all or nothing. So at
whatever moment a restore fails or is killed, the live database is whole and in service.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial

from pgsnap import interrupts
from pgsnap.errors import (
    ConnectionFailed,
    Interrupted,
    QueryFailed,
    RestoreFailed,
    SnapError,
    SourceError,
    StoreError,
)
from pgsnap.model import Note, Snapshot, SnapshotId
from pgsnap.model.baseline import Baseline
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.targets.checks.preflight import check_replaceable, connected_role, find_database, refuse
from pgsnap.targets.checks.roles import server_roles
from pgsnap.targets.checks.subscriptions import drop_subscriptions
from pgsnap.targets.checks.template_parts import drop_template_parts, dropped_parts
from pgsnap.targets.load.feeder import FeedResult, terminate_sessions
from pgsnap.targets.naming import application_name, kept_name, new_token, scratch_name
from pgsnap.targets.properties.properties import PropertyStatement, plain_statements, rehearse
from pgsnap.targets.swap.dropping import drop_database
from pgsnap.targets.swap.held import HeldSession
from pgsnap.targets.swap.kept import SwapNames, swapped_note
from pgsnap.targets.swap.read_only import read_only_meanwhile
from pgsnap.targets.swap.scratch import (
    Scratch,
    create_scratch,
    drop_leftovers,
    drop_loader,
    still_scratch,
)
from pgsnap.targets.swap.swap import Rename, SwapReport, swap_aside
from pgsnap.targets.swap.warm import drop_warm, mark_statement
from pgsnap.workflows.contents.trust import snapshot_to_run
from pgsnap.workflows.needs.rights import make_missing_roles
from pgsnap.workflows.notes.baselines import Use, drop_useless, note_baseline
from pgsnap.workflows.notes.kept_databases import note_if_never_made, note_what_is_gone
from pgsnap.workflows.notes.order import next_order
from pgsnap.workflows.restore.added import add_left_out
from pgsnap.workflows.restore.filling import Filling
from pgsnap.workflows.restore.old_copies import drop_old
from pgsnap.workflows.restore.plan import RestorePlan
from pgsnap.workflows.restore.ready.cloning import Cloning
from pgsnap.workflows.restore.ready.proof import (
    ProvenCopy,
    for_commits,
    proven_copies,
    take_baseline,
)
from pgsnap.workflows.restore.recount import read_back
from pgsnap.workflows.restore.report import Clock, RestoreReport


def restore(
    repo: Repository,
    plan: RestorePlan,
    server: Server,
    *,
    safety: Callable[[], SnapshotId] | None = None,
    aside: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    progress: Progress = SILENT,
) -> RestoreReport:
    """Do what *plan* says. *safety* records the live database before it is replaced; the swap
    happens within *aside*, while services are stopped.

    Raises TargetRefused, RestoreFailed, CorruptionError, or what *safety* raises; then the live
    database is as it was, and the scratch database is gone (or is dropped by the next restore).
    """
    plan.check()
    snapshot = snapshot_to_run(repo, plan.snapshot_id)
    repo.check_present(snapshot)
    return _Restore(repo, plan, server, snapshot, aside, progress).run(safety)


class _Restore:
    """One restore under way: what its phases hand to each other."""

    def __init__(
        self,
        repo: Repository,
        plan: RestorePlan,
        server: Server,
        snapshot: Snapshot,
        aside: Callable[[], AbstractContextManager[None]],
        progress: Progress,
    ) -> None:
        self.aside = aside
        self.repo = repo
        self.plan = plan
        self.server = server
        self.snapshot = snapshot
        self.safety_id: SnapshotId | None = None
        self.note: Note | None = None
        self.progress = progress
        self.token = new_token()
        self.clock = Clock()
        self.warnings: list[str] = []
        self.is_done = False
        self.warm: ProvenCopy | None = None
        self.cloned: str | None = None
        self.baseline: Baseline | None = None

    def run(self, safety: Callable[[], SnapshotId] | None) -> RestoreReport:
        with HeldSession(self._connect) as held:
            return self._run(held, safety)

    def _run(self, held: HeldSession, safety: Callable[[], SnapshotId] | None) -> RestoreReport:
        # From before the safety snapshot on, so that it has all that was ever written.
        with read_only_meanwhile(held.session, self.plan.read_only):
            with self.clock.timed("safety"):
                if safety is not None and self.plan.live is not None:
                    self.progress.phase("safety snapshot")
                    self.safety_id = safety()
            try:
                created, loaded, swapped = self._replace(held)
            except KeyboardInterrupt as error:
                if self.is_done:
                    raise self._interrupted_after() from error
                raise
        # From here on the restore is done: what fails now is told, but fails nothing.
        try:
            self.progress.phase("finish")
            # What needs the database's name first.
            self.warnings += add_left_out(
                self.repo, self.snapshot, self.plan, self.server, self.token
            )
            told = read_back(self._connect, self.plan)
            self._note_baseline()
            self.warnings += [text for text in told if text not in self.warnings]
            discarded, stayed = drop_old(
                self.repo, self.plan, self.server, self._connect, self.progress
            )
            self.warnings += stayed
        except (KeyboardInterrupt, Interrupted) as error:
            raise self._interrupted_after() from error
        return RestoreReport(
            snapshot_id=self.plan.snapshot_id,
            database=self.plan.database,
            kept=kept_name(self.plan.database, self.token) if self.plan.live else None,
            kept_is_half_dropped=self.plan.live is not None and self.plan.live.is_half_dropped,
            safety=self.safety_id,
            rows=loaded.rows,
            plain_bytes=loaded.plain_bytes,
            seconds=self.clock.read(),
            unreachable_seconds=swapped.unreachable_seconds if self.plan.live else 0.0,
            created_roles=created,
            discarded=discarded,
            warnings=tuple(self.warnings),
            warm_copy=self.warm.copy.name if self.warm is not None else None,
            cloned_from=self.cloned,
            in_any_order=tuple(map(".".join, loaded.in_any_order)),
        )

    def _interrupted_after(self) -> Interrupted:
        done = f"interrupted, but the restore to {self.plan.database} was done already"
        live = self.plan.live
        back = live is not None and not live.is_half_dropped
        return Interrupted(done, hint="To take it back: snap undo" if back else "")

    def _replace(self, held: HeldSession) -> tuple[tuple[str, ...], FeedResult, SwapReport]:
        """Do it, or leave nothing behind."""
        with interrupts.undone_by(partial(self._clean_up, held)):
            try:
                # This session shows to other restores that the scratch database is in use: until it
                # is swapped, else another one might take it for a leftover in between.
                self.progress.phase("look again")
                with held.session() as session:
                    self._drop_leftovers(session)
                    self._check_unchanged(session)
                    if self.plan.live is not None:
                        note_what_is_gone(self.repo, session, self.plan.server.system_identifier)
                    created = make_missing_roles(
                        session,
                        self.plan.missing_roles if self.plan.options.create_roles else (),
                        self.snapshot.origin.owners,
                    )
                    scratch = self._ready(session)
                    with self.clock.timed("create"):
                        if scratch is None:
                            scratch = self._create(session)
                        statements = self._rehearse(session, scratch)
                    loaded = self._fill(session, scratch)
                    return created, loaded, self._swap(held, scratch, statements)
            except QueryFailed as error:
                raise RestoreFailed(
                    f"the restore stopped: {error.message}", detail=error.detail, hint=error.hint
                ) from error

    # -- before the load -----------------------------------------------------------------------

    def _drop_leftovers(self, session: Session) -> None:
        gone, stayed = drop_leftovers(session, self.server.connect, self.progress)
        for name in gone:
            self.progress.say(f"dropped what a dead restore left: {name}")
        self.warnings.extend(f"a leftover could not be dropped: {text}" for text in stayed)

    def _check_unchanged(self, session: Session) -> None:
        """Raise unless the database to replace is the one that the plan showed, and still free
        to be replaced."""
        live = find_database(session, self.plan.database)
        planned = self.plan.live
        if (live and live.oid) != (planned and planned.oid):
            raise RestoreFailed(
                f"the database {self.plan.database} is not what it was when the plan was made",
                detail="Somebody made, dropped or renamed it meanwhile. Nothing was changed.",
                hint="Run the restore again.",
            )
        if live is not None:
            maintenance = self.server.maintenance_database()
            found = check_replaceable(session, connected_role(session), live, maintenance)
            refuse(found.problems, f"the restore to {live.name}")

    def _create(self, session: Session) -> Scratch:
        self.progress.phase("create")
        scratch = create_scratch(
            session,
            self.plan.database,
            self.token,
            self.plan.properties,
            snapshot=self.plan.snapshot_id.hex(),
        )
        if dropped_parts(self.snapshot.origin):
            with self.server.connect(scratch.name, application_name(self.token)) as inside:
                stay = drop_template_parts(inside, self.snapshot.origin)
            self.warnings += [text for text in stay if text not in self.plan.warnings]
        return scratch

    def _rehearse(self, session: Session, scratch: Scratch) -> tuple[PropertyStatement, ...]:
        """Try owner, privileges and settings now: an hour later is too late to learn of them."""
        if self.plan.properties is None:
            return plain_statements()
        statements, warnings = rehearse(
            session, scratch.name, self.plan.properties, server_roles(session)
        )
        self.warnings.extend(warnings)
        return statements

    # -- what fills it ---------------------------------------------------------------------------

    def _ready(self, session: Session) -> Scratch | None:
        """Return a database that equals the snapshot, so that nothing has to be loaded."""
        ours = application_name(self.token)
        if self.plan.ready.warm:
            self.progress.phase("prove a warm copy")
        with self.clock.timed("load"):
            for found in proven_copies(self.repo, self.plan, self.snapshot, self.server, ours):
                if isinstance(found, ProvenCopy):
                    self.warm = found
                    copy = found.copy
                    self.progress.say(f"nothing is loaded: {copy.name} is as it was")
                    return Scratch(copy.name, copy.oid, self.token)
                self.progress.say(found)
        refuse(self.plan.no_room, f"the restore to {self.plan.database}")
        for copy in self.plan.dropped_first:
            open_database = self.server.without_event_triggers().connect
            drop_warm(session, copy, open_database, self._connect, self.progress)
            self.progress.say(f"dropped to make room: {copy.name}")
        with self.clock.timed("load"):
            cloning = Cloning(
                self.repo, self.plan, self.snapshot, self.server, self.token, self.progress
            )
            if (cloned := cloning.run(session)) is None:
                return None
        clone, self.cloned = cloned
        self.progress.say(f"nothing is loaded: {self.cloned} is as it was, and was cloned")
        return clone

    def _fill(self, session: Session, scratch: Scratch) -> FeedResult:
        baseline: Baseline | None = None
        if self.warm is not None or self.cloned is not None:
            baseline = self.warm.baseline if self.warm is not None else None
            loaded = FeedResult(rows=self.plan.rows, plain_bytes=0, seconds=0.0)
        else:
            loaded = Filling(
                self.repo,
                self.plan,
                self.server,
                self.snapshot,
                self.token,
                self.progress,
                self.clock,
                self.warnings,
            ).run(session, scratch)
        if self.plan.options.baseline:
            self._take_baseline(scratch, baseline, loaded)
        return loaded

    def _take_baseline(self, scratch: Scratch, known: Baseline | None, loaded: FeedResult) -> None:
        """Before the swap, while nobody else writes: what the next commit needs, which can do
        without it."""
        ours = application_name(self.token)
        self.progress.phase("take down the state")
        try:
            with self.clock.timed("baseline"):
                known = known or take_baseline(self.server, scratch.name, ours)
                self.baseline = for_commits(
                    self.plan,
                    self.snapshot,
                    self.server,
                    scratch.name,
                    ours,
                    known,
                    loaded.in_any_order,
                )
        except (SourceError, QueryFailed) as error:
            self.progress.say(f"the next commit reads everything: {error.message}")

    def _note_baseline(self) -> None:
        if self.baseline is None:
            return
        plan = self.plan
        with contextlib.suppress(StoreError, QueryFailed, ConnectionFailed):
            note_baseline(self.repo, plan.label, plan.snapshot_id, Use.LIVE, self.baseline)
            with self._connect() as session:
                drop_useless(self.repo, session, plan.server.system_identifier)

    # -- the swap ------------------------------------------------------------------------------

    def _swap(
        self, held: HeldSession, scratch: Scratch, statements: tuple[PropertyStatement, ...]
    ) -> SwapReport:
        plan = self.plan
        names = SwapNames(
            live=plan.database, kept=kept_name(plan.database, self.token), scratch=scratch.name
        )
        renames = [Rename(oid=scratch.oid, old=names.scratch, new=names.live)]
        self.progress.phase("swap")
        with self.clock.timed("swap"):
            with held.session() as session:
                self._check_unchanged(session)
            if plan.live is not None:
                aside = Rename(oid=plan.live.oid, old=names.live, new=names.kept, aside=True)
                renames.insert(0, aside)
                # Before the swap: undo must find the kept database after a kill right behind it.
                self.note = swapped_note(
                    plan.label,
                    names,
                    action="restore",
                    time=datetime.now(UTC),
                    snapshot=plan.snapshot_id,
                    safety=self.safety_id,
                    system_identifier=plan.server.system_identifier,
                    host=plan.host,
                    size_bytes=plan.live.size_bytes,
                    oid=plan.live.oid,
                    order=next_order(self.repo),
                )
                self.repo.add_note(self.note)
            sql = [statement.for_database(names.live) for statement in statements]
            if plan.read_only is not None:
                # In the same transaction: the replaced database is never left read-only.
                sql.append(plan.read_only.taken_back(names.kept))
            if plan.options.warm_for is not None:
                sql = [mark_statement(names.live, plan.options.warm_for, plan.snapshot_id.hex())]
            if plan.options.scratch:
                # In the same transaction: a killed drill leaves nothing that is not known again.
                sql.append(still_scratch(names.live, plan.snapshot_id.hex()))
            # A copy takes nobody's place: nothing that is connected has to go.
            stopped = self.aside if plan.live is not None else contextlib.nullcontext
            report = swap_aside(
                stopped, self.server, renames, sql, token=self.token, progress=self.progress
            )
            self.is_done = True
            return report

    # -- whatever happens ----------------------------------------------------------------------

    def _connect(self) -> Session:
        maintenance = self.server.maintenance_database()
        return self.server.connect(maintenance, application_name(self.token))

    def _clean_up(self, held: HeldSession) -> None:
        """Drop the scratch database, by a name that nothing but it can have. Where that fails,
        the next restore does it. After a committed swap there is nothing of that name."""
        with contextlib.suppress(SnapError), held.session() as session:
            terminate_sessions(session, self.token)
            scratch = scratch_name(self.plan.database, self.token)
            drop_subscriptions(session, self.server.without_event_triggers().connect, scratch)
            drop_database(session, scratch, watch=self._connect, progress=self.progress)
            drop_loader(session, self.token)
        note_if_never_made(self.repo, held.session, self.note)
