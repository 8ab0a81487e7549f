"""Check: is there a recent, intact and proven backup, and is the database up?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from pathlib import Path

from pgsnap.errors import RepositoryLocked, SnapError, SourceError
from pgsnap.limits import MIB
from pgsnap.maintenance.verify.withheld import PUT_BACK, not_shown
from pgsnap.model import Finding, Note, Verdict
from pgsnap.repository.access import closing_command, open_to_others
from pgsnap.repository.places.address import Address
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.schedulers.cron import parse_cron
from pgsnap.schedulers.daemons import Idle
from pgsnap.schedulers.state import Installed, RunRecord, State
from pgsnap.schedulers.zone import MachineZone
from pgsnap.sessions.half_dropped import CANNOT, drop_command
from pgsnap.sessions.server import Server
from pgsnap.sources.properties import read_system_identifier
from pgsnap.targets.swap.kept import NotedKept
from pgsnap.values import dataclass
from pgsnap.words import size
from pgsnap.workflows.notes.kept_databases import read_kept_notes
from pgsnap.workflows.notes.verdicts import VERDICT
from pgsnap.workflows.retention.policy import RETIRE_AFTER
from pgsnap.workflows.sync.records import PushRecord
from pgsnap.workflows.watch import facts
from pgsnap.workflows.watch.ages import MAX_DRILL_AGE, span
from pgsnap.workflows.watch.damage import MEND, known_damage
from pgsnap.workflows.watch.label_states import Labels, LabelState
from pgsnap.workflows.watch.remote_states import RemoteState
from pgsnap.workflows.watch.server_databases import committed_databases, half_dropped_databases

# A timer may be late, and a run may wait for another one.
_RUN_SLACK = timedelta(hours=1)
_FREE_BYTES_MIN = 64 * MIB


@dataclass(frozen=True, slots=True)
class LockWaits:
    """Sessions of the databases that wait for a lock, and the longest wait."""

    sessions: int
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class Asked:
    """The server's answers: its databases, the *findings* about them, its system identifier
    (*server*), and which of all its databases are half-dropped."""

    databases: tuple[str, ...]
    findings: tuple[Finding, ...]
    lock_waits: LockWaits | None = None
    server: str = ""
    half_dropped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoteSeen:
    """A remote: its address, whether commits are pushed there, what it holds (None: it was not
    asked), and the last push."""

    name: str
    url: str
    is_pushed_to: bool
    state: RemoteState | None
    last: PushRecord | None


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
    remotes: list[RemoteSeen] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        return max((finding.verdict for finding in self.findings), default=Verdict.PASSED)

    def add(self, verdict: Verdict, check: str, reason: str, database: str | None = None) -> None:
        self.findings.append(Finding(check, verdict, reason, database=database))


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
    """Check the stored snapshots: of one label, or of all and of the *expected* ones; if a label
    has several servers, those of the one with the system identifier *server*.

    Without *max_drill_age*, a label that was never drilled is no alarm. Raises StoreError.
    """
    labels = [database] if database is not None else repo.databases()
    if database is None:
        labels += [name for name in expected if name not in labels]
    if not labels:
        report.add(Verdict.FAILED, "snapshot", "the repository holds no snapshot")
    verdicts = list(repo.sound_notes(VERDICT))
    chains = Chains(repo, report.now)
    known = Labels(repo, chains, report.now, verdicts, expected, server, retire_after)
    for label in labels:
        found = known.counted(label)
        if found.retired:
            report.add(Verdict.PASSED, "snapshot", f"{label} is retired", label)
        for state in found.states:
            report.labels.append(state)
            _age(report, state, max_age)
            _drill(report, state, max_drill_age)
        for one in found.ahead:
            text = f"{one.reason}, a clock was wrong: look at the clock, then, if it is not needed:"
            report.add(one.verdict, one.check, f"{text} {one.help}", one.database)
        if found.is_foreign and label in (database, *expected):
            text = f"no snapshot of {label} is of this server yet: snap commit"
            report.add(Verdict.WARNED, "snapshot", text, label)
    for name in chains.damaged:
        report.add(Verdict.WARNED, "damage", f'note "{name}" is damaged: snap repair')
    _damage(report, repo, labels, verdicts)
    for words in not_shown(repo):
        report.add(Verdict.FAILED, "damage", f"{words}: {PUT_BACK}: snap verify")
    notes = read_kept_notes(repo, database)
    report.kept = notes.kept()
    for warning in notes.warnings:
        report.add(Verdict.WARNED, "kept", warning)
    _space(report, repo)


def _age(report: CheckReport, state: LabelState, max_age: timedelta) -> None:
    found = facts.age(state, report.now, max_age)
    if state.time is not None:
        text = " ".join(("the newest snapshot of", found.reason, *found.details))
    else:
        text = f"{state.name} has no snapshot"
        text += " that counts: safety ones and those of the future do not" if state.server else ""
    report.add(found.verdict, found.check, text, found.database)


def _drill(report: CheckReport, state: LabelState, max_age: timedelta | None) -> None:
    if state.newest is None:
        return
    found = facts.drill(state, report.now, MAX_DRILL_AGE if max_age is None else max_age)
    verdict = found.verdict
    if verdict is Verdict.WARNED and not (max_age is None and state.drilled is None):
        verdict = Verdict.FAILED
    report.add(verdict, found.check, " ".join((found.reason, *found.details)), found.database)


def _damage(
    report: CheckReport, repo: Repository, labels: Sequence[str], verdicts: Sequence[Note]
) -> None:
    for one in known_damage(repo, labels, verdicts, report.now):
        report.add(one.verdict, one.check, f"{one.reason}: {one.help}", one.database)
    for label, name in repo.tags.damaged(labels[0] if len(labels) == 1 else None):
        text = f'tag "{name}" of {label} is damaged, so log and gc stop: {MEND}'
        report.add(Verdict.FAILED, "damage", text, label)


def _space(report: CheckReport, repo: Repository) -> None:
    room = repo.place.room()
    if room is None:
        return
    free = report.free_bytes = room.free_bytes
    newest = [repo.snapshot(state.newest) for state in report.labels if state.newest is not None]
    need = max([_FREE_BYTES_MIN, *(2 * snapshot.stored_bytes for snapshot in newest)])
    if free < need:
        report.add(Verdict.FAILED, "space", f"only {size(free)} are free on the repository's disk")
    elif free < room.total_bytes // 20:
        report.add(Verdict.WARNED, "space", "less than 5 % of the repository's disk is free")


def check_closed(report: CheckReport, where: Address, error: SnapError) -> None:
    """Report a repository that could not be opened: a brief lock is no alarm."""
    if isinstance(error, RepositoryLocked):
        found = facts.held_lock(where, report.now)
        text = f"the repository has been locked for {found.reason}, so nothing in it was looked at"
        report.add(found.verdict, found.check, text)
    else:
        text = f"the repository cannot be opened: {error.message}"
        report.add(Verdict.FAILED, "repository", text)


def check_access(report: CheckReport, where: Address) -> None:
    """Check whether anyone but the owner can access the repository's folder."""
    if isinstance(where, Path) and (mode := open_to_others(where)) is not None:
        text = f"the repository has mode {mode:04o}, close it: {closing_command(where)}"
        report.add(Verdict.WARNED, "access", text)


