"""Doctor: checks the whole setup, in the order in which to fix it. Read-only."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from pgsnap.errors import CorruptionError, RepositoryLocked, SnapError
from pgsnap.maintenance.verify.withheld import PUT_BACK, not_shown
from pgsnap.model import Finding, Origin, SourceKind, Verdict
from pgsnap.repository import layout
from pgsnap.repository.access import closing_command, open_to_others
from pgsnap.repository.places.address import Address
from pgsnap.repository.repository import Repository
from pgsnap.schedulers.daemons import Idle
from pgsnap.schedulers.state import Installed
from pgsnap.sessions.base import Session, ident
from pgsnap.sessions.half_dropped import drop_command
from pgsnap.sessions.server import Server
from pgsnap.sources.bare_names import bare_names
from pgsnap.sources.extensions import left_behind, read_members
from pgsnap.sources.guarded.hindrances import find_hindrances
from pgsnap.sources.guarded.lock_room import lock_room
from pgsnap.targets.checks.preflight import (
    check_replaceable,
    check_server,
    connected_role,
    find_database,
)
from pgsnap.targets.swap.read_only import SETTING as READ_ONLY_SETTING
from pgsnap.targets.swap.read_only import is_read_only
from pgsnap.targets.swap.scratch import find_leftovers
from pgsnap.workflows.notes.kept_databases import read_kept_notes
from pgsnap.workflows.retention.policy import RETIRE_AFTER
from pgsnap.workflows.watch import facts
from pgsnap.workflows.watch.ages import span
from pgsnap.workflows.watch.change_detection import look_at_changes
from pgsnap.workflows.watch.doctor_snapshots import look_at_snapshots

_TOOLS = ("pg_dump", "pg_dumpall", "psql")
_NAMES_SHOWN = 5


def look_at_repository(
    where: Address,
    open_it: Callable[[], Repository],
    now: datetime,
    expected: Sequence[str] = (),
    server: Callable[[], str] = str,
    retire_after: timedelta = RETIRE_AFTER,
    half_dropped: Collection[str] = (),
) -> list[Finding]:
    """Return the steps about the repository: existence, privacy, write access; its snapshots,
    including those of the *expected* databases (if a label has several servers, those of the one
    whose system identifier *server* returns); its drills, kept databases, and stale locks. Kept
    databases that are *half_dropped* are left to the steps about the server."""
    # Of the folder as it is before snap enters it.
    access = _access(where) if isinstance(where, Path) else None
    try:
        with open_it() as repo:
            steps = [Finding("repository", Verdict.PASSED, f"{where} is there")]
            steps += [access] if access is not None else []
            steps += in_short(look_at_snapshots(repo, now, expected, server, retire_after))
            steps += in_short(_damaged_tags(repo))
            steps += [
                Finding("log", Verdict.FAILED, f"{words}: {PUT_BACK}", "See what: snap verify")
                for words in not_shown(repo)
            ]
            steps.append(_kept(repo, now, half_dropped))
    except RepositoryLocked as error:
        return [_lock(where, error, now)]
    except SnapError as error:
        damaged = isinstance(error, CorruptionError)
        look = f"See what is there: ls -la {where}" if isinstance(where, Path) else ""
        way = "Mend it: snap repair" if damaged else look
        return [Finding("repository", Verdict.FAILED, error.message, error.hint or way)]
    return steps


def _lock(where: Address, error: RepositoryLocked, now: datetime) -> Finding:
    found = facts.held_lock(where, now)
    if found.verdict is Verdict.FAILED:
        text = f"another process has held the repository for {found.reason}"
        hint = "See whether a snap gc hangs on another host"
        if isinstance(where, Path):
            hint = f"See who, and whether it hangs: fuser -v {where / layout.LOCK_FILE}"
    else:
        text = f"{error.message}, so nothing in it was looked at"
        hint = "Wait for it, then again: snap doctor"
    return replace(found, reason=text, help=hint)


def _access(path: Path) -> Finding:
    mode = open_to_others(path)
    if mode is not None:
        text = f"others may enter the folder (mode {mode:04o})"
        return Finding("access", Verdict.FAILED, text, f"Close it: {closing_command(path)}")
    if not os.access(path, os.W_OK):
        text = "the folder cannot be written"
        return Finding("access", Verdict.FAILED, text, f"As its owner: chmod u+w {path}")
    return Finding("access", Verdict.PASSED, "only its owner may enter it, and write")


def _damaged_tags(repo: Repository) -> list[Finding]:
    way = "Put it aside, or mend it from a copy (--from PATH): snap repair"
    return [
        Finding("tags", Verdict.FAILED, f'tag "{name}" of {label} is damaged', way)
        for label, name in repo.tags.damaged()
    ]


def _kept(repo: Repository, now: datetime, half_dropped: Collection[str]) -> Finding:
    kept = [one for one in read_kept_notes(repo).kept() if one.name not in half_dropped]
    if not kept:
        return Finding("kept", Verdict.PASSED, "no replaced database is kept")
    words = ", ".join(f"{one.name} ({span(now - one.since)})" for one in kept)
    text = f"replaced databases are kept: {words}"
    if any(one.live in half_dropped for one in kept):
        way = "Put back what nobody can enter: snap undo --no-safety-snapshot"
    else:
        way = "Where the restore was right: snap undo --discard"
    return Finding("kept", Verdict.WARNED, text, way)


def look_at_half_dropped(names: Iterable[str], live: str) -> list[Finding]:
    """Return the steps about databases that can no longer be connected to; *live* is the one under
    examination."""
    steps = []
    for name in names:
        if name == live:
            text = f"the database {name} is half-dropped: nobody can enter it"
            way = "Put back the kept one, if there is one (snap undo --no-safety-snapshot), else a"
            way += " snapshot (snap restore REV --no-safety-snapshot)"
            steps.append(Finding("database", Verdict.FAILED, text, way))
        else:
            way = f"Drop it in psql: {drop_command(name)}"
            text = f"half-dropped: cannot be put back: {name}"
            steps.append(Finding("database", Verdict.WARNED, text, way))
    return in_short(steps)


def look_at_server(
    server: Server,
    unnamed_hint: str = "",
    databases: Sequence[str] = (),
    half_dropped: Collection[str] = (),
    *,
    checkpoint: bool = True,
    direct: bool = True,
) -> list[Finding]:
    """Return the steps about PostgreSQL: connection, client tools, privileges to read and to
    restore, in each of *databases* if there are any, else in that of *server*; and leftovers of
    killed restores.

    *unnamed_hint* is the hint if the server was not named and does not answer. Databases that are
    *half_dropped* cannot be connected to. *checkpoint*: whether commits may request checkpoints;
    *direct*: whether they could read only what changed.
    """
    is_dead = server.endpoint.database in half_dropped
    try:
        # A login trigger might write, and this must be read-only.
        server = server.without_event_triggers()
        with server.connect(server.maintenance_database() if is_dead else None) as session:
            version = session.server_version_num
            words = f"{server.endpoint.display()} answers, PostgreSQL {version // 10000}"
            steps = [Finding("server", Verdict.PASSED, words), _tools(server)]
            if not databases and not is_dead:
                steps += [_rights_to_read(session), *_lock_room(session)]
                steps += [*_extensions(session), *_hindrances(session)]
                steps.append(look_at_changes(session, checkpoint=checkpoint, direct=direct))
                steps += _rights_to_restore(server, session, server.endpoint.database)
            left = _leftovers(server, session)
    except SnapError as error:
        return [Finding("server", Verdict.FAILED, error.message, unnamed_hint or error.hint)]
    rights = [
        step
        for name in databases
        for step in _look_at_database(server, name, checkpoint=checkpoint, direct=direct)
    ]
    return [*steps, *in_short(rights), left]


def _look_at_database(
    server: Server, name: str, *, checkpoint: bool, direct: bool
) -> list[Finding]:
    try:
        with server.connect(name) as session:
            steps = [_rights_to_read(session, f" in {name}"), *_lock_room(session, f" of {name}")]
            steps += [*_extensions(session), *_hindrances(session)]
            changes = look_at_changes(session, f" in {name}", checkpoint=checkpoint, direct=direct)
            steps.append(changes)
            if name != server.maintenance_database():
                # The maintenance database is never restored over.
                steps += _rights_to_restore(server, session, name)
            return steps
    except SnapError as error:
        text = f"database {name} does not answer: {error.message}"
        return [Finding("server", Verdict.FAILED, text, error.hint)]


def _extensions(session: Session) -> list[Finding]:
    """Return what snapshots of the session's database will lack, and what restores do not
    create."""
    origin = Origin(SourceKind.POSTGRES, extension_members=read_members(session).left_out)
    way = "Keep what makes it in a script of your own (docs/extensions.md)"
    steps = [Finding("extensions", Verdict.WARNED, words, way) for words in left_behind(origin)]
    bare = bare_names(session)
    steps += [Finding("restorable", Verdict.FAILED, one.text, one.way_out) for one in bare]
    return steps


def _hindrances(session: Session) -> list[Finding]:
    """Return what makes every snapshot of the session's database impossible to restore."""
    verdicts = {True: Verdict.FAILED, False: Verdict.WARNED}
    found = find_hindrances(session)
    return [Finding("restorable", verdicts[one.is_certain], one.text, one.way) for one in found]


