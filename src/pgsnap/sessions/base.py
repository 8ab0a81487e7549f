"""The Session protocol: SQL to query, rename and create. Rows are only put into its temporary
tables; a load of a dump has a psql of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias

Row: TypeAlias = "tuple[str | None, ...]"

SESSION_START = (
    # Set again by SQL: PGTZ and PGDATESTYLE in the environment override the options.
    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET search_path = '';"
    " SELECT pg_catalog.current_setting('server_version_num'),"
    " (SELECT s.source FROM pg_catalog.pg_settings s WHERE s.name = 'bytea_output'),"
    " pg_catalog.getdatabaseencoding(), pg_catalog.pg_backend_pid(),"
    # Not in the options because only servers since 17 know it.
    " (SELECT pg_catalog.set_config(s.name, '0', false) FROM pg_catalog.pg_settings s"
    " WHERE s.name = 'transaction_timeout')"
)
"""Sent first by every session: returns the version, the source of a setting that the options pin
("client" if they arrived), the encoding of the database, the backend's PID and the
transaction_timeout in force."""

SESSION_RAW = "SET client_encoding = 'SQL_ASCII'"
"""Sent by a session in a database of RAW_ENCODINGS: its bytes pass as they are."""

RAW_ENCODINGS = frozenset({"SQL_ASCII", "EUC_TW", "MULE_INTERNAL"})
"""Text in SQL_ASCII may be invalid UTF-8. Of the others Python knows nothing: names in their dumps
are bytes, and must be the same in a session."""


class Session(Protocol):
    """One connection, held open until `close`. Every implementation passes
    tests/contract/session_contract.py.

    Values are returned as text, NULL as None, in UTF-8 (other bytes, in databases of RAW_ENCODINGS,
    as surrogate escapes). Statements are sent as one message, so several of them are one
    transaction unless they contain BEGIN or COMMIT. The search path is empty, so no schema of the
    database can shadow a function or operator in our SQL: qualify every name.
    """

    @property
    def server_version_num(self) -> int:
        """The server's server_version_num, such as 150018."""

    def query(self, sql: str) -> Sequence[Row]:
        """Return the rows of the last statement of *sql*. Raises QueryFailed (with sqlstate), or
        ConnectionFailed if the connection is lost."""

    def execute(self, sql: str) -> None:
        """Run statements for their effect. Raises as `query`; the session stays usable, and an open
        transaction is rolled back."""

    def copy_rows(self, sql: str, rows: Iterable[bytes]) -> None:
        """Run *sql*, a COPY … FROM stdin in text format, on *rows*: blocks that together are whole
        lines, without the end mark. Raises as `query`; after an error, also one that *rows* raises,
        the session may be closed."""

    def notices(self) -> str:
        """Return the server's latest messages other than results (NOTICE, WARNING, and whatever
        else client_min_messages allows), one per line. May be called from another thread while a
        statement runs."""

    def cancel(self) -> None:
        """Ask the server to cancel the running statement. May be called from another thread."""

    def close(self) -> None:
        """Close the connection. May be called twice."""

    def __enter__(self) -> Session: ...
    def __exit__(self, *exc_info: object) -> None: ...


def literal(value: str | None) -> str:
    """Return *value* as an SQL literal that means the same under every server setting."""
    if value is None:
        return "NULL"
    if "\0" in value:
        raise ValueError("a NUL byte cannot stand in SQL")
    escaped = value.replace("'", "''")
    if "\\" in escaped:
        return " E'" + escaped.replace("\\", "\\\\") + "'"
    return "'" + escaped + "'"


def ident(name: str) -> str:
    """Return *name* as a quoted identifier."""
    if "\0" in name or not name:
        raise ValueError("not an identifier")
    return '"' + name.replace('"', '""') + '"'


def number(value: int) -> str:
    """Return *value* as an SQL integer; it is converted, whatever its annotation promised."""
    return str(int(value))
