"""Asks snapshots one after another, in one throw-away server: a query, or the user's command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

from pgsnap.cli.text import render
from pgsnap.errors import Interrupted, QueryFailed, SnapError
from pgsnap.progress import SILENT, Progress
from pgsnap.runners.foreground import Ended, program_named, run_in_foreground
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.cli.wiring.invocation import Invocation
    from pgsnap.cli.wiring.looking.servers import Running, Servers
    from pgsnap.model import SnapshotId
    from pgsnap.repository.repository import Repository
    from pgsnap.workflows.throw_away.load import Loaded

_SKIP = 125
_STOP = 128
_SHOWN_CHARS = 60


class SearchStopped(SnapError):
    """A command said that the search is to stop."""

    kind = "search-stopped"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a snapshot answered. Equal *values* are equal answers; *words* are for the user. There
    is no value where it could not be asked."""

    value: str | None
    words: str


class Question(Protocol):
    """What every snapshot is asked. *good* is the answer of a good one, None if that is whatever
    the oldest says."""

    good: str | None

    def load(
        self, repo: Repository, snapshot_id: SnapshotId, running: Running, progress: Progress
    ) -> Loaded:
        """Load what it needs of a snapshot."""

    def answer(self, running: Running, database: str, snapshot_id: SnapshotId) -> Answer:
        """Ask the snapshot that is loaded. Raises SearchStopped, Interrupted."""


class ByCommand:
    """The user's command: 0 is good, 125 cannot be asked, 128 and more stops, others are bad."""

    good: str | None = "succeeds"

    def __init__(self, argv: Sequence[str], tables: Sequence[str], *, json: bool) -> None:
        from pgsnap.workflows.contents.table_names import parse_tables

        program_named(argv[0])
        self._argv = argv
        self._tables = parse_tables(tables)
        self._json = json

    def load(
        self, repo: Repository, snapshot_id: SnapshotId, running: Running, progress: Progress
    ) -> Loaded:
        from pgsnap.workflows.throw_away.load import load

        return load(repo, snapshot_id, running.server, self._tables, progress=progress)

    def answer(self, running: Running, database: str, snapshot_id: SnapshotId) -> Answer:
        environment = {**running.environment(database), "SNAP_REVISION": snapshot_id.hex()}
        # With --json, standard output is for one object.
        stdout = sys.stderr.fileno() if self._json else None
        ended = run_in_foreground(self._argv, stdout=stdout, env=environment)
        code = ended.exit_code
        if ended.interrupted or ended.asked_to_end:
            # Whatever its exit code is then, it says nothing of the snapshot.
            raise Interrupted(f"interrupted: the command {_how(ended)}")
        if code >= _STOP:
            raise SearchStopped(
                f"the command {_how(ended)}, which stops the search",
                detail="Exit codes from 128 on, and signals, say that something is wrong with the"
                " command itself.",
            )
        if code == _SKIP:
            return Answer(None, "cannot be asked: exit code 125")
        return Answer("succeeds" if code == 0 else "fails", f"exit code {code}")


class BySql:
    """A query: a snapshot is good if its answer is that of the oldest."""

    good: str | None = None

    def __init__(self, sql: str, tables: Sequence[str]) -> None:
        from pgsnap.workflows.contents.table_names import parse_tables
        from pgsnap.workflows.throw_away.answer import checked_query

        self._sql = checked_query(sql)
        self._tables = parse_tables(tables)

    def load(
        self, repo: Repository, snapshot_id: SnapshotId, running: Running, progress: Progress
    ) -> Loaded:
        from pgsnap.workflows.throw_away.for_query import load_for_query

        return load_for_query(
            repo, snapshot_id, running.server, self._sql, self._tables, progress=progress
        )[0]

    def answer(self, running: Running, database: str, snapshot_id: SnapshotId) -> Answer:
        from blake3 import blake3

        from pgsnap.workflows.throw_away.answer import answer

        hasher = blake3()
        begin = b""
        try:
            for block in answer(running.server, database, self._sql, "csv"):
                hasher.update(block)
                begin = begin or block
        except QueryFailed as error:
            return Answer(None, f"cannot be asked: {error.message}")
        return Answer(hasher.hexdigest(), _first_row(begin))


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks *question* of the snapshots of a repository, in one of *servers*."""

    invocation: Invocation
    repo: Repository
    servers: Servers
    question: Question

    def ask(self, snapshot_id: SnapshotId) -> Answer:
        """Load what the question needs, ask, and drop it again. Raises TargetRefused,
        RestoreFailed, CorruptionError, SearchStopped, Interrupted."""
        from pgsnap.targets.checks.requirements import source_major
        from pgsnap.workflows.throw_away.load import drop

        running = self.servers.of(source_major(self.repo.snapshot(snapshot_id).origin))
        console = self.invocation.console
        # Where no bar is to be seen, a line for each answer is enough.
        watched = console.terminal.stderr_is_terminal and not console.json
        with console.progress() if watched else nullcontext(SILENT) as progress:
            loaded = self.question.load(self.repo, snapshot_id, running, progress)
        console.terminal.flush()
        found = self.question.answer(running, loaded.database, snapshot_id)
        drop(running.server, loaded.database)
        return found


def _how(ended: Ended) -> str:
    return f"ended by {ended.signal}" if ended.signal else f"ended with {ended.exit_code}"


def _first_row(begin: bytes) -> str:
    """Return the first row of an answer, for people."""
    lines = begin.decode("utf-8", "replace").splitlines()[1:]
    if not lines:
        return "no row"
    more = " …" if len(lines) > 1 or len(lines[0]) > _SHOWN_CHARS else ""
    return render.plain(lines[0][:_SHOWN_CHARS]) + more