def _tools(server: Server) -> Finding:
    try:
        found = [server.tool(name) for name in _TOOLS]
    except SnapError as error:
        return Finding("tools", Verdict.FAILED, error.message, error.hint)
    version = found[0].version_line.partition(") ")[2].partition(" ")[0]
    return Finding("tools", Verdict.PASSED, f"{', '.join(_TOOLS)} of version {version} are there")


def _rights_to_read(session: Session, where: str = "") -> Finding:
    name = connected_role(session).name
    rows = session.query(
        "SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p', 'm', 'S')"
        " AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"
        " AND NOT pg_catalog.starts_with(n.nspname, 'pg_temp_')"
        " AND NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') ORDER BY 1"
    )
    grant = f"GRANT pg_read_all_data TO {ident(name)}; ALTER ROLE {ident(name)} BYPASSRLS;"
    if rows:
        shown = ", ".join(str(row[0]) for row in rows[:_NAMES_SHOWN])
        text = (
            f"the role {name} may not read {len(rows)} of the tables and sequences{where}: {shown}"
        )
        return Finding("backup rights", Verdict.FAILED, text, f"As a superuser: {grant}")
    hidden = session.query(
        "SELECT 1 FROM pg_catalog.pg_class WHERE relrowsecurity"
        " AND pg_catalog.row_security_active(oid) LIMIT 1"
    )
    if hidden:
        text = f"row security{where} hides rows from the role {name}, so pg_dump will refuse"
        return Finding("backup rights", Verdict.FAILED, text, f"As a superuser: {grant}")
    return Finding("backup rights", Verdict.PASSED, f"the role {name} may read everything{where}")


