"""Check: is there a backup that is young, sound and proven, and does the database live?"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from pgsnap.errors import RepositoryLocked, SnapError, SourceError
from pgsnap.files.folder import Folder
from pgsnap.limits import MIB
from pgsnap.model import Note, SnapshotId
from pgsnap.repository import lock
from pgsnap.repository.access import closing_command, open_to_others
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chain, Chains
from pgsnap.repository.snapshots.losses import accepted_losses
from pgsnap.schedulers.cron import parse_cron
from pgsnap.schedulers.state import Installed, RunRecord, State
from pgsnap.schedulers.zone import MachineZone
from pgsnap.sessions.half_dropped import CANNOT, drop_command
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_system_identifier
from pgsnap.targets.swap.kept import NotedKept
from pgsnap.words import size
from pgsnap.workflows.notes.kept_databases import read_kept_notes
from pgsnap.workflows.notes.verdicts import VERDICT
from pgsnap.workflows.retention.policy import RETIRE_AFTER
from pgsnap.workflows.watch.ages import LOCK_HELD_MAX, MAX_DRILL_AGE, span
from pgsnap.workflows.watch.label_states import LabelState, counted_chains, states
from pgsnap.workflows.watch.server_databases import committed_databases, half_dropped_databases

# A timer may be late, and a run may wait for another one.
_RUN_SLACK = timedelta(hours=1)
_FREE_BYTES_MIN = 64 * MIB


class Level(enum.IntEnum):
    OK = 0
    WARNING = 1
    RED = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. *text* is a phrase without an end; *what* names its kind."""

    level: Level
    what: str
    text: str
    database: str | None = None


@dataclass(frozen=True, slots=True)
class LockWaits:
    """Sessions of the databases that wait for a lock, and how long the longest has."""

    sessions: int
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class Asked:
    """What a server says: the databases that it has, the *findings* about them, which *server* it
    is, by its system identifier, and which of all its databases are half-dropped."""

    databases: tuple[str, ...]
    findings: tuple[Finding, ...]
    lock_waits: LockWaits | None = None
    server: str = ""
    half_dropped: tuple[str, ...] = ()


@dataclass(slots=True)
class CheckReport:
    now: datetime
    findings: list[Finding] = field(default_factory=list)
    labels: list[LabelState] = field(default_factory=list)
    kept: tuple[NotedKept, ...] = ()
    runs: list[RunRecord] = field(default_factory=list)
    lock_waits: LockWaits | None = None
    free_bytes: int | None = None
    half_dropped: tuple[str, ...] = ()

    @property
    def level(self) -> Level:
        return max((finding.level for finding in self.findings), default=Level.OK)

    def add(self, level: Level, what: str, text: str, database: str | None = None) -> None:
        self.findings.append(Finding(level, what, text, database))


def check_repository(
    repo: Repository,
    report: CheckReport,
    *,
    database: str | None,
    expected: Sequence[str] = (),
    max_age: timedelta,
    max_drill_age: timedelta | None,
    server: str = "",
    retire_after: timedelta = RETIRE_AFTER,
) -> None:
    """Look at what is stored: of one label, or of all and of the *expected* ones; where several
    servers stand under a label, of the one whose system identifier is *server*.

    Without *max_drill_age* a label that never had a drill is no alarm. Raises StoreError.
    """
    labels = [database] if database is not None else repo.databases()
    if database is None:
        labels += [name for name in expected if name not in labels]
    if not labels:
        report.add(Level.RED, "snapshot", "the repository holds no snapshot")
    verdicts = list(repo.sound_notes(VERDICT))
    chains = Chains(repo, report.now)
    for label in labels:
        counted = counted_chains(
            chains,
            label,
            report.now,
            server=server,
            retire_after=retire_after,
            is_there=label in expected,
        )
        if counted.retired:
            report.add(Level.OK, "snapshot", f"{label} is retired", label)
            continue
        for state in states(repo, chains, counted, label, verdicts):
            report.labels.append(state)
            _age(report, state, max_age)
            _drill(report, state, max_drill_age)
        for chain in counted.chains:
            _future(report, repo, chains, chain)
        if counted.is_foreign and label in (database, *expected):
            text = f"no snapshot of {label} is of this server yet: snap commit"
            report.add(Level.WARNING, "snapshot", text, label)
    for name in chains.damaged:
        report.add(Level.WARNING, "damage", f'note "{name}" is damaged: snap repair')
    _damage(report, repo, labels, verdicts)
    notes = read_kept_notes(repo, database)
    report.kept = notes.kept()
    for warning in notes.warnings:
        report.add(Level.WARNING, "kept", warning)
    _space(report, repo)