def ask_databases(find_server: Callable[[], Server], *, every: bool) -> Asked:
    """Check that the database answers, or *every* one that a schedule commits, and which sessions
    wait for locks in them. *find_server* may raise SourceError, as for a stopped container."""
    name: str | None = None
    try:
        server = find_server()
        name = None if every else server.endpoint.database
        names = committed_databases(server) if name is None else [name]
    except SourceError as error:
        text = f"the database server cannot be asked: {error.message}"
        return Asked((), (Finding("database", Verdict.FAILED, text),))
    found, waits, identifier = [], [], ""
    dead = half_dropped_databases(server, every=every)
    for each in names:
        if each in dead:
            continue
        try:
            found_waits, identifier = _lock_waits(server, each)
            waits.append(found_waits)
        except SnapError as error:
            text = f"database {each} does not answer: {error.message}"
            found.append(Finding("database", Verdict.FAILED, text, database=each))
    words = f"database {names[0]} answers" if len(names) == 1 else f"{len(waits)} databases answer"
    if waits:
        found.append(Finding("database", Verdict.PASSED, words, database=name))
    total = LockWaits(
        sum(one.sessions for one in waits), max((one.longest_seconds for one in waits), default=0.0)
    )
    return Asked(tuple(names), tuple(found), total if waits else None, identifier, dead)