def _lock_room(session: Session, where: str = "") -> list[Finding]:
    room = lock_room(session)
    if not room.is_short:
        return []
    text = (
        f"pg_dump locks all {room.tables:,} tables{where} at once, and the server has room for"
        f" about {room.locks:,} locks"
    )
    way = f"In postgresql.conf: max_locks_per_transaction = {room.advised}; then restart the server"
    return [Finding("locks", Verdict.WARNED, text, way)]


def _rights_to_restore(server: Server, session: Session, database: str) -> list[Finding]:
    me = connected_role(session)
    found = check_server(session, me)
    steps = []
    live = find_database(session, database)
    if live is not None:
        found += check_replaceable(session, me, live, server.maintenance_database())
        if is_read_only(session, live):
            text = (
                f"new sessions of {database} can only read; a killed restore --read-only does that"
            )
            way = f"Let them write: ALTER DATABASE {ident(database)} RESET {READ_ONLY_SETTING};"
            steps.append(Finding("read-only", Verdict.WARNED, text, way))
    if not found.problems:
        text = f"the role {me.name} may restore over {database}"
        return [Finding("restore rights", Verdict.PASSED, text), *steps]
    # Many back up with a role that cannot restore, and rightly so.
    first = found.problems[0]
    text = f"this role could not restore over {database}: {first.message}"
    return [Finding("restore rights", Verdict.WARNED, text, first.hint), *steps]


def _leftovers(server: Server, session: Session) -> Finding:
    left = find_leftovers(session, server.connect)
    if not left:
        return Finding("leftovers", Verdict.PASSED, "no killed restore left anything")
    names = ", ".join(one.name for one in left)
    text = f"killed restores left: {names}"
    way = "Drop what killed restores left, as each restore and drill does: snap drill"
    return Finding("leftovers", Verdict.WARNED, text, way)


def look_at_schedule(
    installed: Iterable[Installed],
    active_jobs: Callable[[str], frozenset[str]],
    why_idle: Callable[[str], Idle | None],
    runs_at_times: Callable[[str], Idle | None],
) -> Finding:
    """Return the step about scheduled runs. *active_jobs* returns those that a scheduler has;
    *why_idle* why it does not run, and *runs_at_times* why it does not always."""
    jobs = {job.job: job for job in installed}
    if "commit" not in jobs:
        way = 'Schedule it: snap schedule install --commit "0 2 * * *"'
        return Finding("schedule", Verdict.WARNED, "no commit is scheduled", way)
    by = jobs["commit"].by
    if (idle := why_idle(by)) is not None:
        text = f"{idle.reason}, so nothing starts what is scheduled: {', '.join(jobs)}"
        return Finding("schedule", Verdict.FAILED, text, f"Change that: {idle.remedy}")
    active = active_jobs(by)
    if lost := [job for job in jobs.values() if job.job not in active]:
        text = f"{by} does not have them any more: {', '.join(job.job for job in lost)}"
        times = " ".join(f'--{job.job} "{job.when}"' for job in jobs.values())
        way = f"Install them again: snap schedule install {times}"
        return Finding("schedule", Verdict.FAILED, text, way)
    words = ", ".join(f"{job.job} ({job.when})" for job in jobs.values())
    if (doubt := runs_at_times(by)) is not None:
        text = f"scheduled by {by}: {words}; but {doubt.reason}"
        return Finding("schedule", Verdict.WARNED, text, f"Let them run always: {doubt.remedy}")
    return Finding("schedule", Verdict.PASSED, f"scheduled by {by}: {words}")


def in_short(steps: Iterable[Finding]) -> list[Finding]:
    """Return *steps* with at most five per check and verdict; the rest are summed up in one."""
    found: dict[tuple[str, Verdict], list[Finding]] = {}
    for step in steps:
        found.setdefault((step.check, step.verdict), []).append(step)
    short = []
    for (check, verdict), group in found.items():
        short += group[:_NAMES_SHOWN]
        more = len(group) - _NAMES_SHOWN
        if more > 0:
            is_well = verdict is Verdict.PASSED
            way = "" if is_well else "Mend those that are named, then again: snap doctor"
            short.append(Finding(check, verdict, f"and {more} more", way))
    return short
