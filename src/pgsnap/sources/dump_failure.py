"""Interprets pg_dump's error messages, with a hint for each."""

from __future__ import annotations

import re

from pgsnap.errors import ConnectionFailed, DumpFailed, QueryFailed
from pgsnap.model import quote_ident
from pgsnap.patterns import regex
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.failures import connection_failed
from pgsnap.words import how_it_ended

_READ_ALL = "Run `GRANT pg_read_all_data TO {user}` as a superuser."
_OF_LARGE_OBJECT = regex(r"permission denied for large object")
# From this version on, pg_read_all_data covers these too.
_ALL_LARGE_OBJECTS_SINCE = 190000
_HINTS: tuple[tuple[str, str], ...] = (
    (
        r"row-level security",
        "pg_dump never leaves out rows silently: run `ALTER ROLE {user} BYPASSRLS` as a superuser.",
    ),
    (
        r"permission denied for large object (?P<oid>\d+)",
        "pg_read_all_data does not cover large objects. Run"
        " `GRANT SELECT ON LARGE OBJECT {oid} TO {user}` as its owner or a superuser, and the same"
        " for all others (docs/roles.md has it in one statement).",
    ),
    (
        r"permission denied for database",
        "Run `GRANT CONNECT ON DATABASE {database} TO {user}` as its owner.",
    ),
    # The second since 18, of sequences.
    (r"permission denied|may lack SELECT privilege", _READ_ALL),
    (
        r"server version mismatch|aborting because of server version",
        "Install the client tools of the server's own major version.",
    ),
    (
        r"invalid page|could not read block|missing chunk number|compressed .*data is corrupt"
        r"|unexpected chunk",
        "The database itself is damaged: keep every earlier snapshot, and look into the"
        " server's log.",
    ),
    (
        r"max_locks_per_transaction",
        "pg_dump locks every table at once, and the server has no room for so many locks: raise"
        " max_locks_per_transaction in postgresql.conf (twice the number of tables, divided by"
        " max_connections, is enough) and restart the server.",
    ),
    (
        r"invalid memory alloc request size|out of memory|cannot enlarge string buffer"
        r"|string buffer exceeds maximum",
        "A value may be too large for COPY as text (a bytea beyond about 512 MB). Without the rows"
        " of that table: pg_dump --exclude-table-data=TABLE DATABASE | snap commit -m TEXT"
        " --file -",
    ),
    (
        r"server closed the connection|connection to server was lost|terminating connection"
        r"|connection not open|SSL SYSCALL|Connection reset",
        "The server ended the connection: look into its log, then commit again.",
    ),
    (
        r"conflict with recovery",
        "The standby cancelled it: raise max_standby_streaming_delay, set hot_standby_feedback"
        " = on, or dump from the primary.",
    ),
    (r"No space left on device", "The server's disk is full."),
    (r"cache lookup failed|does not exist", "Tables changed meanwhile: commit again."),
)
LOCKED_HINT = "A migration or VACUUM FULL may hold a table: end it, or raise --lock-wait-timeout."
"""The hint for a timeout while pg_dump waited for a table lock."""

_LOCKING = regex(r"\bLOCK TABLE ")
_LOCK = regex(
    r"canceling statement due to (?:statement|lock) timeout[\s\S]*LOCK TABLE (.*?) IN ACCESS", re.S
)
# How much of a long standard error is shown.
_FIRST_LINES, _LAST_LINES, _LINE_CHARACTERS = 4, 8, 400
_NO_CONNECTION = regex(r"connection to (?:server|database) .*failed|could not translate host")


def dump_failed(
    tool: str, status: int, stderr: str, endpoint: Endpoint, version_num: int
) -> DumpFailed:
    """Return the error for a tool that exited with *status* and wrote *stderr*; *version_num* is
    the server's."""
    hint = LOCKED_HINT if lock_timed_out(stderr) else _hint(stderr, endpoint)
    if version_num >= _ALL_LARGE_OBJECTS_SINCE and _OF_LARGE_OBJECT.search(stderr):
        hint = _READ_ALL.format(user=quote_ident(endpoint.user))
    return DumpFailed(f"{tool} {how_it_ended(status)}", detail=_shortened(stderr), hint=hint)


def query_failed(what: str, error: QueryFailed, endpoint: Endpoint) -> DumpFailed:
    """Return the error for a query in pg_dump's place; *what* it was to read begins the message."""
    return DumpFailed(
        f"{what} could not be read: {error.message}",
        detail=error.detail,
        hint=error.hint or _hint(error.message, endpoint),
    )


def _shortened(stderr: str) -> str:
    """Return the first and the last lines, shortened: a line may name thousands of tables."""
    lines = [
        line if len(line) <= _LINE_CHARACTERS else f"{line[:_LINE_CHARACTERS]}..."
        for line in stderr.strip().splitlines()
        if line.strip()
    ]
    if len(lines) > _FIRST_LINES + _LAST_LINES:
        lines[_FIRST_LINES:-_LAST_LINES] = ["[...]"]
    return "\n".join(lines)


def _hint(stderr: str, endpoint: Endpoint) -> str:
    """Return the hint, with the names of our role and database filled in."""
    for pattern, hint in _HINTS:
        if found := re.search(pattern, stderr):
            names = {key: quote_ident(getattr(endpoint, key)) for key in ("user", "database")}
            return hint.format(**names, **found.groupdict())
    return ""


def lock_timed_out(stderr: str) -> bool:
    """Return whether pg_dump timed out waiting for a table lock."""
    return _LOCK.search(stderr) is not None


def failed_to_lock(failure: DumpFailed) -> bool:
    """Return whether pg_dump failed while locking its tables, with a message that is not in
    English: then only others' locks show whether it timed out."""
    return not failure.hint and _LOCKING.search(failure.detail) is not None


def refused_connection(stderr: str, endpoint: Endpoint) -> ConnectionFailed | None:
    """Return the error for a tool that could not connect at all, or None if it could."""
    if _NO_CONNECTION.search(stderr):
        return connection_failed(stderr, endpoint)
    return None
