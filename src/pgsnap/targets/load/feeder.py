"""Feeds a dump to psql so that only a whole, verified dump can count as restored.

psql takes the end of its input for success, wherever it comes. So a load counts only when psql
ended with status 0 *and* a row came back that was asked for after the last verified block *and*
the server counted the rows of every table as the snapshot did. On any error, in the stream too,
psql is killed and never given end-of-file.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from pgsnap import interrupts
from pgsnap.dump.volatile import fresh_restrict_key
from pgsnap.errors import QueryFailed, RestoreFailed
from pgsnap.limits import READ_BYTES
from pgsnap.model import DumpEvent, Section, SectionKind, SectionName, SectionStart
from pgsnap.patterns import regex
from pgsnap.progress import SILENT, Progress
from pgsnap.runners.base import Child, Tool
from pgsnap.sessions.base import Session, literal
from pgsnap.sessions.server import Server
from pgsnap.targets.dumptext import understands_restrict
from pgsnap.targets.load.help import Facts, help_for
from pgsnap.targets.load.places import Places
from pgsnap.targets.load.psql_messages import Help, failure_in, restore_failed
from pgsnap.targets.naming import application_name
from pgsnap.values import dataclass

# No -q: the command tags (COPY 123) are what the server's row counts are read from.
PSQL_ARGUMENTS = (
    "-X", "-w", "-A", "-t",
    "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-P", "pager=off", "-f", "-",
)  # fmt: skip

# For the session that loads only. Not waiting for WAL at each commit loses nothing: the swap's own
# commit waits, and it comes after all of them (1,500 tables: 10 s instead of 16 s). A larger
# maintenance_work_mem gained nothing on 240 MB of dump with four indexes.
SETTINGS = b"SET synchronous_commit = off;\n"
_COPY_TAG = regex(rb"COPY (\d+)$")
# Longer lines are rows that the dump's own SELECTs return; nothing of ours is that long.
_LINE_BYTES_MAX = 4096
_SETTLE_POLL_SECONDS = 0.05
# How often it is asked whether psql waits for us while we wait for it, and how long the server
# must have had nothing to do by then.
_STUCK_POLL_SECONDS = 10.0
STUCK_AFTER_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Expected:
    """A COPY section of the dump and the number of its rows."""

    section: SectionName
    rows: int


@dataclass(frozen=True, slots=True)
class FeedResult:
    """What was loaded: rows of all tables, bytes of dump text, seconds; *in_any_order* are the
    tables whose rows are not in the order of the dump, as (schema, name)."""

    rows: int
    plain_bytes: int
    seconds: float
    in_any_order: tuple[tuple[str, str], ...] = ()


class Feeder:
    """One load through one psql."""

    def __init__(
        self,
        child: Child,
        *,
        restrict_key: str | None,
        expected: Iterable[Expected] | None,
        exact: bool = True,
        facts: Callable[[], Facts] | None = None,
        masks: str = "",
        progress: Progress = SILENT,
    ) -> None:
        """*restrict_key* wraps the whole stream in ``\\restrict`` (None: psql does not know it).
        *expected* are the COPY sections in the dump's order, gone through once, at the end. Where
        they are not *exact*, other SQL may copy more, and change how many rows it takes; but each
        of them must be run. *facts* looks at the server for what explains an error; *masks* names
        the file that says how rows were masked, if they were."""
        self._child = child
        self._key = restrict_key
        self._expected = expected
        self._exact = exact
        self._facts = facts
        self._masks = masks
        self._progress = progress
        self._places = Places()
        self._tags = _TagReader(child)
        # Whether it loads only a part of the dump, whose lines have other numbers there.
        self.is_part = False

    def kill(self) -> None:
        """End psql at once; `run` then raises. May be called from another thread, and twice."""
        self._child.kill()

    @property
    def counts(self) -> Sequence[int]:
        """The rows that the server took, COPY by COPY; all of them so far after `settle`."""
        return self._tags.counts

    def settle(self, is_idle: Callable[[], bool] = lambda: False) -> None:
        """Return when psql has run everything that it was fed. Raises RestoreFailed, also when
        *is_idle* says that the server has waited for psql too long.

        Only between two statements of the dump; called by the generator that `run` feeds from.
        """
        nonce = os.urandom(16).hex()
        settled = self._tags.expect(nonce)
        self._places.inserted.append(self._places.line)
        # Without the semicolon before it: psql (since 15.19, 16.15, 17.11 and 18.6) takes what
        # follows an empty statement for rows, once there has been a COPY.
        self._send(_question(nonce))
        next_look = time.monotonic() + _STUCK_POLL_SECONDS
        while not interrupts.happens(settled, _SETTLE_POLL_SECONDS):
            if self._child.poll() is not None:
                raise self._failed("psql ended before the dump did")
            if time.monotonic() > next_look:
                next_look += _STUCK_POLL_SECONDS
                if is_idle() and not settled.is_set():
                    raise self._stuck()

    def check_counts_so_far(self) -> None:
        """After `settle`: compare what the server counted with what was *expected* until now; of
        an iterator nothing is left for the end. Raises RestoreFailed."""
        if self._expected is not None and self._exact:
            check_counts(self._expected, self._tags.counts)

    def run(self, events: Iterable[DumpEvent]) -> FeedResult:
        """Feed *events* and return only if all of it was loaded. What of them lies between two
        sections counts to the first one.

        Raises RestoreFailed, or whatever *events* raises; psql is dead then.
        """
        started = time.monotonic()
        plain_bytes = 0
        nonce = os.urandom(16).hex()
        sentinel = self._tags.expect(nonce)
        self._tags.start()
        with interrupts.undone_by(self._child.kill):
            try:
                self._send(SETTINGS)
                if self._key is not None:
                    self._send(b"\\restrict " + self._key.encode() + b"\n")
                self._places.first = self._places.line
                for event in events:
                    if isinstance(event, bytes):
                        self._send(event)
                        plain_bytes += len(event)
                        self._progress.advance(len(event), self._name_of_last())
                    elif isinstance(event, SectionStart):
                        self._places.begin(event.name)
                if self._key is not None:
                    self._send(b"\n\\unrestrict " + self._key.encode() + b"\n")
                self._send(b"\n" + _question(nonce))
                self._child.close_input()
                status = self._child.wait()
            except BrokenPipeError:
                raise self._failed("psql ended before the dump did") from None
        self._tags.join()
        self._judge(status, sentinel_seen=sentinel.is_set())
        rows = sum(self._tags.counts)
        return FeedResult(rows=rows, plain_bytes=plain_bytes, seconds=time.monotonic() - started)

    def _send(self, block: bytes) -> None:
        self._child.write(block)
        self._places.pass_block(block)

    def _name_of_last(self) -> str:
        return str(self._places.starts[-1][1]) if self._places.starts else ""

    def _judge(self, status: int, *, sentinel_seen: bool) -> None:
        if status != 0:
            raise self._failed("psql failed")
        if not sentinel_seen:
            raise RestoreFailed(
                "psql did not run the dump to its end",
                detail="It ended with status 0, but the row asked for after the last line of the"
                " dump did not come back: the dump ends inside a string, a comment or rows.",
            )
        self.check_counts_so_far()
        if self._expected is not None and not self._exact:
            check_number(sum(1 for _ in self._expected), len(self._tags.counts))

    def _stuck(self) -> RestoreFailed:
        line = self._places.of_dump(self._places.line)
        where = "" if self.is_part else f"It stands somewhere before line {line} of the dump. "
        return RestoreFailed(
            "psql takes the rest of the dump for a part of one statement",
            detail=f"{where}psql counts BEGIN, CASE"
            " and END in functions whose body is not a string (BEGIN ATOMIC); a column or"
            " table of such a name misleads it.",
            hint="In the source database write that function with a body in quotes"
            " (AS $$ ... $$), then commit again.",
        )

    def _failed(self, fallback: str) -> RestoreFailed:
        """Collect psql's last words. It ends by itself after an error; else it is killed."""
        try:
            status: int | None = self._child.wait(timeout=5.0)
        except TimeoutError:
            status = None
        self._child.kill()
        self._tags.join()
        stderr = self._child.stderr_text()
        failure = failure_in(stderr)
        line = failure.line if failure is not None and failure.line else self._places.line
        place = self._places.at(line)
        where = (
            str(place)
            if self.is_part
            else f"line {self._places.of_dump(line)} of the dump, in {place}"
        )
        known = Help()
        if failure is not None:
            known = help_for(failure, place, self._facts, masks=self._masks)
        return restore_failed(failure, stderr, status, where, known, fallback=fallback)


