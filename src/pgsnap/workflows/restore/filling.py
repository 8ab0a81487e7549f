"""Fills a scratch database from a snapshot, and checks what is in it then."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial

from pgsnap.model import Snapshot
from pgsnap.progress import Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.targets.checks.preflight import connected_role
from pgsnap.targets.checks.roles import server_roles
from pgsnap.targets.load.analyzing import analyze
from pgsnap.targets.load.feeder import FeedResult, is_load_idle, psql_feeder
from pgsnap.targets.load.help import look_up
from pgsnap.targets.load.loader import loading_as_stranger
from pgsnap.targets.load.tables_made import TablesMade
from pgsnap.targets.naming import application_name
from pgsnap.targets.swap.scratch import Scratch
from pgsnap.values import dataclass
from pgsnap.workflows.restore.aside import Aside
from pgsnap.workflows.restore.plan import RestorePlan
from pgsnap.workflows.restore.recount import look_again
from pgsnap.workflows.restore.report import Clock
from pgsnap.workflows.restore.sections import planned_sections
from pgsnap.workflows.restore.stream import brings_statistics, dump_for_psql


@dataclass(frozen=True, slots=True)
class Filling:
    """One load of *snapshot* under way; *clock* and *warnings* are added to."""

    repo: Repository
    plan: RestorePlan
    server: Server
    snapshot: Snapshot
    token: str
    progress: Progress
    clock: Clock
    warnings: list[str]

    def run(self, session: Session, scratch: Scratch) -> FeedResult:
        options = self.plan.options
        if self.snapshot.origin.is_pg_dump or options.as_superuser:
            loaded = self._load(self.server, session, scratch)
            # It has event triggers by now, and one on login could refuse us or write.
            quiet = self.server.without_event_triggers()
            with self._meanwhile(quiet):
                self._analyze(quiet, scratch)
                if self.snapshot.origin.is_pg_dump:
                    self._look_again(quiet, scratch)
            return loaded
        owner = self.plan.properties.owner if self.plan.properties is not None else ""
        if owner not in server_roles(session):
            owner = connected_role(session).name
        with loading_as_stranger(self.server, session, scratch, owner) as (stranger, hand_over):
            loaded = self._load(stranger, session, scratch)
            self._analyze(stranger, scratch)
            hand_over()
        return loaded

    def _load(self, server: Server, session: Session, scratch: Scratch) -> FeedResult:
        self.progress.phase("load", self.plan.plain_bytes)
        start = partial(
            psql_feeder,
            server,
            self.plan.psql or self.server.tool("psql"),
            scratch.name,
            self.token,
            exact=self.snapshot.origin.is_pg_dump,
            # A stranger may less than we, and is no superuser on purpose.
            facts=(lambda: look_up(server)) if server is self.server else None,
            masks=self.plan.masking.masks.where if self.plan.masking is not None else "",
        )
        aside = Aside(
            self.repo,
            self.snapshot,
            planned_sections(self.repo, self.snapshot, self.plan),
            jobs=self.plan.jobs,
            start=start,
            progress=self.progress,
            masking=self.plan.masking,
            any_order=self.plan.options.any_order,
        )
        loading = start(expected=aside.expected(), progress=aside.workers.progress)
        with self.clock.timed("load"), loading as feeder, aside.workers:
            feeder.is_part = aside.is_worth_it
            settle = partial(
                feeder.settle, partial(is_load_idle, session, self.token, scratch.name)
            )
            made = partial(self._tables_made, scratch)
            loaded = feeder.run(
                dump_for_psql(self.repo, self.snapshot, self.plan, settle, made, aside)
            )
            aside.workers.close()
        every = [loaded, *aside.workers.results]
        return FeedResult(
            rows=sum(each.rows for each in every),
            plain_bytes=sum(each.plain_bytes for each in every),
            seconds=loaded.seconds,
            in_any_order=tuple(aside.in_any_order),
        )

    def _tables_made(self, scratch: Scratch) -> TablesMade:
        with self.server.connect(scratch.name, application_name(self.token)) as inside:
            made = TablesMade.read(inside)
        if self.plan.masking is None:
            return made
        # Rows whose partition key is masked go through the topmost table already.
        routed = self.plan.masking.roots.keys()
        roots = {table: root for table, root in made.roots.items() if table not in routed}
        return replace(made, empty=made.empty - routed, roots=roots)

    def _meanwhile(self, server: Server) -> AbstractContextManager[None]:
        """Return within what the rest is done: what takes down the state afterwards waits for a
        checkpoint."""
        if not self.plan.options.baseline:
            return nullcontext()
        from pgsnap.workflows.restore.ready.early_checkpoint import checkpoint_meanwhile

        database, ours = server.maintenance_database(), application_name(self.token)
        return checkpoint_meanwhile(partial(server.connect, database, ours))

    def _analyze(self, server: Server, scratch: Scratch) -> None:
        if not self.plan.options.analyze:
            return
        self.progress.phase("analyze")
        connect = partial(server.connect, scratch.name, application_name(self.token))
        restored = brings_statistics(self.snapshot, self.plan)
        with self.clock.timed("analyze"):
            self.warnings.extend(analyze(connect, jobs=self.plan.jobs, only_missing=restored))

    def _look_again(self, server: Server, scratch: Scratch) -> None:
        """Nothing is left to run: what is there now is what will be there."""
        self.progress.phase("count")
        ours = application_name(self.token)
        with self.clock.timed("load"), server.connect(scratch.name, ours) as session:
            self.warnings.extend(look_again(self.repo, self.snapshot, self.plan, session))
