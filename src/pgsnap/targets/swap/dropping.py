"""DROP DATABASE, which must not be interrupted: halfway, the server has already deleted files.

A signal that arrives in the meantime is deferred until it ends. It may take long: the server asks
each of its processes to release the database's files, and an extension's worker may never respond.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from pgsnap import interrupts
from pgsnap.errors import ConnectionFailed, QueryFailed, SnapError, SourceError
from pgsnap.patterns import regex
from pgsnap.progress import SILENT, Progress
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.sessions.half_dropped import drop_command, half_dropped

# The server itself waits five seconds before it reports whom it waits for.
_TELL_AFTER_SECONDS = 3.0
_TELL_EVERY_SECONDS = 5.0
_BARRIER = "ProcSignalBarrier"
_NO_RIGHT = "42501"
# "still waiting for backend with PID 2044 to accept ProcSignalBarrier", in any language.
_PROCESS = regex(r"(\d+)")


def drop_database(
    session: Session,
    name: str,
    *,
    watch: Callable[[], Session] | None = None,
    progress: Progress = SILENT,
) -> None:
    """Drop a database and end its sessions; it is no error if it no longer exists or is
    half-dropped.

    If it takes longer, what it waits for is reported to *progress*, as seen by another session
    (*watch*). Raises Stopped after the database was dropped, QueryFailed, ConnectionFailed, whose
    hint says so if the database is half-dropped now.
    """
    (row,) = session.query(
        # The server reports whom it waits for only to its log, unless it is told to send that to
        # us.
        "SET client_min_messages = log; SELECT pg_catalog.pg_backend_pid()"
    )
    job = _Drop(session, f"DROP DATABASE IF EXISTS {ident(name)} WITH (FORCE)")
    teller = _Teller(session, str(row[0]), name, watch, progress)
    _run(job, teller)
    if job.error is not None:
        _explain(job.error, name, watch)
    interrupts.check()
    if job.error is not None:
        raise job.error
    with contextlib.suppress(SnapError):
        session.execute("RESET client_min_messages")


def drop_replaced(
    session: Session,
    name: str,
    *,
    watch: Callable[[], Session] | None = None,
    progress: Progress = SILENT,
) -> None:
    """Drop a database that snap did not create, even a template. Raises as `drop_database`."""
    if session.query(
        "SELECT 1 FROM pg_catalog.pg_database"
        f" WHERE datname = {literal(name)} AND datistemplate AND datconnlimit >= -1"
    ):
        session.execute(f"ALTER DATABASE {ident(name)} IS_TEMPLATE false")
    drop_database(session, name, watch=watch, progress=progress)


class _Drop(threading.Thread):
    """Runs the statement in a thread, so that the main thread can watch what it waits for."""

    def __init__(self, session: Session, sql: str) -> None:
        super().__init__(name="drop", daemon=True)
        self._session = session
        self._sql = sql
        self.error: SnapError | None = ConnectionFailed("the DROP ended without an answer")
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            self._session.execute(self._sql)
            self.error = None
        except SnapError as error:
            self.error = error
        finally:
            self.ended.set()


def _run(job: _Drop, teller: _Teller) -> None:
    """Run *job* to its end, whatever signals arrive."""
    with interrupts.uncut():
        # An earlier one is raised before anything is dropped.
        signals = interrupts.count()
        job.start()
        tell_at = time.monotonic() + _TELL_AFTER_SECONDS
        while not interrupts.happens(job.ended, interrupts.POLL_SECONDS):
            if (now := interrupts.count()) > signals:
                signals = now
                teller.tell(interrupted=True)
            elif time.monotonic() >= tell_at:
                teller.tell()
                tell_at = time.monotonic() + _TELL_EVERY_SECONDS


class _Teller:
    """Reports whom a DROP DATABASE of the backend *process* waits for."""

    def __init__(
        self,
        session: Session,
        process: str,
        name: str,
        watch: Callable[[], Session] | None,
        progress: Progress,
    ) -> None:
        self._session = session
        self._process = process
        self._name = name
        self._watch = watch
        self._progress = progress
        self._started = time.monotonic()

    def tell(self, *, interrupted: bool = False) -> None:
        seconds = round(time.monotonic() - self._started)
        words = f"DROP DATABASE {self._name} has taken {seconds} s"
        if interrupted:
            words = (
                f"interrupted, but DROP DATABASE {self._name} goes on to its end: cut short it"
                " leaves a database that nobody can enter"
            )
        self._progress.say(words + self._waits_for())

    def _waits_for(self) -> str:
        if self._watch is None:
            return ""
        try:
            with self._watch() as watching:
                return _whom(watching, self._process, self._session.notices())
        except SourceError:
            return ""


def _whom(watching: Session, process: str, notices: str) -> str:
    rows = watching.query(
        "SELECT wait_event_type, wait_event, pg_catalog.pg_blocking_pids(pid)::text"
        f" FROM pg_catalog.pg_stat_activity WHERE pid = {process}"
    )
    if not rows:
        return ""
    kind, event, blockers = rows[0]
    if kind == "Lock":
        found = _PROCESS.findall(blockers or "")
    elif event == _BARRIER:
        lines = [line for line in notices.splitlines() if _BARRIER in line]
        found = _PROCESS.findall(lines[-1].partition(_BARRIER)[0])[-1:] if lines else []
        if not found:
            return "; it waits for a process of the server that does not answer"
    else:
        found = []
    if not found:
        return ""
    return "; it waits for " + " and ".join(_described(watching, pid) for pid in found)


def _described(watching: Session, process: str) -> str:
    rows = watching.query(
        "SELECT backend_type, application_name, datname FROM pg_catalog.pg_stat_activity"
        f" WHERE pid = {process}"
    )
    kind, name, database = rows[0] if rows else (None, None, None)
    words = ", ".join(word for word in (kind, name, database and f"in {database}") if word)
    return f"process {process}" + (f" ({words})" if words else "")


def _explain(error: SnapError, name: str, watch: Callable[[], Session] | None) -> None:
    """Put into the error's hint what is left, if known."""
    if isinstance(error, QueryFailed) and error.sqlstate == _NO_RIGHT:
        error.hint = "Connect as its owner or as a superuser."
    if watch is None:
        return
    with contextlib.suppress(SnapError), watch() as session:
        if name in half_dropped(session):
            error.hint = f"{name} is half-dropped now. Drop it again: {drop_command(name)}"
