"""The Session over psycopg's low-level connection: no adaptation, text in and out.

Queries are sent and awaited in a poll loop: a signal (Ctrl-C) cancels a running one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from pgsnap import interrupts
from pgsnap.errors import ConnectionFailed, QueryFailed, SourceError
from pgsnap.sessions.base import RAW_ENCODINGS, SESSION_RAW, SESSION_START, Row
from pgsnap.sessions.endpoint import PINS, Endpoint
from pgsnap.sessions.failures import connection_failed, connection_lost, options_ignored, sentence

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.pq.abc import PGconn, PGresult

_NOTICES_MAX = 20
# How long an interrupted statement may take to end after it was cancelled.
_CANCEL_SECONDS = 5.0


class PsycopgSession:
    """One libpq connection of this process. Implements `Session`."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        application_name: str = "snap",
        options: tuple[tuple[str, str], ...] = PINS,
    ) -> None:
        """Connect. Raises ConnectionFailed."""
        import psycopg

        self._endpoint = endpoint
        # How long the server may stay silent after a statement was cancelled.
        self._patience: float | None = None
        conninfo = endpoint.conninfo(
            application_name=application_name, options=options, client_encoding="UTF8"
        )
        try:
            # Nothing can interrupt the host name lookup.
            self._connection: Connection = interrupts.on_thread(
                lambda: psycopg.connect(conninfo, autocommit=True, password=endpoint.password),
                forget=lambda late: late.close(),
            )
        except psycopg.Error as error:
            raise connection_failed(str(error), endpoint) from error
        # The connection must not refer to us: else nothing would close it when we are
        # garbage-collected.
        notices = self._notices = deque[str](maxlen=_NOTICES_MAX)
        self._connection.add_notice_handler(lambda said: notices.append(said.message_primary or ""))
        try:
            version, options_source, encoding, _, _ = self.query(SESSION_START)[0]
            if encoding in RAW_ENCODINGS:
                self.query(SESSION_RAW)
        except QueryFailed as error:
            self.close()
            raise connection_failed(f"{error.message} {error.detail}", endpoint) from error
        if options_source != "client":
            self.close()
            raise options_ignored(endpoint)
        self._version_num = int(version or 0)

    @property
    def server_version_num(self) -> int:
        return self._version_num

    def query(self, sql: str) -> Sequence[Row]:
        if self._connection.closed:
            raise connection_lost("The session is closed.", self._endpoint)
        pgconn = self._connection.pgconn
        interrupts.check()
        try:
            result = self._run(pgconn, sql.encode("utf-8", "surrogateescape"))
        except SourceError:
            with interrupts.deferred():
                self._roll_back(pgconn)
            # It may have failed because a signal cancelled it.
            interrupts.check()
            raise
        return _rows(result) if result is not None else []

    def execute(self, sql: str) -> None:
        self.query(sql)

    def copy_rows(self, sql: str, rows: Iterable[bytes]) -> None:
        import psycopg
        from psycopg.pq import ExecStatus

        if self._connection.closed:
            raise connection_lost("The session is closed.", self._endpoint)
        pgconn = self._connection.pgconn
        interrupts.check()
        try:
            with self._closed_on_error(), ExitStack() as cancelled:
                self._patience = None
                pgconn.send_query(sql.encode("utf-8", "surrogateescape"))
                result = self._next(pgconn, cancelled)
                if result is not None and result.status == ExecStatus.COPY_IN:
                    for block in rows:
                        pgconn.put_copy_data(block)
                        self._flush(pgconn, cancelled)
                    pgconn.put_copy_end()
                    result = self._next(pgconn, cancelled)
                if result is None or result.status != ExecStatus.COMMAND_OK:
                    raise self._failure(pgconn, result) if result is not None else QueryFailed(sql)
                while self._next(pgconn, cancelled) is not None:
                    pass
        except psycopg.Error as error:
            raise connection_lost(str(error), self._endpoint) from error
        except SourceError:
            # It may have failed because a signal cancelled it.
            interrupts.check()
            raise

    def notices(self) -> str:
        return "\n".join(self._notices.copy())

    def cancel(self) -> None:
        import psycopg

        try:
            self._connection.cancel_safe(timeout=_CANCEL_SECONDS)
        except psycopg.Error:
            # The statement may have ended, or the connection with it: the waiting thread will see
            # it.
            return

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> PsycopgSession:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- one message and its answers -----------------------------------------------------------

    def _run(self, pgconn: PGconn, sql: bytes) -> PGresult | None:
        """Return the last result of *sql*. Raises QueryFailed for the first error in it."""
        import psycopg

        try:
            pgconn.send_query(sql)
            return self._answers(pgconn)
        except psycopg.Error as error:
            self._connection.close()
            raise connection_lost(str(error), self._endpoint) from error

    def _answers(self, pgconn: PGconn) -> PGresult | None:
        from psycopg.pq import ExecStatus

        last: PGresult | None = None
        failure: PGresult | None = None
        copies = (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)
        self._patience = None
        with ExitStack() as cancelled:
            while (result := self._next(pgconn, cancelled)) is not None:
                if result.status == ExecStatus.FATAL_ERROR:
                    failure = failure or result
                elif result.status in copies:
                    self._connection.close()
                    raise QueryFailed("COPY through a client is not for sessions")
                last = result
        if failure is not None:
            raise self._failure(pgconn, failure)
        return last

    def _next(self, pgconn: PGconn, cancelled: ExitStack) -> PGresult | None:
        """Send what is waiting to be sent, and return the next result."""
        self._flush(pgconn, cancelled)
        while pgconn.is_busy():
            self._wait(pgconn, cancelled)
        return pgconn.get_result()

    def _flush(self, pgconn: PGconn, cancelled: ExitStack) -> None:
        while pgconn.flush():
            self._wait(pgconn, cancelled, writes=True)

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._connection.close()
            raise

    def _failure(self, pgconn: PGconn, result: PGresult) -> QueryFailed | ConnectionFailed:
        from psycopg.pq import ConnStatus, DiagnosticField

        def part(field: DiagnosticField) -> str:
            return _text(result.error_field(field) or b"")

        message = part(DiagnosticField.MESSAGE_PRIMARY) or _text(result.error_message).strip()
        detail = part(DiagnosticField.MESSAGE_DETAIL)
        if pgconn.status == ConnStatus.BAD:
            self._connection.close()
            return connection_lost(f"{message} {detail}", self._endpoint)
        return QueryFailed(
            message,
            detail=sentence(detail),
            hint=sentence(part(DiagnosticField.MESSAGE_HINT)),
            sqlstate=part(DiagnosticField.SQLSTATE),
        )

    def _wait(self, pgconn: PGconn, cancelled: ExitStack, *, writes: bool = False) -> None:
        """Wait for the server. A signal cancels the statement and waits for its end, so that the
        connection is idle; if it does not end, the connection is given up."""
        number = pgconn.socket
        if interrupts.wait([number], [number] if writes else [], self._patience):
            pgconn.consume_input()
        elif interrupts.is_due():
            self.cancel()
            cancelled.enter_context(interrupts.deferred())
            self._patience = _CANCEL_SECONDS
        else:
            self._connection.close()
            raise connection_lost("It does not answer.", self._endpoint)

    def _roll_back(self, pgconn: PGconn) -> None:
        from psycopg.pq import TransactionStatus

        if not self._connection.closed and pgconn.transaction_status in (
            TransactionStatus.INERROR,
            TransactionStatus.INTRANS,
        ):
            self._run(pgconn, b"ROLLBACK")


def _rows(result: PGresult) -> list[Row]:
    columns = range(result.nfields)
    return [
        tuple(None if (v := result.get_value(row, col)) is None else _text(v) for col in columns)
        for row in range(result.ntuples)
        if columns
    ]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
