"""The Session through psql as a co-process, wherever the Runner runs it.

A statement is never parsed by psql's lexer, and no value is ever ambiguous:

* The SQL is sent as a hex literal in a SELECT that ends in \\gexec. psql sends the one value that
  comes back as a message of its own, unchanged: no splitting at semicolons, no variables.
* Columns are separated by a zero byte, which no value can contain; rows by a random word made for
  this query, and NULL is another one.
* After the query an \\echo writes a third random word, and whether there was an error: so the end
  of the answer is known too.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterable, Sequence

from pgsnap import interrupts
from pgsnap.errors import ConnectionFailed, QueryFailed, SourceError, ToolMissing
from pgsnap.interrupts import Stopped
from pgsnap.limits import CHILD_GRACE_SECONDS, READ_BYTES
from pgsnap.patterns import regex
from pgsnap.runners.base import Child, Runner
from pgsnap.sessions.base import RAW_ENCODINGS, SESSION_RAW, SESSION_START, Row, literal
from pgsnap.sessions.endpoint import PINS, Endpoint
from pgsnap.sessions.failures import connection_failed, connection_lost, options_ignored, sentence

_ARGUMENTS = (
    "--no-psqlrc",
    "--no-password",
    "--quiet",
    "--no-align",
    "--tuples-only",
    "--field-separator-zero",
    # Only the last of several results is shown (psql before 15 always does so).
    "--set=SHOW_ALL_RESULTS=off",
    "--set=ON_ERROR_STOP=off",
)
_STDERR_SECONDS = 2.0
_CANCEL_SECONDS = 5.0
# How long an interrupted psql may take to become idle.
_REST_SECONDS = 15.0
_LABELS = regex(
    r"^(DETAIL|HINT|QUERY|CONTEXT|LOCATION|STATEMENT|SCHEMA NAME|TABLE NAME|COLUMN NAME"
    r"|DATATYPE NAME|CONSTRAINT NAME|LINE \d+): ",
    re.M,
)
# The severity is in the server's language: in any script, but without a colon.
_FIRST = regex(r"^(?:psql:[^\n]*?: (?:error: )?)?[^\n:]+:  ([0-9A-Z]{5}): ")


class PsqlSession:
    """One psql, held open. Implements `Session`."""

    def __init__(
        self,
        endpoint: Endpoint,
        runner: Runner,
        *,
        application_name: str = "snap",
        options: tuple[tuple[str, str], ...] = PINS,
    ) -> None:
        """Start psql and connect. Raises ConnectionFailed, ToolMissing."""
        self._endpoint = endpoint
        self._runner = runner
        conninfo = endpoint.conninfo(
            application_name=application_name, options=options, client_encoding="UTF8"
        )
        psql = runner.find("psql").path
        self._argv = [psql, f"--dbname={conninfo}", *_ARGUMENTS]
        self._child: Child = runner.start(self._argv, env=endpoint.environment(), stdin=True)
        self._rest = b""
        self._encoding = "UTF8"
        self._open = True
        self._started = False
        try:
            row = self.query(SESSION_START)[0]
            version, options_source, encoding, self._backend, _ = row
            self._started = True
            if encoding in RAW_ENCODINGS:
                self.query(SESSION_RAW)
                self._encoding = "SQL_ASCII"
        except QueryFailed as error:
            self.close()
            raise connection_failed(f"{error.message} {error.detail}", endpoint) from error
        except (SourceError, Stopped):
            self._give_up()
            raise
        if options_source != "client":
            self.close()
            raise options_ignored(endpoint)
        self._version_num = int(version or 0)

    @property
    def server_version_num(self) -> int:
        return self._version_num

    def query(self, sql: str) -> Sequence[Row]:
        if not self._open:
            raise connection_lost("The session is closed.", self._endpoint)
        interrupts.check()
        null, row, end = _word(), _word(), _word()
        self._send(
            f"\\pset null {null}\n\\pset recordsep {row}\n{self._as_gexec(sql)}"
            f"\\echo {end} :ERROR\n"
        )
        try:
            values, failed = self._answer(end.encode())
            if failed:
                with interrupts.deferred():
                    error = self._failure()
                    self._send("ROLLBACK;\n")
                raise error
        except SourceError:
            # It may have failed because a signal cancelled it.
            interrupts.check()
            raise
        return _rows(values, row.encode(), null.encode())

    def execute(self, sql: str) -> None:
        self.query(sql)

    def copy_rows(self, sql: str, rows: Iterable[bytes]) -> None:
        if not self._open:
            raise connection_lost("The session is closed.", self._endpoint)
        interrupts.check()
        begin, end = _word(), _word()
        try:
            # If COPY fails before it reads, psql must end: it would take the rows for commands.
            self._send(
                f"\\warn {begin}\n\\set ON_ERROR_STOP on\n\\set VERBOSITY verbose\n"
                + self._as_gexec(sql)
            )
            last = b"\n"
            for block in rows:
                # What follows an end mark would be taken for commands, too. No value has one.
                if b"\n\\." in last + block:
                    raise QueryFailed("an end mark stands among the rows")
                self._write(block)
                last = block[-2:]
            self._send(f"\\.\n\\set ON_ERROR_STOP off\n\\unset VERBOSITY\n\\echo {end} :ERROR\n")
            self._answer(end.encode())
        except ConnectionFailed:
            interrupts.check()
            error = parse_error(self._child.stderr_text().rpartition(begin)[2])
            if error.sqlstate:
                raise error from None
            raise
        except BaseException:
            self._give_up()
            raise

    def notices(self) -> str:
        return self._child.stderr_text()

    def cancel(self) -> None:
        # SIGINT would make psql exit after the cancelled statement, so another psql cancels it.
        # Before it is connected there is no backend to cancel.
        if self._open and self._started:
            sql = f"SELECT pg_catalog.pg_cancel_backend({self._backend})"
            try:
                child = self._runner.start(
                    [*self._argv, f"--command={sql}"], env=self._endpoint.environment()
                )
            except ToolMissing:
                return
            with interrupts.deferred():
                try:
                    child.wait(_CANCEL_SECONDS)
                except TimeoutError:
                    child.kill()

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._child.close_input()
        with interrupts.deferred():
            try:
                self._child.wait(CHILD_GRACE_SECONDS)
            except TimeoutError:
                self._child.kill()

    def __enter__(self) -> PsqlSession:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- one message and its answer ------------------------------------------------------------

    def _as_gexec(self, sql: str) -> str:
        return (
            f"SELECT pg_catalog.convert_from(pg_catalog.decode('{_hex(sql)}', 'hex'),"
            f" {literal(self._encoding)}) \\gexec\n"
        )

    def _send(self, script: str) -> None:
        self._write(script.encode())

    def _write(self, data: bytes) -> None:
        try:
            self._child.write(data)
        except BrokenPipeError:
            raise self._ended() from None
        except Stopped:
            # psql's input may end in half a line: it can never be used again.
            self._give_up()
            raise

    def _answer(self, end: bytes) -> tuple[bytes, bool]:
        """Return the output before the line of *end*, and the rest of that line."""
        parts = [self._rest]
        window = self._rest
        patience: float | None = None
        with contextlib.ExitStack() as cancelled:
            while True:
                if window.rfind(b"\n") >= 0 and end in window:
                    whole = b"".join(parts)
                    values, found, tail = whole.partition(end)
                    line, newline, rest = tail.partition(b"\n")
                    if found and newline:
                        self._rest = rest
                        return values, line.strip() != b"false"
                if not self._child.has_output(patience):
                    if patience is not None or not self._started:
                        raise self._ended()
                    # A signal cancels the statement and waits for its end, so that psql is idle; if
                    # it does not end, psql is given up.
                    cancelled.enter_context(interrupts.deferred())
                    patience = _REST_SECONDS
                    self.cancel()
                    continue
                data = self._child.read(READ_BYTES)
                if not data:
                    raise self._ended()
                parts.append(data)
                # The word may span two reads; its line is shorter than this.
                window = window[-200:] + data

    def _failure(self) -> QueryFailed:
        """Get the full last error from psql, which it writes to standard error."""
        begin, end = _word(), _word()
        self._send(f"\\warn {begin}\n\\errverbose\n\\warn {end}\n\\echo {end}\n")
        self._answer(end.encode())
        deadline = time.monotonic() + _STDERR_SECONDS
        while end not in (text := self._child.stderr_text()) and time.monotonic() < deadline:
            # Another thread collects standard error; it lags by a moment at most.
            interrupts.sleep(0.002)
        return parse_error(text.rpartition(begin)[2].partition(end)[0])

    def _ended(self) -> ConnectionFailed:
        """Return the error for a psql that has exited."""
        self._give_up()
        text = self._child.stderr_text()
        if self._started:
            return connection_lost("\n".join(text.strip().splitlines()[-5:]), self._endpoint)
        return connection_failed(text, self._endpoint)

    def _give_up(self) -> None:
        self._open = False
        self._child.kill()


def parse_error(text: str) -> QueryFailed:
    r"""Return the error in psql's \errverbose output, with its SQLSTATE and all its fields."""
    text = text.strip("\n")
    first = _FIRST.match(text)
    sqlstate = first[1] if first else ""
    pieces = _LABELS.split(text[first.end() if first else 0 :])
    parts = {label: body.strip() for label, body in zip(pieces[1::2], pieces[2::2], strict=True)}
    return QueryFailed(
        pieces[0].strip() or "the statement failed",
        detail=sentence(parts.get("DETAIL", "")),
        hint=sentence(parts.get("HINT", "")),
        sqlstate=sqlstate,
    )


def _word() -> str:
    return secrets.token_hex(16)


def _hex(sql: str) -> str:
    return sql.encode("utf-8", "surrogateescape").hex()


def _rows(answer: bytes, row: bytes, null: bytes) -> list[Row]:
    """Split an answer into rows. Without rows it is empty, else it ends with a newline."""
    return [
        tuple(
            None if value == null else value.decode("utf-8", "surrogateescape")
            for value in line.split(b"\0")
        )
        for line in (answer[:-1].split(row) if answer else ())
    ]
