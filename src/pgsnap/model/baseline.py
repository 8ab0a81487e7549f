"""What is known of a server at the moment of a snapshot: from it the next commit can tell what
changed. WAL positions are integers."""

from __future__ import annotations

from pgsnap.values import dataclass

SIGNATURE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Mark:
    """Every transaction with an id above *xid* has written all its WAL at or after *lsn*."""

    lsn: int
    xid: int


@dataclass(frozen=True, slots=True)
class TableState:
    """A table with rows of its own: where its file is, how long it is, how its rows become text.

    *columns* and *types* are signatures of what else determines that text; *always_read* is why no
    comparison can tell that it is unchanged, "" if one can. *tablespace* is the OID, never 0.
    """

    oid: int
    schema: str
    name: str
    relfilenode: int
    tablespace: int
    blocks: int
    columns: bytes
    types: bytes
    always_read: str = ""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A moment of a database, and its server's history up to it.

    *base*: what is not visible in the snapshot has written all its WAL at or after it; None if no
    such position is known, so that nothing can be compared with it. *boundary* is the redo position
    of a checkpoint made after the snapshot (0: none was made). *marks* give later snapshots a
    *base*. *proof* holds transaction ids and whether they were committed: a server that was set
    back to an earlier state has other outcomes. *settings* is the signature of the settings that
    rows and definitions are written by. The fingerprints identify the state of the catalogs that
    pg_dump and pg_dumpall read; None if unknown.
    """

    system_identifier: str
    timeline: int
    version_num: int
    database_oid: int
    base: int | None
    boundary: int
    marks: tuple[Mark, ...]
    proof: tuple[tuple[int, bool], ...]
    settings: bytes
    fingerprint: bytes | None
    globals_fingerprint: bytes | None
    tables: tuple[TableState, ...]