def check_half_dropped(report: CheckReport, asked: Asked) -> None:
    """Report databases that can no longer be connected to: red if it has snapshots, or if it is the
    one that *asked* was about."""
    report.half_dropped = asked.half_dropped
    labels = {state.database for state in report.labels if state.newest is not None}
    lives = {kept.live for kept in report.kept if kept.name not in asked.half_dropped}
    for name in asked.half_dropped:
        command = drop_command(name)
        if name in {kept.name for kept in report.kept}:
            text = f"the kept database {name} is {CANNOT} ({command})"
            report.add(Verdict.WARNED, "kept", text, name)
        elif name in asked.databases or name in labels:
            way = "snap undo" if name in lives else "snap restore REV"
            text = f"database {name} is half-dropped, nobody can enter it:"
            text += f" {way} --no-safety-snapshot (or {command})"
            report.add(Verdict.FAILED, "database", text, name)
        else:
            text = f"database {name} is half-dropped, and not committed ({command})"
            report.add(Verdict.WARNED, "database", text, name)


def _lock_waits(server: Server, database: str) -> tuple[LockWaits, str]:
    """Return the lock waits in a database, and the server's system identifier."""
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


def check_schedulers(
    report: CheckReport, state: State, why_idle: Callable[[str], Idle | None]
) -> None:
    """Report a scheduler that starts none of the installed jobs, since it does not run."""
    jobs = state.installed()
    for by in sorted({job.by for job in jobs}):
        if (idle := why_idle(by)) is not None:
            names = ", ".join(sorted(job.job for job in jobs if job.by == by))
            text = f"{idle.reason}, so nothing starts the scheduled {names} ({idle.remedy})"
            report.add(Verdict.FAILED, "schedule", text)


def check_runs(report: CheckReport, state: State) -> None:
    """Check the scheduled runs: whether they took place, and how they ended."""
    installed = {job.job: job for job in state.installed()}
    for job in sorted(installed):
        run = state.last_run(job)
        if run is not None:
            report.runs.append(run)
        # Otherwise a red check would keep itself red.
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
            report.add(Verdict.FAILED, "schedule", text)
        return
    if run.exit_code:
        why = f": {run.error}" if run.error else ""
        text = f"the scheduled {job} of {age} ago failed with exit code {run.exit_code}{why}"
        report.add(Verdict.FAILED, "schedule", f"{text}; {again}")
    else:
        report.add(Verdict.PASSED, "schedule", f"the scheduled {job} of {age} ago succeeded")


def _overdue(report: CheckReport, job: Installed, run: RunRecord | None) -> None:
    local = (report.now - _RUN_SLACK).astimezone(MachineZone())
    due = parse_cron(job.when, job.job).last_before(local, skips_gap=job.by == "systemd")
    if due is None or due <= datetime.fromisoformat(job.since):
        return
    if run is None or run.start_time < due:
        late = span(report.now - due)
        text = f"the scheduled {job.job} is overdue since {late}: is {job.by} running?"
        report.add(Verdict.FAILED, "schedule", text)
