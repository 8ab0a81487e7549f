"""What change detection asks a server about itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pgsnap.sessions.base import Session
from pgsnap.sources.properties import read_system_identifier
from pgsnap.values import dataclass

BLOCK_BYTES = 8192
SEGMENT_BLOCKS = 131072
"""The sizes of a page and of a file that nearly every server has; for others there is no change
detection."""

_STATE = """
SELECT pg_is_in_recovery(),
       (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()),
       (SELECT d.dattablespace FROM pg_database d WHERE d.datname = current_database()),
       current_setting('block_size'),
       (SELECT s.setting FROM pg_settings s WHERE s.name = 'segment_size'),
       current_setting('wal_level'),
       coalesce(current_setting('summarize_wal', true), ''),
       (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user), current_user
"""
_CHECKPOINT = """
SELECT c.timeline_id, c.redo_lsn - '0/0'::pg_lsn, c.checkpoint_lsn - '0/0'::pg_lsn
FROM pg_control_checkpoint() c
"""
_MAY_CHECKPOINT = """
SELECT pg_has_role(r.oid, 'USAGE') FROM pg_roles r WHERE r.rolname = 'pg_checkpoint'
"""
_MAY_STAT = "SELECT has_function_privilege('pg_stat_file(text,boolean)', 'EXECUTE')"
# Written when a database is made, and never again.
_AGE = """
SELECT extract(epoch FROM clock_timestamp() - f.modification)
FROM pg_stat_file(
    regexp_replace(pg_relation_filepath('pg_class'::regclass), '[^/]*$', 'PG_VERSION'), true) f
"""

# Of the name of a WAL file, in hex.
_TIMELINE_DIGITS = 8


@dataclass(frozen=True, slots=True)
class ServerState:
    """A server and the connected database. *tablespace* is the database's own."""

    version_num: int
    system_identifier: str
    in_recovery: bool
    database_oid: int
    tablespace: int
    block_bytes: int
    segment_blocks: int
    wal_level: str
    summarizes: bool
    is_superuser: bool
    role: str

    @property
    def has_usual_blocks(self) -> bool:
        return self.block_bytes == BLOCK_BYTES and self.segment_blocks == SEGMENT_BLOCKS


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The latest checkpoint: its timeline, where recovery would begin, where its record is."""

    timeline: int
    redo: int
    position: int


def read_state(session: Session) -> ServerState:
    """Return the state of *session*'s server. Raises QueryFailed, ConnectionFailed."""
    row = session.query(_STATE)[0]
    return ServerState(
        version_num=session.server_version_num,
        system_identifier=read_system_identifier(session),
        in_recovery=row[0] == "t",
        database_oid=int(row[1] or 0),
        tablespace=int(row[2] or 0),
        block_bytes=int(row[3] or 0),
        segment_blocks=int(row[4] or 0),
        wal_level=row[5] or "",
        summarizes=row[6] == "on",
        is_superuser=row[7] == "t",
        role=row[8] or "",
    )


def read_checkpoint(session: Session) -> Checkpoint:
    """Return the latest checkpoint. Raises QueryFailed, ConnectionFailed."""
    row = session.query(_CHECKPOINT)[0]
    return Checkpoint(int(row[0] or 0), int(row[1] or 0), int(row[2] or 0))


def current_timeline(session: Session, *, in_recovery: bool) -> int:
    """Return the timeline that the server writes, or (*in_recovery*) that of its last checkpoint. A
    standby that was promoted writes a new one before its first checkpoint says so. Raises
    QueryFailed, ConnectionFailed."""
    if in_recovery:
        return read_checkpoint(session).timeline
    file = session.query("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")[0][0] or ""
    return int(file[:_TIMELINE_DIGITS], 16)


def made_at(session: Session) -> datetime | None:
    """Return when the server made the files of the database, by the clock here, or a moment
    earlier; None if the role may not know. Raises QueryFailed, ConnectionFailed."""
    if session.query(_MAY_STAT)[0][0] != "t":
        return None
    now = datetime.now(UTC)
    age = session.query(_AGE)[0][0]
    return now - timedelta(seconds=float(age)) if age else None


def may_checkpoint(session: Session, state: ServerState) -> bool:
    """Return whether the role may run CHECKPOINT. Raises QueryFailed, ConnectionFailed."""
    if state.is_superuser:
        return True
    rows = session.query(_MAY_CHECKPOINT)
    return bool(rows) and rows[0][0] == "t"


def insert_position(session: Session) -> int:
    """Return where the next WAL record will be written. Raises QueryFailed, ConnectionFailed."""
    return int(session.query("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")[0][0] or 0)


def lsn_literal(position: int) -> str:
    """Return a position in the WAL as an SQL expression."""
    return f"'{position >> 32:X}/{position & 0xFFFFFFFF:X}'::pg_lsn"
