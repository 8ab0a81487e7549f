"""The drill's checks of the snapshot's surroundings: server, tools, folder, space."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pgsnap.dump.events import text_of
from pgsnap.errors import QueryFailed, SnapError, ToolVersion
from pgsnap.limits import ASSERTION_TIMEOUT_SECONDS
from pgsnap.maintenance.verify.verify import VerifyReport
from pgsnap.model import Finding, Snapshot, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.runners.base import Runner
from pgsnap.sessions.server import Server
from pgsnap.sources.base import dump_events, reading
from pgsnap.sources.postgres import PostgresSource
from pgsnap.targets.checks.requirements import source_major
from pgsnap.words import plural, size
from pgsnap.workflows.drill.report import failed, passed, skipped
from pgsnap.workflows.restore.plan import RestorePlan

_PROGRAMS = ("pg_dump", "pg_dumpall", "psql")
_TOLD_MAX = 5
_DAMAGE_MAX = 10
# As for the server: below this margin a disk counts as full.
_SPACE_MARGIN = 1.1
_VALUE_CHARACTERS = 80


def check_tools(server: Server, *, allow_newer: bool) -> Finding:
    """Check that the client programs match the server. Raises ToolMissing, ToolVersion."""
    tools = [server.tool(name, allow_newer=allow_newer) for name in _PROGRAMS]
    server_major = server.version_num // 10000
    newer = [tool.name for tool in tools if tool.major != server_major]
    words = f"{', '.join(_PROGRAMS)} of PostgreSQL {tools[0].major}"
    if newer:
        words += f", newer than the server ({server_major}), as --allow-newer-client allows"
    return passed(words, *(f"{tool.version_line}: {tool.path}" for tool in tools))


def check_tools_offline(runner: Runner, snapshot: Snapshot) -> Finding:
    """Check that there are programs for the server that the snapshot came from. Raises ToolMissing,
    ToolVersion."""
    major = source_major(snapshot.origin)
    tools = [runner.find(name, major) for name in _PROGRAMS]
    for tool in tools:
        if major is not None and tool.major != major:
            raise ToolVersion(
                f"{tool.name} is version {tool.major}, the snapshot comes from version {major}",
                detail=f"Found only {tool.version_line} at {tool.path}.",
                hint=f"Run `apt install postgresql-client-{major}`.",
            )
    words = f"{', '.join(_PROGRAMS)} of PostgreSQL {tools[0].major}; no server was asked"
    return passed(words, *(f"{tool.version_line}: {tool.path}" for tool in tools))


# -- the folder ------------------------------------------------------------------------------------


def check_folder(repo: Repository) -> Finding:
    """Check that only its owner can read the repository."""
    folder = repo.place.path
    if folder is None:
        return skipped(f"{repo.place} is no folder of this host")
    wide = list(islice(_too_wide(folder), _TOLD_MAX + 1))
    if wide:
        more = ["and more"] if len(wide) > _TOLD_MAX else []
        return failed(
            f'others than the owner have access to "{folder}"',
            *wide[:_TOLD_MAX],
            *more,
            hint=f"Run: chmod -R go-rwx '{folder}'",
        )
    words = f"{folder}: folders 0700, files 0600"
    return passed(words if repo.place.is_writable() else f"{words}; it cannot be written")


def _too_wide(top: Path) -> Iterator[str]:
    """Yield what is accessible to group or others, with its mode."""
    for folder, _, files in os.walk(top):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                continue
            if not stat.S_ISLNK(mode) and mode & 0o077:
                yield f"{path}: {stat.S_IMODE(mode):04o}"


# -- space -----------------------------------------------------------------------------------------


def check_space(repo: Repository, plan: RestorePlan | None, why_unknown: str) -> Finding:
    """Check that the server has room for the restored database, and the repository's folder for
    another snapshot: as much as the newest one added."""
    newest = [repo.snapshot(found).stored_bytes for found in repo.newest(None, 10)]
    need = max(newest, default=0)
    room = repo.place.room()
    own = f"a snapshot took up to {size(need)}"
    if room is not None:
        own = f"the repository has {size(room.free_bytes)} free, {own}"
    if room is not None and room.free_bytes < need * _SPACE_MARGIN:
        return failed(
            f"the disk of {repo.place} is nearly full",
            f"{own}.",
            hint="Drop what is not needed: snap gc",
        )
    if plan is None:
        return passed(f"{own}; {why_unknown}")
    needs = f"the restored database takes about {size(plan.needed_bytes)}"
    if plan.free_bytes is None:
        return passed(f"{own}; {needs}, and what the server has free is not seen from here")
    if plan.free_bytes < plan.needed_bytes * _SPACE_MARGIN:
        return failed(
            f"the server has too little space: {size(plan.free_bytes)} are free",
            f"{needs}.",
            hint="Free space there, or drop a kept database: snap undo --discard",
        )
    return passed(f"{own}; {needs}, {size(plan.free_bytes)} are free")


# -- a snapshot ------------------------------------------------------------------------------------


def judge_verify(
    report: VerifyReport, snapshot_id: SnapshotId, snapshot: Snapshot
) -> tuple[Finding, list[str]]:
    """Return what *report* says about the snapshot, and any other damage."""
    hit = [found for found in report.findings if snapshot_id in found.snapshots]
    besides = [
        f"damaged besides: {other.name} ({other.next} mends it)"
        for other in report.findings
        if other not in hit
    ]
    if hit:
        lines = [f"{found.name}: {found.problem} {', '.join(found.sections)}" for found in hit]
        outcome = failed(
            f"{plural(len(hit), 'finding')} of damage: {hit[0].name}",
            *[line.rstrip() for line in lines[:_DAMAGE_MAX]],
            hint=f"Run: {hit[0].next}",
        )
    else:
        whole = f"{plural(report.sections, 'section')} read whole"
        outcome = passed(f"{whole}, {size(snapshot.plain_bytes)} of dump")
    return outcome, besides


def check_commit(
    repo: Repository,
    server: Server,
    database: str,
    *,
    lock_wait_timeout_seconds: float,
    allow_newer: bool,
) -> Finding:
    """Dump the live database's definitions and discard them, up to pg_dump's end mark: this proves
    that the role may read every table and that no lock is in the way. Raises what the source
    raises."""
    source = PostgresSource(
        server,
        database=database,
        lock_wait_timeout_seconds=lock_wait_timeout_seconds,
        allow_newer_client=allow_newer,
        with_globals=False,
        dump_options=("--schema-only",),
    )
    count = 0
    with reading(source):
        for block in text_of(dump_events(source)):
            count += len(block)
        source.finish()
    if not repo.place.is_writable():
        return failed(
            f'the repository "{repo.place}" cannot be written', hint="Make the folder writable."
        )
    words = f"pg_dump read all definitions of {database} ({size(count)}); nothing was recorded"
    return passed(words, *source.warnings)


# -- assertions ------------------------------------------------------------------------------------


def check_assertions(
    server: Server, database: str, folder: Path, trusted: frozenset[int]
) -> Finding:
    """Run the user's own queries in the restored database, each in a read-only transaction.

    A file passes if its last statement returns no row, or the single value true. Files of users
    that are not *trusted* are not run. Raises ConnectionFailed.
    """
    files = sorted(folder.glob("*.sql")) if folder.is_dir() else []
    if not files:
        return skipped(f'there are no files "{folder / "*.sql"}"')
    problems = []
    held = []
    for path in files:
        problem = _refused(path, trusted) or _broken(server, database, path)
        if problem:
            problems.append(f"{path.name}: {problem}")
        else:
            held.append(path.name)
    if problems:
        names = ", ".join(problem.partition(":")[0] for problem in problems[:_TOLD_MAX])
        return failed(
            f"not held: {len(problems)} of {plural(len(files), 'assertion')}: {names}", *problems
        )
    return passed(f"{len(held)} hold", *held)


def _refused(path: Path, trusted: frozenset[int]) -> str:
    """Return why a file is not run: SQL may read the server's files, and start programs."""
    found = path.stat()
    if found.st_uid not in trusted:
        return f"not run, because it belongs to user {found.st_uid}"
    if found.st_mode & stat.S_IWOTH:
        return "not run, because everybody may write to it"
    return ""


