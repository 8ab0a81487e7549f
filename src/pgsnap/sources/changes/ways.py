"""Which way of detecting changes a server allows, and what would allow a better one."""

from __future__ import annotations

import enum

from pgsnap.errors import QueryFailed
from pgsnap.sessions.base import Session, ident
from pgsnap.sources.changes.facts import ServerState, may_checkpoint, read_checkpoint, read_state
from pgsnap.sources.changes.files import DataFolder
from pgsnap.values import dataclass

_SUMMARIES_SINCE = 170000
_CHECKPOINT_ROLE_SINCE = 150000
_PAGEINSPECT = """
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pageinspect'
"""
_DATA_FOLDER = "SELECT current_setting('data_directory', true)"


class Method(enum.StrEnum):
    """How changed blocks are found. Stored: never change one."""

    SUMMARIES = "summaries"
    FILES = "files"
    PAGEINSPECT = "pageinspect"


@dataclass(frozen=True, slots=True)
class Way:
    """The best *method* that a server allows (None: everything is read each time) with the
    *reason* why there is no better one, and the one command that makes a *better* one possible;
    both "" for the best of all."""

    method: Method | None
    reason: str = ""
    better: str = ""


@dataclass(frozen=True, slots=True)
class Ways:
    """All that can be used, the best first. *data_folder* and *pageinspect* (the extension's
    schema) are what two of them need."""

    methods: tuple[Method, ...]
    way: Way
    data_folder: DataFolder | None = None
    pageinspect: str | None = None


def best_way(session: Session, *, checkpoint: bool = True) -> Way:
    """Return the best way for *session*'s database; not *checkpoint*: commits must not request
    checkpoints. Raises QueryFailed, ConnectionFailed."""
    return find_ways(session, read_state(session), checkpoint=checkpoint).way


def find_ways(
    session: Session,
    state: ServerState,
    *,
    checkpoint: bool,
    methods: tuple[Method, ...] = tuple(Method),
) -> Ways:
    """Return which of *methods* the server of *session* allows. Raises QueryFailed,
    ConnectionFailed."""
    refused = _refusal(session, state, checkpoint=checkpoint)
    if refused is not None:
        return Ways((), refused)
    reason, better = _why_no_summaries(session, state)
    folder = _data_folder(session, state)
    schema = _pageinspect(session, state)
    is_there = {
        Method.SUMMARIES: not reason,
        Method.FILES: folder is not None,
        Method.PAGEINSPECT: schema is not None,
    }
    found = tuple(method for method in Method if is_there[method] and method in methods)
    if not better and reason and (not found or found[0] is Method.PAGEINSPECT):
        reason += "; the server's files cannot be read from here"
        better = "run snap on the server's host, as the user that PostgreSQL runs as"
        if not found and state.is_superuser:
            better = 'psql -c "CREATE EXTENSION pageinspect"'
    return Ways(found, Way(next(iter(found), None), reason, better), folder, schema)


def _refusal(session: Session, state: ServerState, *, checkpoint: bool) -> Way | None:
    """Return why nothing can be detected at all, None if something can."""
    if state.in_recovery:
        return Way(None, "this is a standby")
    if not checkpoint:
        return Way(None, "checkpoint = false in snap.toml")
    if not state.has_usual_blocks:
        return Way(None, "the server was built with blocks or files of unusual size")
    if not state.system_identifier:
        return Way(None, "the server does not show its system identifier to this role")
    if not may_checkpoint(session, state):
        grant = f'psql -c "GRANT pg_checkpoint TO {ident(state.role)}", as a superuser'
        if state.version_num < _CHECKPOINT_ROLE_SINCE:
            grant = "commit as a superuser, on the server's host"
        return Way(None, f"the role {state.role} may not run CHECKPOINT", grant)
    return None


def _why_no_summaries(session: Session, state: ServerState) -> tuple[str, str]:
    """Return why there are no WAL summaries and the command that changes it; "" if there are."""
    if state.version_num < _SUMMARIES_SINCE:
        return "only PostgreSQL 17 and later summarize their WAL", ""
    if state.wal_level == "minimal":
        text = "wal_level is minimal"
        return text, "set wal_level = replica and summarize_wal = on, and restart the server"
    if not state.summarizes:
        way = 'psql -c "ALTER SYSTEM SET summarize_wal = on" -c "SELECT pg_reload_conf()"'
        return "summarize_wal is off", way if state.is_superuser else f"{way}, as a superuser"
    try:
        session.query("SELECT 1 FROM pg_available_wal_summaries() LIMIT 1")
        session.query("SELECT pg_get_wal_summarizer_state()")
    except QueryFailed as error:
        return f"WAL summaries cannot be read: {error.message}", ""
    return "", ""


def _data_folder(session: Session, state: ServerState) -> DataFolder | None:
    """Return the server's data folder if it can be read here."""
    try:
        path = session.query(_DATA_FOLDER)[0][0]
    except QueryFailed:
        # Only pg_read_all_settings may see it.
        return None
    folder = DataFolder(path) if path else None
    if folder is None or not folder.is_of(state.system_identifier, read_checkpoint(session)):
        return None
    return folder


def _pageinspect(session: Session, state: ServerState) -> str | None:
    """Return the schema of pageinspect if its functions can be called."""
    if not state.is_superuser:
        return None
    rows = session.query(_PAGEINSPECT)
    return rows[0][0] if rows else None
