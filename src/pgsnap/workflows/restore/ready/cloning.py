"""Fills a scratch database by a clone of one in which the contents of the snapshot still stand.

The source is not changed, and stays what it was, a kept database for one. Anybody may be able to
connect to it: so that it is as it was is proven once more after the clone was made. What was
written into it before that moment is detected, whether the clone has it or not.
"""

from __future__ import annotations

from functools import partial

from pgsnap.errors import QueryFailed, SourceError
from pgsnap.model import Snapshot
from pgsnap.progress import Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.targets.checks.subscriptions import subscriptions_of
from pgsnap.targets.naming import application_name, scratch_name
from pgsnap.targets.swap.clones import clone_closed
from pgsnap.targets.swap.dropping import drop_database
from pgsnap.targets.swap.scratch import Scratch, scratch_mark
from pgsnap.targets.swap.warm import others_inside
from pgsnap.values import dataclass
from pgsnap.workflows.restore.plan import RestorePlan
from pgsnap.workflows.restore.ready.proof import Unproven, prove, set_sequences
from pgsnap.workflows.restore.ready.standing import Standing


@dataclass(frozen=True, slots=True)
class Cloning:
    """The clones of one restore, whose sessions and databases have *token* in their names."""

    repo: Repository
    plan: RestorePlan
    snapshot: Snapshot
    server: Server
    token: str
    progress: Progress

    def run(self, session: Session) -> tuple[Scratch, str] | None:
        """Return a clone that equals the snapshot, and of which database it is; None if there is
        none, and then why. Raises ConnectionFailed, QueryFailed if a bad clone stays."""
        for source in self.plan.ready.standing:
            self.progress.phase(f"clone {source.name}")
            try:
                return self._clone(session, source), source.name
            except (SourceError, QueryFailed) as error:
                self.progress.say(f"{source.name} is not cloned: {error.message}")
        return None

    def _clone(self, session: Session, source: Standing) -> Scratch:
        plan, ours = self.plan, application_name(self.token)
        if plan.properties is None:
            raise Unproven("its owner is not known")
        if others_inside(session, source.oid, ours):
            raise Unproven("somebody is connected to it")
        # They are not in the database itself: a clone would have none.
        if subscriptions_of(session, source.name):
            raise Unproven("it has subscriptions")
        time, key = source.time, source.dump_key
        before = prove(self.server, source.name, ours, source.baseline, time, key)
        name = scratch_name(plan.database, self.token)
        oid = clone_closed(
            session,
            source.name,
            name,
            mark=scratch_mark(name, plan.snapshot_id.hex()),
            owner=plan.properties.owner,
        )
        try:
            prove(self.server, source.name, ours, before, time, key)
            with self.server.without_event_triggers().connect(name, ours) as inside:
                set_sequences(self.repo, self.snapshot, plan, inside)
        except (SourceError, QueryFailed):
            watch = partial(self.server.connect, self.server.maintenance_database(), ours)
            drop_database(session, name, watch=watch, progress=self.progress)
            raise
        return Scratch(name, oid, self.token)