def _age(report: CheckReport, state: LabelState, max_age: timedelta) -> None:
    label = state.database
    if state.time is None:
        text = f"{state.name} has no snapshot"
        text += " that counts: safety ones and those of the future do not" if state.server else ""
        report.add(Level.RED, "snapshot", text, label)
        return
    age = report.now - state.time
    late = age > max_age
    text = f"the newest snapshot of {state.name} is {span(age)} old"
    text += f" (more than {span(max_age)})" if late else ""
    report.add(Level.RED if late else Level.OK, "snapshot", text, label)


def _future(report: CheckReport, repo: Repository, chains: Chains, chain: Chain) -> None:
    for snapshot in chains.snapshots(chain, 1):
        if chains.is_ahead(snapshot):
            ahead = span(repo.snapshot(snapshot).time - report.now)
            text = f"a snapshot of {chain.name} is dated {ahead} ahead, a clock was wrong: look at"
            text += f" the clock, then, if it is not needed: snap forget {snapshot.hex()[:12]}"
            report.add(Level.WARNING, "clock", text, chain.label)


def _drill(report: CheckReport, state: LabelState, max_age: timedelta | None) -> None:
    label = state.database
    if state.newest is None:
        return
    if state.drilled is None:
        level = Level.WARNING if max_age is None else Level.RED
        report.add(level, "drill", f"{state.name} never had a drill", label)
        return
    age = report.now - state.drilled
    if not state.drill_passed:
        text = f"the last drill of {state.name} failed {span(age)} ago"
        text += f": {state.drill_reason}" if state.drill_reason else ""
        report.add(Level.RED, "drill", text, label)
        return
    limit = MAX_DRILL_AGE if max_age is None else max_age
    late = age > limit
    text = f"the last drill of {state.name} was {span(age)} ago"
    text += f" (more than {span(limit)})" if late else ""
    report.add(Level.RED if late else Level.OK, "drill", text, label)


def _damage(
    report: CheckReport, repo: Repository, labels: Sequence[str], verdicts: Sequence[Note]
) -> None:
    marks = repo.damaged_count()
    if marks:
        words = "1 stored chunk is" if marks == 1 else f"{marks} stored chunks are"
        report.add(Level.RED, "damage", f"{words} marked as damaged: snap repair")
    last: dict[SnapshotId, Note] = {}
    for note in sorted(verdicts, key=lambda note: note.time):
        if note.snapshot is not None and note.body.get("by") == "verify":
            last[note.snapshot] = note
    ill = {snapshot for snapshot, note in last.items() if note.body.get("findings") != 0}
    ill -= accepted_losses(repo).keys()
    for label in labels:
        found = [snapshot.hex()[:12] for snapshot in repo.newest(label) if snapshot in ill]
        if found:
            which = f"snapshot {found[0]}" if len(found) == 1 else f"{len(found)} snapshots"
            text = f"verify found damage in {which} of {label}: snap repair"
            report.add(Level.RED, "damage", text, label)


def _space(report: CheckReport, repo: Repository) -> None:
    found = os.statvfs(repo.path)
    free = found.f_bavail * found.f_frsize
    report.free_bytes = free
    newest = [repo.snapshot(state.newest) for state in report.labels if state.newest is not None]
    need = max([_FREE_BYTES_MIN, *(2 * snapshot.stored_bytes for snapshot in newest)])
    if free < need:
        report.add(Level.RED, "space", f"only {size(free)} are free on the repository's disk")
    elif free < found.f_blocks * found.f_frsize // 20:
        report.add(Level.WARNING, "space", "less than 5 % of the repository's disk is free")


def check_closed(report: CheckReport, path: Path, error: SnapError) -> None:
    """Tell of a repository that could not be opened: locked for a while is no alarm."""
    level, text = Level.RED, f"the repository cannot be opened: {error.message}"
    if isinstance(error, RepositoryLocked):
        since = lock.held_since(Folder(path))
        age = report.now - since if since is not None else timedelta()
        level = Level.RED if age > LOCK_HELD_MAX else Level.WARNING
        text = f"the repository has been locked for {span(age)}, so nothing in it was looked at"
    report.add(level, "lock" if isinstance(error, RepositoryLocked) else "repository", text)


def check_access(report: CheckReport, path: Path) -> None:
    """Look whether others than the owner may enter the repository."""
    mode = open_to_others(path)
    if mode is not None:
        text = f"the repository has mode {mode:04o}, close it: {closing_command(path)}"
        report.add(Level.WARNING, "access", text)