@contextmanager
def psql_feeder(
    server: Server,
    psql: Tool,
    database: str,
    token: str,
    *options: str,
    expected: Iterable[Expected] | None,
    exact: bool = True,
    facts: Callable[[], Facts] | None = None,
    masks: str = "",
    progress: Progress = SILENT,
) -> Iterator[Feeder]:
    """Start *psql* with *options* for a load into *database*, as a session of the restore *token*,
    and kill it at the end. The others as in `Feeder`."""
    child = server.start_tool(
        psql,
        (*PSQL_ARGUMENTS, *options),
        database=database,
        stdin=True,
        application_name=application_name(token),
    )
    key = fresh_restrict_key() if understands_restrict(psql.version_num) else None
    try:
        yield Feeder(
            child,
            restrict_key=key,
            expected=expected,
            exact=exact,
            facts=facts,
            masks=masks,
            progress=progress,
        )
    finally:
        child.kill()


def _question(nonce: str) -> bytes:
    """Return the SQL that answers *nonce*: asked in two halves, so that no echo of the question
    can be taken for the answer."""
    return f"SELECT '{nonce[:16]}' || '{nonce[16:]}';\n".encode()


def expected_rows(sections: Iterable[Section]) -> Iterator[Expected]:
    """Yield the COPY sections among those of a dump, in its order."""
    return (
        Expected(section=section.name, rows=section.rows)
        for section in sections
        if section.rows is not None and section.name.kind is SectionKind.DATA
    )


