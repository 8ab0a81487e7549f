"""The answer to a query, as psql prints it, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pgsnap.errors import QueryFailed, UsageError
from pgsnap.limits import READ_BYTES
from pgsnap.patterns import regex
from pgsnap.sessions.endpoint import PINS
from pgsnap.sessions.server import Server

FORMATS = ("table", "csv", "json")

# psql fetches so many rows at a time, through a cursor.
_ROWS_AT_ONCE = 5000
# What can be the source of COPY; anything else, such as SHOW, is short.
_SELECTS = regex(r"[\s(]*(?:select|with|values|table)\b", re.I)
_READ_ONLY = ("default_transaction_read_only", "on")
_ERROR = regex(r"^(?:psql:\S*\s)?ERROR:\s+(?:\d\w{4}: )?(.*)", re.M)


def checked_query(sql: str) -> str:
    """Return a query without what ends it. Raises UsageError for what is no SQL."""
    stripped = sql.strip().rstrip(";").rstrip()
    if not stripped:
        raise UsageError("the query is empty")
    if "\0" in stripped:
        raise UsageError("the query has a NUL byte")
    if stripped.startswith("\\"):
        raise UsageError(
            "the query is a command of psql",
            detail=f"It begins with {stripped.split()[0]}.",
            hint="For psql itself: snap open REV",
        )
    return stripped


def answer(server: Server, database: str, sql: str, form: str) -> Iterator[bytes]:
    """Yield the answer to *sql* in one of FORMATS; of JSON one object a row, each with a NUL byte
    after it. Sessions are read-only. Raises QueryFailed, also after some of it."""
    args = ["-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-P", "pager=off"]
    args += ["-v", f"FETCH_COUNT={_ROWS_AT_ONCE}"]
    if form == "json":
        args += ["-A", "-t", "-0"]
        sql = f"SELECT pg_catalog.row_to_json(q) FROM (\n{sql}\n) AS q"
    elif form == "csv" and _SELECTS.match(sql):
        sql = f"COPY (\n{sql}\n) TO STDOUT WITH (FORMAT csv, HEADER)"
    elif form == "csv":
        args.append("--csv")
    endpoint = server.endpoint.with_database(database)
    conninfo = endpoint.conninfo(
        application_name="snap query", options=(*PINS, _READ_ONLY), client_encoding="UTF8"
    )
    argv = [server.tool("psql").path, f"--dbname={conninfo}", *args, "-c", sql]
    child = server.runner.start(argv, env=endpoint.environment())
    try:
        while child.has_output() and (block := child.read(READ_BYTES)):
            yield block
        if child.wait():
            raise _failed(child.stderr_text())
    finally:
        child.stop()


def _failed(words: str) -> QueryFailed:
    found = _ERROR.search(words)
    sqlstate = re.search(r"ERROR:\s+(\w{5}): ", words)
    return QueryFailed(
        f"the query failed: {found[1] if found else words.strip() or 'psql ended'}",
        detail=_lines(words, "DETAIL"),
        hint=_lines(words, "HINT"),
        sqlstate=sqlstate[1] if sqlstate else "",
    )


def _lines(words: str, kind: str) -> str:
    found = re.search(rf"^{kind}:\s+(.*)", words, re.M)
    return found[1] if found else ""
