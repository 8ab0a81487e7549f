"""The swap: a database takes another's name, in one transaction, while clients keep connecting.

The renames and everything that belongs to them are one message on one session, so the server does
all of it or nothing, even if this process dies halfway. A rename waits until nobody is connected,
and meanwhile holds a lock that makes new logins wait; a second session terminates the existing
backends. ALLOW_CONNECTIONS is never touched: after a kill it would leave the database closed to
all.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from pgsnap import interrupts
from pgsnap.errors import ConnectionFailed, Interrupted, QueryFailed, RestoreFailed, SnapError
from pgsnap.progress import SILENT, Progress
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.sessions.half_dropped import CONNECTION_LIMIT as HALF_DROPPED
from pgsnap.sessions.server import Server
from pgsnap.targets.naming import application_name
from pgsnap.values import dataclass

SWAP_TIMEOUT_SECONDS = 60.0
# How long one attempt may wait for the lock on the database, since logins queue behind it.
_LOCK_TIMEOUT_MS = 5000
_TERMINATE_EVERY_SECONDS = 0.02
# How long a session of the swap is asked for, and how often.
_CONNECT_SECONDS = 5.0
_CONNECT_AGAIN_SECONDS = 0.1
# How long the message may take to end after it was cancelled.
_CANCEL_SECONDS = 10.0
_BACKOFF_SECONDS = (0.1, 0.3, 1.0, 2.0)

# Database in use; lock not available; deadlock; statement cancelled by a timeout.
_RETRIED = frozenset({"55006", "55P03", "40P01", "57014"})
# No such database; the name is taken; our own check of the OIDs divided by zero.
_CHANGED = frozenset({"3D000", "42P04", "22012"})


@dataclass(frozen=True, slots=True)
class Rename:
    """The database with this OID, now called *old*, is renamed to *new*. If it is put *aside* it
    may be half-dropped: the server allows renaming such a database, but not connecting to it."""

    oid: int
    old: str
    new: str
    aside: bool = False


@dataclass(frozen=True, slots=True)
class SwapReport:
    """*unreachable_seconds* is an upper bound on how long new logins to the live name failed."""

    seconds: float
    unreachable_seconds: float
    attempts: int


def swap(
    server: Server,
    renames: Sequence[Rename],
    statements: Sequence[str],
    *,
    token: str,
    timeout_seconds: float = SWAP_TIMEOUT_SECONDS,
    progress: Progress = SILENT,
) -> SwapReport:
    """Apply *renames* in order, then *statements*, in one transaction.

    Raises RestoreFailed if it cannot be done in time, or a database changed since; then nothing is
    renamed. The outcome is read from the server, even if the connection is lost. Raises Interrupted
    if a signal arrived but everything was done nevertheless.
    """
    started = time.monotonic()
    message = swap_message(renames, statements)
    attempts = 0
    while True:
        attempts += 1
        try:
            unreachable = _attempt(server, renames, message, token, progress)
        except QueryFailed as error:
            waited = time.monotonic() - started
            if error.sqlstate not in _RETRIED or waited > timeout_seconds:
                raise _explained(error, renames, attempts) from error
            progress.say(f"the database is in use, trying again ({error.message})")
            interrupts.sleep(_BACKOFF_SECONDS[min(attempts, len(_BACKOFF_SECONDS)) - 1])
        except ConnectionFailed as error:
            if not _is_done_after_all(server, renames, token):
                raise RestoreFailed(
                    "the connection was lost during the swap",
                    detail=f"Nothing was renamed. {error.message}.",
                    hint="Run the restore again.",
                ) from error
            unreachable = time.monotonic() - started
            break
        else:
            break
    return SwapReport(
        seconds=time.monotonic() - started, unreachable_seconds=unreachable, attempts=attempts
    )


def swap_aside(
    aside: Callable[[], AbstractContextManager[None]],
    server: Server,
    renames: Sequence[Rename],
    statements: Sequence[str],
    *,
    token: str,
    progress: Progress = SILENT,
) -> SwapReport:
    """Run `swap` within *aside*, while services are stopped. A signal that arrives after it, while
    they restart, raises Interrupted, which says so; the server is queried."""
    done: SwapReport | None = None
    try:
        with aside():
            done = swap(server, renames, statements, token=token, progress=progress)
        interrupts.check()
    except KeyboardInterrupt as stop:
        is_done = done is not None
        with contextlib.suppress(SnapError):
            is_done = is_done or _is_done(server, renames, token)
        if is_done:
            raise interrupted_after(renames) from stop
        raise
    return done


def swap_message(renames: Sequence[Rename], statements: Sequence[str]) -> str:
    """Return the single message that does everything or nothing.

    The names are looked up by OID after the renames, when nobody else can change them: a database
    that was put in another's place in the meantime is never mistaken for it, and one whose DROP was
    interrupted in the meantime does not replace another.
    """
    parts = [
        "BEGIN",
        f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}",
        # The load did not wait for its WAL; this commit does, for everything before it too.
        "SET LOCAL synchronous_commit = on",
        *(f"ALTER DATABASE {ident(r.old)} RENAME TO {ident(r.new)}" for r in renames),
        *(
            "SELECT 1 / (SELECT pg_catalog.count(*) FROM pg_catalog.pg_database"
            f" WHERE oid = {r.oid} AND datname = {literal(r.new)}"
            + ("" if r.aside else f" AND datconnlimit <> {HALF_DROPPED}")
            + ")"
            for r in renames
        ),
        *statements,
        "COMMIT",
    ]
    return "; ".join(parts)


def _connect(server: Server, database: str, name: str) -> Session:
    """Connect, for a few seconds again and again: sessions that this restore has closed count
    against the limit of a role or database until their processes at the server have ended."""
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            return server.connect(database, name)
        except ConnectionFailed:
            if time.monotonic() > deadline:
                raise
            interrupts.sleep(_CONNECT_AGAIN_SECONDS)


def _attempt(
    server: Server, renames: Sequence[Rename], message: str, token: str, progress: Progress
) -> float:
    """Send the message once, terminating backends until it returns. Returns its duration in
    seconds."""
    name = f"{application_name(token)} swap"
    maintenance = server.maintenance_database()
    with (
        _connect(server, maintenance, name) as session,
        _connect(server, maintenance, application_name(token)) as ender,
    ):
        job = _SwapJob(session, message)
        with interrupts.uncut():
            job.start()
            try:
                _end_backends_until_done(job, session, ender, [r.oid for r in renames], progress)
            finally:
                if not job.ended.is_set():
                    session.cancel()
                    job.ended.wait(_CANCEL_SECONDS)
        if job.is_done:
            try:
                interrupts.check()
            except interrupts.Stopped as stop:
                raise interrupted_after(renames) from stop
            return job.seconds
        interrupts.check()
        raise job.error or ConnectionFailed("the swap ended without an answer")


def _end_backends_until_done(
    job: _SwapJob, session: Session, ender: Session, oids: Sequence[int], progress: Progress
) -> None:
    """Wait until *job* has ended. A signal cancels it; then it ends soon, one way or the other, and
    is waited for: its outcome would be unknown otherwise."""
    deadline = time.monotonic() + SWAP_TIMEOUT_SECONDS
    while not job.ended.is_set():
        if interrupts.is_pending():
            progress.say(
                f"interrupted: the swap is cancelled; the server's process {job.process} ends it"
            )
            return
        end_backends(ender, oids)
        job.ended.wait(_TERMINATE_EVERY_SECONDS)
        if time.monotonic() > deadline:
            # A commit may wait for a standby forever, and logins queue behind it. This ends the
            # wait as for any commit cancelled at that point: done, but only on this server.
            session.cancel()
            deadline += SWAP_TIMEOUT_SECONDS


def interrupted_after(renames: Sequence[Rename]) -> Interrupted:
    """Return the error for a signal that arrived after the renames were committed."""
    return Interrupted(
        "interrupted, but the databases were renamed already",
        detail=" ".join(f"{r.old} is called {r.new} now." for r in renames),
        hint="To take it back: snap undo" if len(renames) > 1 else "",
    )


class _SwapJob(threading.Thread):
    """Runs the message in a thread, so that this one can terminate backends meanwhile."""

    def __init__(self, session: Session, message: str) -> None:
        super().__init__(name="swap", daemon=True)
        self._session = session
        self._message = message
        self.process = session.query("SELECT pg_catalog.pg_backend_pid()")[0][0]
        self.error: SnapError | None = None
        self.is_done = False
        self.seconds = 0.0
        self.ended = threading.Event()

    def run(self) -> None:
        started = time.monotonic()
        try:
            self._session.execute(self._message)
            self.is_done = True
        except SnapError as error:
            self.error = error
        finally:
            self.seconds = time.monotonic() - started
            self.ended.set()


def end_backends(session: Session, database_oids: Sequence[int]) -> None:
    """Terminate the backends in these databases that we may terminate. The server ends autovacuum
    itself."""
    oids = ", ".join(str(oid) for oid in database_oids)
    try:
        session.query(
            "SELECT pg_catalog.pg_terminate_backend(a.pid)"
            " FROM pg_catalog.pg_stat_activity a"
            " JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid"
            " JOIN pg_catalog.pg_roles me ON me.rolname = current_user"
            f" WHERE a.datid IN ({oids}) AND a.pid <> pg_catalog.pg_backend_pid()"
            " AND (me.rolsuper OR (NOT r.rolsuper AND"
            " (pg_catalog.pg_has_role(r.oid, 'USAGE')"
            " OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE'))))"
        )
    except QueryFailed:
        # A role's attributes changed in the meantime. The rename's own error says who is in the
        # way.
        return


def database_oid(session: Session, name: str) -> int | None:
    """Return the OID of a database, None if there is no such database."""
    rows = session.query(f"SELECT oid FROM pg_catalog.pg_database WHERE datname = {literal(name)}")
    return int(rows[0][0] or 0) if rows else None


def _is_done_after_all(server: Server, renames: Sequence[Rename], token: str) -> bool:
    try:
        return _is_done(server, renames, token)
    except ConnectionFailed as error:
        names = " and ".join(f"{r.old} is called {r.new}" for r in renames)
        raise RestoreFailed(
            "the connection was lost during the swap, and the server cannot be asked",
            detail=f"All of it was done or nothing. If it was, {names}. {error.detail}".strip(),
            hint="Look at the databases (psql -l) once the server is up; then run the restore"
            " again, or snap undo to take it back.",
        ) from error


def _is_done(server: Server, renames: Sequence[Rename], token: str) -> bool:
    """Return whether the swap was committed, once its backend is certainly gone."""
    name = literal(f"{application_name(token)} swap")
    with server.connect(server.maintenance_database(), application_name(token)) as session:
        deadline = time.monotonic() + SWAP_TIMEOUT_SECONDS
        while session.query(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
            f" WHERE application_name = {name}"
        ):
            if time.monotonic() > deadline:
                raise RestoreFailed(
                    "the connection was lost during the swap, and its backend does not end",
                    hint="See in psql (\\l) which database has the name, then run snap undo"
                    " or the restore again.",
                )
            interrupts.sleep(_TERMINATE_EVERY_SECONDS)
        return all(database_oid(session, r.new) == r.oid for r in renames)


def _explained(error: QueryFailed, renames: Sequence[Rename], attempts: int) -> RestoreFailed:
    if error.sqlstate in _RETRIED:
        return RestoreFailed(
            "the database stayed in use, so it could not be replaced",
            detail=f"{attempts} attempts. {error.message}. {error.detail}".strip(),
            hint="Stop the services that use it (or their pooler), then run it again.",
        )
    if error.sqlstate in _CHANGED:
        names = " and ".join(r.old for r in renames)
        return RestoreFailed(
            "somebody renamed, dropped or made a database meanwhile; nothing was changed",
            detail=f"Expected {names} as they were. {error.message}.",
            hint="Look at the databases (psql -l), then run it again.",
        )
    return RestoreFailed(f"the swap failed: {error.message}", detail=error.detail, hint=error.hint)
