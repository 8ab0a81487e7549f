"""Makes the warm copies of a snapshot, so that later restores of it need not load anything."""

from __future__ import annotations

import time
from dataclasses import replace

from pgsnap.errors import QueryFailed, SourceError, TargetRefused
from pgsnap.model import SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_system_identifier
from pgsnap.targets.checks.subscriptions import subscriptions_of
from pgsnap.targets.naming import application_name, new_token, warm_name
from pgsnap.targets.swap.warm import WarmCopy, clone_warm, drop_warm, find_warm, others_inside
from pgsnap.values import dataclass
from pgsnap.workflows.notes.baselines import Use, drop_useless, note_baseline, why_unprovable
from pgsnap.workflows.restore.plan import plan_restore
from pgsnap.workflows.restore.ready.proof import noted_state, prove, take_baseline
from pgsnap.workflows.restore.restore import restore
from pgsnap.workflows.restore.target import RestoreOptions, database_and_label


@dataclass(frozen=True, slots=True)
class WarmReport:
    """What was done so that there are copies of *snapshot_id* that can become *database*: *made*
    ones, and *dropped* ones of other snapshots. *copies* are there now."""

    snapshot_id: SnapshotId
    database: str
    copies: tuple[str, ...]
    made: tuple[str, ...]
    dropped: tuple[str, ...]
    seconds: float


def keep_warm(
    repo: Repository,
    snapshot_id: SnapshotId,
    server: Server,
    count: int,
    options: RestoreOptions,
    progress: Progress = SILENT,
) -> WarmReport:
    """Let there be *count* warm copies of a snapshot, and none of others of the same database.

    Raises TargetRefused if a copy could never be used, or another process is making some, and what
    `plan_restore` and `restore` raise.
    """
    return _Warming(repo, snapshot_id, server, count, options, progress).run()


class _Warming:
    """One such run."""

    def __init__(
        self,
        repo: Repository,
        snapshot_id: SnapshotId,
        server: Server,
        count: int,
        options: RestoreOptions,
        progress: Progress,
    ) -> None:
        self._repo = repo
        self._id = snapshot_id
        self._server = server
        self._count = count
        self._progress = progress
        snapshot = repo.snapshot(snapshot_id)
        self._live, self._label = database_and_label(repo, snapshot, server.endpoint, None)
        self._options = replace(options, to=None, warm_for=self._live, with_safety=False)

    def run(self) -> WarmReport:
        started = time.monotonic()
        made: list[str] = []
        with self._connect("snap warm") as session:
            self._server_id = read_system_identifier(session)
            found = find_warm(session, self._live)
            if any(copy.is_busy for copy in found):
                raise TargetRefused(
                    f"another process is making warm copies of {self._live}",
                    hint="Wait for it to end.",
                )
            good = [copy for copy in found if self._is_good(copy)][: self._count]
            dropped = [copy for copy in found if copy not in good]
            for copy in dropped:
                self._drop(session, copy)
            names = [copy.name for copy in good]
            while len(names) < self._count:
                made.append(self._make(session, names))
                names.append(made[-1])
            drop_useless(self._repo, session, self._server_id)
        return WarmReport(
            snapshot_id=self._id,
            database=self._live,
            copies=tuple(names),
            made=tuple(made),
            dropped=tuple(copy.name for copy in dropped),
            seconds=time.monotonic() - started,
        )

    def _is_good(self, copy: WarmCopy) -> bool:
        noted = noted_state(self._repo, self._label, self._server_id, copy)
        return noted is not None and noted.snapshot == self._id

    def _make(self, session: Session, there: list[str]) -> str:
        """Make one more copy, from one of those that are *there* or from the snapshot."""
        token = new_token()
        name = warm_name(self._live, token)
        # Shows to others that its maker is alive.
        with self._connect(application_name(token)):
            if not self._clone(session, there, name, application_name(token)):
                plan = plan_restore(
                    self._repo, self._id, self._server, replace(self._options, to=name)
                )
                if plan.extensions.left_out or not self._repo.snapshot(self._id).origin.is_pg_dump:
                    raise TargetRefused(
                        "a snapshot like this one has no warm copies",
                        detail="It was made from a file, or has an extension that only a database"
                        " of a certain name can have.",
                    )
                restore(self._repo, plan, self._server, progress=self._progress)
            self._settle(session, name, application_name(token))
        return name

    def _clone(self, session: Session, there: list[str], name: str, ours: str) -> bool:
        for copy in find_warm(session, self._live):
            noted = noted_state(self._repo, self._label, self._server_id, copy)
            if copy.name not in there or noted is None:
                continue
            try:
                prove(self._server, copy.name, ours, noted.baseline, noted.time)
                # Subscriptions are not in the database itself: a clone would have none.
                if not (
                    others_inside(session, copy.oid, ours) or subscriptions_of(session, copy.name)
                ):
                    clone_warm(session, copy, name)
                    return True
            except (SourceError, QueryFailed) as error:
                self._progress.say(f"{copy.name} cannot be cloned: {error.message}")
        return False

    def _settle(self, session: Session, name: str, ours: str) -> None:
        """Record the state of the new copy; without that it is of no use."""
        copy = next(each for each in find_warm(session, self._live) if each.name == name)
        try:
            quiet = self._server.without_event_triggers()
            with quiet.connect(name, ours) as inside:
                # So that neither a reader nor autovacuum has a reason to change a page later.
                inside.execute("VACUUM (FREEZE)")
            baseline = take_baseline(self._server, name, ours)
            why = why_unprovable(baseline)
            if not why and note_baseline(self._repo, self._label, self._id, Use.WARM, baseline):
                return
        except (SourceError, QueryFailed) as error:
            why = error.message
        self._drop(session, copy)
        raise TargetRefused(
            f"a warm copy of {self._live} could never be used: it could not be shown to be"
            " unchanged",
            detail=f"{why}." if why else "It has too many tables.",
            hint="Leave warm out of snap.toml: restores load the snapshot.",
        )

    def _drop(self, session: Session, copy: WarmCopy) -> None:
        quiet = self._server.without_event_triggers()
        drop_warm(session, copy, quiet.connect, self._maintenance, self._progress)

    def _maintenance(self) -> Session:
        return self._connect("snap warm")

    def _connect(self, application: str) -> Session:
        return self._server.connect(self._server.maintenance_database(), application)
