"""Doctor: looks at the whole set-up, in the order in which it is to be mended. Changes nothing."""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pgsnap.errors import CorruptionError, RepositoryLocked, SnapError
from pgsnap.repository import layout, lock
from pgsnap.repository.access import closing_command, open_to_others
from pgsnap.repository.repository import Repository
from pgsnap.schedulers.state import Installed
from pgsnap.sessions.base import Session, ident
from pgsnap.sessions.server import Server
from pgsnap.targets.preflight import check_replaceable, check_server, look_at, who_am_i
from pgsnap.targets.scratch import find_leftovers
from pgsnap.workflows.ages import LOCK_HELD_MAX, MAX_AGE, MAX_DRILL_AGE, span
from pgsnap.workflows.kept_notes import read_kept_notes
from pgsnap.workflows.verdicts import Drilled, drilled

_TOOLS = ("pg_dump", "pg_dumpall", "psql")
_NAMES_SHOWN = 5


class Health(enum.StrEnum):
    OK = "ok"
    WARNING = "warning"
    RED = "red"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at; *next* is what to do about it, "" where there is nothing."""

    name: str
    health: Health
    text: str
    next: str = ""


def look_at_repository(path: Path, open_it: Callable[[], Repository], now: datetime) -> list[Step]:
    """Return the steps about the repository: is it there, private, writable; its snapshots, its
    last drill, what it knows of kept databases, and locks that nobody gives back."""
    mode = open_to_others(path)
    try:
        with open_it() as repo:
            steps = [Step("repository", Health.OK, f"{path} is there")]
            steps.append(_access(path, mode))
            steps += _snapshots(repo, now)
            steps.append(_kept(repo, now))
    except RepositoryLocked as error:
        return [_lock(path, error, now)]
    except SnapError as error:
        damaged = isinstance(error, CorruptionError)
        way = "Mend it: snap repair" if damaged else f"See what is there: ls -la {path}"
        return [Step("repository", Health.RED, error.message, error.hint or way)]
    return steps


def _lock(path: Path, error: RepositoryLocked, now: datetime) -> Step:
    held = lock.held_since(path / layout.LOCK_FILE)
    if held is not None and now - held > LOCK_HELD_MAX:
        text = f"another process has held the repository for {span(now - held)}"
        hint = f"See who, and whether it hangs: fuser -v {path / layout.LOCK_FILE}"
        return Step("lock", Health.RED, text, hint)
    text = f"{error.message}, so nothing in it was looked at"
    return Step("lock", Health.WARNING, text, "Wait for it, then again: snap doctor")


def _access(path: Path, mode: int | None) -> Step:
    if mode is not None:
        text = f"others may enter the folder (mode {mode:04o})"
        return Step("access", Health.RED, text, f"Close it: {closing_command(path)}")
    if not os.access(path, os.W_OK):
        return Step(
            "access", Health.RED, "the folder cannot be written", f"As its owner: chmod u+w {path}"
        )
    return Step("access", Health.OK, "only its owner may enter it, and write")


def _snapshots(repo: Repository, now: datetime) -> list[Step]:
    newest = [repo.newest(label, 1)[0] for label in repo.databases()]
    if not newest:
        text = "there is no snapshot yet"
        return [Step("snapshot", Health.RED, text, 'Make one: snap commit -m "first snapshot"')]
    steps = []
    drills = drilled(repo)
    for snapshot_id in newest:
        snapshot = repo.snapshot(snapshot_id)
        age = now - snapshot.time
        words = f"the newest of {snapshot.database} is {span(age)} old"
        if age > MAX_AGE:
            hint = "Make one now: snap commit -m now. Then let it be made: snap schedule install"
            steps.append(Step("snapshot", Health.RED, words, hint))
        else:
            steps.append(Step("snapshot", Health.OK, words))
        mine = (
            drill
            for drilled_id, drill in drills.items()
            if repo.has_snapshot(drilled_id)
            and repo.snapshot(drilled_id).database == snapshot.database
        )
        last = max(mine, key=lambda one: one.time, default=None)
        steps.append(_drill(snapshot.database, last, now))
    return steps


def _drill(database: str, last: Drilled | None, now: datetime) -> Step:
    prove = "Prove that it can be restored: snap drill"
    if last is None:
        text = f"no restore of {database} was ever tried"
        return Step("drill", Health.WARNING, text, prove)
    age = now - last.time
    if not last.passed:
        text = f"the last drill of {database} failed, {span(age)} ago"
        return Step("drill", Health.RED, text, "See why: snap drill --verbose")
    if age > MAX_DRILL_AGE:
        text = f"the last drill of {database} was {span(age)} ago"
        return Step("drill", Health.WARNING, text, prove)
    return Step("drill", Health.OK, f"a drill of {database} passed {span(age)} ago")


def _kept(repo: Repository, now: datetime) -> Step:
    kept = read_kept_notes(repo).kept()
    if not kept:
        return Step("kept", Health.OK, "no replaced database is kept")
    words = ", ".join(f"{one.name} ({span(now - one.since)})" for one in kept)
    return Step(
        "kept",
        Health.WARNING,
        f"replaced databases are kept: {words}",
        "Where the restore was right: snap undo --discard",
    )


def look_at_server(server: Server, unnamed_hint: str = "") -> list[Step]:
    """Return the steps about PostgreSQL: reached, the client's tools, rights to read and to
    restore, and what killed restores left.

    *unnamed_hint* says what to do where nothing named this server and it does not answer."""
    try:
        with server.connect() as session:
            version = session.server_version_num
            steps = [
                Step(
                    "server",
                    Health.OK,
                    f"{server.endpoint.display()} answers, PostgreSQL {version // 10000}",
                )
            ]
            steps.append(_tools(server))
            steps.append(_rights_to_read(session))
            steps.append(_rights_to_restore(server, session))
            steps.append(_leftovers(server, session))
    except SnapError as error:
        return [Step("server", Health.RED, error.message, unnamed_hint or error.hint)]
    return steps


def _tools(server: Server) -> Step:
    try:
        found = [server.tool(name) for name in _TOOLS]
    except SnapError as error:
        return Step("tools", Health.RED, error.message, error.hint)
    version = found[0].version_line.partition(") ")[2].partition(" ")[0]
    return Step("tools", Health.OK, f"{', '.join(_TOOLS)} of version {version} are there")


def _rights_to_read(session: Session) -> Step:
    name = who_am_i(session).name
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
        text = f"the role {name} may not read {len(rows)} tables or sequences: {shown}"
        return Step("backup rights", Health.RED, text, f"As a superuser: {grant}")
    hidden = session.query(
        "SELECT 1 FROM pg_catalog.pg_class WHERE relrowsecurity"
        " AND pg_catalog.row_security_active(oid) LIMIT 1"
    )
    if hidden:
        text = f"row security hides rows from the role {name}, so pg_dump will refuse"
        return Step("backup rights", Health.RED, text, f"As a superuser: {grant}")
    return Step("backup rights", Health.OK, f"the role {name} may read everything")


def _rights_to_restore(server: Server, session: Session) -> Step:
    me = who_am_i(session)
    found = check_server(session, me)
    live = look_at(session, server.endpoint.database)
    if live is not None:
        found += check_replaceable(session, me, live, server.maintenance_database())
    if not found.problems:
        return Step("restore rights", Health.OK, f"the role {me.name} may restore over it")
    # Many make their backups with a role that cannot restore, and that is right.
    first = found.problems[0]
    text = f"this role could not restore: {first.message}"
    return Step("restore rights", Health.WARNING, text, first.hint)


def _leftovers(server: Server, session: Session) -> Step:
    left = find_leftovers(session, server.connect)
    if not left:
        return Step("leftovers", Health.OK, "no killed restore left anything")
    names = ", ".join(one.name for one in left)
    text = f"killed restores left: {names}"
    return Step("leftovers", Health.WARNING, text, "The next restore drops them.")


def look_at_schedule(installed: Iterable[Installed]) -> Step:
    """Return the step about scheduled runs."""
    jobs = {job.job: job for job in installed}
    if "commit" not in jobs:
        return Step(
            "schedule",
            Health.WARNING,
            "no commit is scheduled",
            'Schedule it: snap schedule install --commit "0 2 * * *"',
        )
    words = ", ".join(f"{job.job} ({job.when})" for job in jobs.values())
    return Step("schedule", Health.OK, f"scheduled by {jobs['commit'].by}: {words}")