def _broken(server: Server, database: str, path: Path) -> str:
    """Return why an assertion fails, "" if it passes."""
    milliseconds = round(ASSERTION_TIMEOUT_SECONDS * 1000)
    try:
        sql = path.read_text("utf-8")
        # One session each, so that settings do not carry over to the next.
        with server.connect(database, "snap drill") as session:
            session.execute(
                f"SET statement_timeout = {milliseconds}; SET default_transaction_read_only = on;"
                " RESET search_path"
            )
            rows = session.query(sql)
    except QueryFailed as error:
        return f"{error.message}. {error.detail}".strip()
    except (OSError, UnicodeDecodeError) as error:
        return f"it cannot be read ({error})"
    if not rows or (len(rows) == 1 and rows[0] == ("t",)):
        return ""
    if len(rows) == 1 and rows[0] in (("f",), (None,)):
        return "it returned false" if rows[0][0] else "it returned NULL"
    first = ", ".join("NULL" if value is None else value for value in rows[0])
    return f"it returned {plural(len(rows), 'row')}, the first is ({first[:_VALUE_CHARACTERS]})"


def refused(plan: RestorePlan) -> Finding:
    """Return the finding that *plan* refuses to restore the snapshot, and why."""
    lines = []
    for problem in plan.refusals:
        lines.append(f"{problem.message}. {problem.detail}".strip())
        lines.append(f"  {problem.hint}")
    return failed(
        "; ".join(problem.message for problem in plan.refusals),
        *[line for line in lines if line.strip()],
        hint=plan.refusals[0].hint,
    )


def missing_extensions(server: Server, snapshot: Snapshot) -> list[str]:
    """Return the extensions of *snapshot* that are not installed on the server."""
    properties = snapshot.origin.properties
    if properties is None:
        return []
    try:
        with server.connect(server.maintenance_database()) as session:
            rows = session.query("SELECT name FROM pg_catalog.pg_available_extensions")
    except SnapError:
        return []
    present = {name for (name,) in rows}
    return [f"{e.name} {e.version}" for e in properties.extensions if e.name not in present]