def check_counts(expected: Iterable[Expected], counts: Sequence[int]) -> None:
    """Compare the server's row counts with the snapshot's. Raises RestoreFailed."""
    tables = 0
    for want in expected:
        if tables < len(counts) and want.rows != counts[tables]:
            raise RestoreFailed(
                f"the server took {counts[tables]} rows of {want.rows} in {want.section}",
                detail="A trigger or rule of an extension may have changed them.",
            )
        tables += 1
    if tables != len(counts):
        raise RestoreFailed(
            f"the server loaded {len(counts)} tables of {tables}",
            detail="The dump was run to its end, but not every table's rows were copied.",
        )


def check_number(tables: int, copied: int) -> None:
    """Raise RestoreFailed where psql copied less often than there are *tables*."""
    if copied < tables:
        raise RestoreFailed(
            f"psql ran {copied} COPY statements of {tables}",
            detail="Some psql (since 15.19, 16.15, 17.11 and 18.6) take what follows an empty"
            " statement for rows, up to the end of the next rows, and leave it out without an"
            " error.",
            hint="Take statements that are nothing but a semicolon out of the SQL, then commit it"
            " again.",
        )


def is_load_idle(session: Session, token: str, database: str) -> bool:
    """Tell whether every session that loads into *database* has waited for input for a while."""
    return bool(
        session.query(
            "SELECT 1 FROM pg_catalog.pg_stat_activity"
            f" WHERE application_name = {literal(application_name(token))}"
            f" AND datname = {literal(database)} HAVING pg_catalog.bool_and("
            "state IN ('idle', 'idle in transaction')"
            " AND pg_catalog.clock_timestamp() - state_change"
            f" > pg_catalog.make_interval(secs => {STUCK_AFTER_SECONDS}))"
        )
    )


def is_loading(session: Session, token: str) -> bool:
    """Tell whether a session of the restore *token* is there."""
    name = literal(application_name(token))
    rows = session.query(
        f"SELECT 1 FROM pg_catalog.pg_stat_activity WHERE application_name = {name} LIMIT 1"
    )
    return bool(rows)


def terminate_sessions(session: Session, token: str, *, keep_own: bool = True) -> None:
    """End every session of the restore *token* but this one, so that no backend goes on alone."""
    own = " AND pid <> pg_catalog.pg_backend_pid()" if keep_own else ""
    try:
        session.query(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity"
            f" WHERE application_name = {literal(application_name(token))}{own}"
        )
    except QueryFailed:
        # One of them ended meanwhile, or belongs to a role of higher rank; DROP ... FORCE follows.
        return


class _TagReader:
    """Drains psql's standard output on a thread: a full pipe would stop psql for ever."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._expected: dict[bytes, threading.Event] = {}
        self._thread = threading.Thread(target=self._drain, name="psql-output", daemon=True)
        self.counts: list[int] = []

    def expect(self, nonce: str) -> threading.Event:
        """Return what is set once psql prints *nonce* on a line of its own."""
        return self._expected.setdefault(nonce.encode(), threading.Event())

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _drain(self) -> None:
        rest = b""
        while block := self._child.read(READ_BYTES):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                self._take(line)
            rest = rest[-_LINE_BYTES_MAX:]
        self._take(rest)

    def _take(self, line: bytes) -> None:
        answered = self._expected.get(line)
        if answered is not None:
            answered.set()
            return
        tag = _COPY_TAG.match(line)
        if tag is not None:
            self.counts.append(int(tag.group(1)))
