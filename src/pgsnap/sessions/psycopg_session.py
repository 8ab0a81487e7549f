"""The Session over psycopg's low-level connection: no adaptation, text in and out.

Queries are sent and awaited in a poll loop, so a signal (Ctrl-C) gets through while one runs.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pgsnap.errors import ConnectionFailed, QueryFailed
from pgsnap.sessions.base import SESSION_RAW, SESSION_START, Row
from pgsnap.sessions.endpoint import PINS, Endpoint
from pgsnap.sessions.failures import connection_failed, connection_lost, options_ignored, sentence

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.pq.abc import PGconn, PGresult

_NOTICES_MAX = 20
# How long an interrupted statement may take to end after it was cancelled.
_CANCEL_SECONDS = 5.0


class PsycopgSession:
    """One libpq connection of this process. `Session` is its contract."""

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
        conninfo = endpoint.conninfo(
            application_name=application_name, options=options, client_encoding="UTF8"
        )
        try:
            self._connection: Connection = psycopg.connect(
                conninfo, autocommit=True, password=endpoint.password
            )
        except psycopg.Error as error:
            raise connection_failed(str(error), endpoint) from error
        # The connection must not hold us: then nobody would close it where we are forgotten.
        notices = self._notices = deque[str](maxlen=_NOTICES_MAX)
        self._connection.add_notice_handler(lambda said: notices.append(said.message_primary or ""))
        try:
            version, options_source, encoding, _, _ = self.query(SESSION_START)[0]
            if encoding == "SQL_ASCII":
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
        try:
            result = self._run(pgconn, sql.encode("utf-8", "surrogateescape"))
        except QueryFailed:
            self._roll_back(pgconn)
            raise
        return _rows(result) if result is not None else []

    def execute(self, sql: str) -> None:
        self.query(sql)

    def notices(self) -> str:
        return "\n".join(self._notices.copy())

    def cancel(self) -> None:
        import psycopg

        try:
            self._connection.cancel_safe(timeout=_CANCEL_SECONDS)
        except psycopg.Error:
            # The statement may have ended, or the connection with it: whoever waits is told.
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
            try:
                return self._answers(pgconn, deadline=None)
            except (psycopg.Error, QueryFailed, ConnectionFailed):
                raise
            except BaseException:
                self._interrupted(pgconn)
                raise
        except psycopg.Error as error:
            self._connection.close()
            raise connection_lost(str(error), self._endpoint) from error

    def _answers(self, pgconn: PGconn, deadline: float | None) -> PGresult | None:
        from psycopg.pq import ExecStatus

        last: PGresult | None = None
        failure: PGresult | None = None
        _flush(pgconn)
        while (result := _next_result(pgconn, deadline)) is not None:
            if result.status == ExecStatus.FATAL_ERROR:
                failure = failure or result
            elif result.status in (
                ExecStatus.COPY_IN,
                ExecStatus.COPY_OUT,
                ExecStatus.COPY_BOTH,
            ):
                self._connection.close()
                raise QueryFailed("COPY through a client is not for sessions")
            last = result
        if failure is not None:
            raise self._failure(pgconn, failure)
        return last

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

    def _interrupted(self, pgconn: PGconn) -> None:
        """Bring the connection back to rest after a signal, or give it up."""
        import psycopg

        try:
            self.cancel()
            self._answers(pgconn, deadline=time.monotonic() + _CANCEL_SECONDS)
        except QueryFailed:
            self._roll_back(pgconn)
        except (psycopg.Error, ConnectionFailed, TimeoutError):
            self._connection.close()

    def _roll_back(self, pgconn: PGconn) -> None:
        from psycopg.pq import TransactionStatus

        if not self._connection.closed and pgconn.transaction_status in (
            TransactionStatus.INERROR,
            TransactionStatus.INTRANS,
        ):
            self._run(pgconn, b"ROLLBACK")


def _flush(pgconn: PGconn) -> None:
    while pgconn.flush():
        poll = select.poll()
        poll.register(pgconn.socket, select.POLLIN | select.POLLOUT)
        for _, events in poll.poll():
            if events & select.POLLIN:
                pgconn.consume_input()


def _next_result(pgconn: PGconn, deadline: float | None) -> PGresult | None:
    """Wait for the next result, or None after the last. Raises TimeoutError."""
    poll = select.poll()
    while pgconn.is_busy():
        poll.register(pgconn.socket, select.POLLIN)
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not poll.poll(left):
            raise TimeoutError
        pgconn.consume_input()
    return pgconn.get_result()


def _rows(result: PGresult) -> list[Row]:
    columns = range(result.nfields)
    return [
        tuple(None if (v := result.get_value(row, col)) is None else _text(v) for col in columns)
        for row in range(result.ntuples)
        if columns
    ]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