def ask_databases(find_server: Callable[[], Server], *, every: bool) -> Asked:
    """See whether the database answers, or *every* one that a schedule commits, and who waits for
    locks in them. *find_server* may raise SourceError, as for a container that does not run."""
    name: str | None = None
    try:
        server = find_server()
        name = None if every else server.endpoint.database
        names = committed_databases(server) if name is None else [name]
    except SourceError as error:
        text = f"the database server cannot be asked: {error.message}"
        return Asked((), (Finding(Level.RED, "database", text),))
    silent, waits, identifier = [], [], ""
    dead = half_dropped_databases(server, every=every)
    for each in names:
        if each in dead:
            continue
        try:
            found_waits, identifier = _lock_waits(server, each)
            waits.append(found_waits)
        except SnapError as error:
            text = f"database {each} does not answer: {error.message}"
            silent.append(Finding(Level.RED, "database", text, each))
    words = f"database {names[0]} answers" if len(names) == 1 else f"{len(waits)} databases answer"
    found = [*silent, Finding(Level.OK, "database", words, name)] if waits else silent
    total = LockWaits(
        sum(one.sessions for one in waits), max((one.longest_seconds for one in waits), default=0.0)
    )
    return Asked(tuple(names), tuple(found), total if waits else None, identifier, dead)


def check_half_dropped(report: CheckReport, asked: Asked) -> None:
    """Tell of databases that nobody can enter any more: red is one that has snapshots, or that
    *asked* was about."""
    report.half_dropped = asked.half_dropped
    labels = {state.database for state in report.labels if state.newest is not None}
    lives = {kept.live for kept in report.kept if kept.name not in asked.half_dropped}
    for name in asked.half_dropped:
        command = drop_command(name)
        if name in {kept.name for kept in report.kept}:
            text = f"the kept database {name} is {CANNOT} ({command})"
            report.add(Level.WARNING, "kept", text, name)
        elif name in asked.databases or name in labels:
            way = "snap undo" if name in lives else "snap restore REV"
            text = f"database {name} is half-dropped, nobody can enter it:"
            text += f" {way} --no-safety-snapshot (or {command})"
            report.add(Level.RED, "database", text, name)
        else:
            text = f"database {name} is half-dropped, and not committed ({command})"
            report.add(Level.WARNING, "database", text, name)


def _lock_waits(server: Server, database: str) -> tuple[LockWaits, str]:
    """Return who waits in a database, and which server it is on."""
    with server.connect(database, application_name="snap check") as session:
        ((sessions, longest),) = session.query(
            "SELECT pg_catalog.count(*), coalesce(pg_catalog.max(EXTRACT(epoch FROM"
            " pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) a.state_change)), 0)"
            " FROM pg_catalog.pg_stat_activity a"
            " WHERE a.wait_event_type OPERATOR(pg_catalog.=) 'Lock'"
            " AND a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()"
        )
        identifier = read_system_identifier(session)
    return LockWaits(int(sessions or 0), float(longest or 0)), identifier


def check_runs(report: CheckReport, state: State) -> None:
    """Look at what was scheduled: whether it came, and how it ended."""
    installed = {job.job: job for job in state.installed()}
    for job in sorted(installed):
        run = state.last_run(job)
        if run is not None:
            report.runs.append(run)
        # A red check would else keep itself red.
        if job != "check":
            _run(report, job, run, running=state.is_running(job))
        _overdue(report, installed[job], run)


def _run(report: CheckReport, job: str, run: RunRecord | None, *, running: bool) -> None:
    again = f"run it again: snap schedule run {job}"
    if run is None:
        return
    age = span(report.now - run.start_time)
    if run.exit_code is None:
        if not running:
            text = f"the scheduled {job} of {age} ago was killed; {again}"
            report.add(Level.RED, "schedule", text)
        return
    if run.exit_code:
        why = f": {run.error}" if run.error else ""
        text = f"the scheduled {job} of {age} ago failed with exit code {run.exit_code}{why}"
        report.add(Level.RED, "schedule", f"{text}; {again}")
    else:
        report.add(Level.OK, "schedule", f"the scheduled {job} of {age} ago succeeded")


def _overdue(report: CheckReport, job: Installed, run: RunRecord | None) -> None:
    local = (report.now - _RUN_SLACK).astimezone(MachineZone())
    due = parse_cron(job.when, job.job).last_before(local, skips_gap=job.by == "systemd")
    if due is None or due <= datetime.fromisoformat(job.since):
        return
    if run is None or run.start_time < due:
        late = span(report.now - due)
        text = f"the scheduled {job.job} is overdue since {late}: is {job.by} running?"
        report.add(Level.RED, "schedule", text)
