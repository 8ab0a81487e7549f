"""Status: which snapshot the live database equals or stems from, and about how much it differs."""

from __future__ import annotations

from dataclasses import replace

from pgsnap.errors import QueryFailed, SnapError, SourceError
from pgsnap.format.baseline import decode_baseline
from pgsnap.model.baseline import Baseline
from pgsnap.repository.repository import Repository
from pgsnap.repository.sections.side_streams import read_baseline
from pgsnap.sessions.server import Server
from pgsnap.sources.changes.moment import Terms, begin
from pgsnap.sources.changes.verdicts import Changed, Full, Unchanged
from pgsnap.sources.changes.ways import Method
from pgsnap.sources.postgres import PostgresSource
from pgsnap.sources.properties import read_server
from pgsnap.targets.checks.preflight import find_database
from pgsnap.targets.swap.kept import KeptDatabase, find_kept
from pgsnap.values import dataclass
from pgsnap.workflows.notes.baselines import Use, newest_baseline
from pgsnap.workflows.notes.bases import Base, base_of
from pgsnap.workflows.notes.kept_databases import read_kept_notes
from pgsnap.workflows.notes.tables_put_back import TablesPutBack, tables_put_back

_BLOCK_BYTES = 8192
# What is read must not take long: where summaries are not at hand, the rest is an estimate.
_TERMS = Terms(
    lock_wait_seconds=1.0,
    may_touch=False,
    methods=(Method.SUMMARIES,),
    xid_wait_seconds=0.5,
    summary_wait_seconds=2.0,
)
_NOW = """
SELECT pg_catalog.pg_database_size(pg_catalog.current_database()),
  (SELECT pg_catalog.sum(greatest(c.reltuples, 0))::int8 FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema'
    AND n.nspname !~ '^pg_'),
  (SELECT pg_catalog.bool_or(c.reltuples < 0) FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema'
    AND n.nspname !~ '^pg_')
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """What is thought to differ from the base. If *is_detected*, the server showed which tables
    were written to since: *tables*, and *changed_bytes* in their blocks, None if not of all.
    Otherwise there are only estimates, None if unknown, and *reason*. *definitions_changed*: they,
    or roles that they name, may be others now; None if that is not known."""

    is_detected: bool
    tables: tuple[str, ...] = ()
    changed_bytes: int | None = None
    rows: int | None = None
    size_bytes: int | None = None
    reason: str = ""
    definitions_changed: bool | None = None


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What is known of the live *database*, None if it does not exist. *tables* are restores of
    single tables since *base*."""

    label: str
    host: str
    database: str | None
    base: Base | None
    tables: tuple[TablesPutBack, ...]
    difference: Difference | None
    kept: tuple[KeptDatabase, ...]


def status(repo: Repository, server: Server, label: str, *, may_detect: bool) -> StatusReport:
    """Look at the repository and the server. *may_detect*: as commits that read only changes do,
    with a checkpoint; otherwise there is only an estimate. Raises ConnectionFailed, QueryFailed,
    CorruptionError, StoreError."""
    notes = read_kept_notes(repo, label)
    host = server.endpoint.display()
    with server.connect(server.maintenance_database()) as session:
        name = server.endpoint.database
        identifier = read_server(session).system_identifier
        kept = find_kept(session, notes.swapped, identifier, name)
        live = find_database(session, name)
        if live is None:
            return StatusReport(label, host, None, None, (), None, kept)
        base = base_of(repo, session, label, name, live.oid, identifier)
        tables = tuple(
            one
            for one in tables_put_back(repo, session, label, identifier, live.oid)
            if base is None or one.time > base.time
        )
    difference = None
    if base is not None:
        known = _baseline(repo, label, base, identifier, live.oid) if may_detect else None
        difference = _difference(server, base, known)
    return StatusReport(label, host, live.name, base, tables, difference, kept)


def _baseline(
    repo: Repository, label: str, base: Base, identifier: str, oid: int
) -> Baseline | None:
    """Return the state of the server at the time of *base*, None if none is recorded."""
    if base.how == "restore":
        noted = newest_baseline(repo, label, Use.LIVE, identifier, oid)
        is_it = noted is not None and noted.snapshot == base.snapshot_id
        # What pg_dump writes of the restored definitions may be worded otherwise.
        return replace(noted.baseline, fingerprint=None) if noted and is_it else None
    data = read_baseline(repo.chunks, base.snapshot) if base.how == "commit" else None
    try:
        return decode_baseline(data) if data else None
    except SnapError:
        return None


def _difference(server: Server, base: Base, known: Baseline | None) -> Difference:
    quiet = server.without_event_triggers()
    if known is None:
        return _estimate(quiet, base, "nothing is recorded to compare the server's changes with")
    terms = replace(_TERMS, dump_key=_dump_key(server, base), parent_time=base.time)
    before = {(table.schema, table.name) for table in known.tables}
    try:
        with begin(quiet.connect, known, terms) as moment:
            now = {
                (table.schema, table.name): moment.verdicts[table.oid] for table in moment.tables
            }
            changed = moment.definitions_changed if terms.dump_key else None
    except (SourceError, QueryFailed) as error:
        return _estimate(quiet, base, error.message)
    for table, verdict in now.items():
        if isinstance(verdict, Full) and table in before:
            found = _estimate(quiet, base, f"{table[0]}.{table[1]}: {verdict.reason}")
            return replace(found, definitions_changed=changed)
    written = {table for table, verdict in now.items() if not isinstance(verdict, Unchanged)}
    others = before.symmetric_difference(now)
    blocks = sum(len(one.blocks) for one in now.values() if isinstance(one, Changed))
    names = tuple(f"{schema}.{name}" for schema, name in sorted(written | others))
    # Of tables that were made or dropped since, no blocks are counted.
    size = None if others else blocks * _BLOCK_BYTES
    return Difference(True, names, size, definitions_changed=changed)


def _dump_key(server: Server, base: Base) -> str:
    """Return the key of a commit of the whole database now, "" if that is not known."""
    properties = base.snapshot.origin.properties
    try:
        return PostgresSource(server).dump_key(properties.encoding) if properties else ""
    except SourceError:
        return ""


def _estimate(server: Server, base: Base, reason: str) -> Difference:
    try:
        with server.connect() as session:
            ((size, rows, is_unknown),) = session.query(_NOW)
    except (SourceError, QueryFailed) as error:
        return Difference(False, reason=error.message)
    before = base.snapshot
    properties = before.origin.properties
    size_before = properties.size_bytes if properties is not None else None
    return Difference(
        False,
        rows=int(rows or 0) - before.rows if is_unknown != "t" else None,
        size_bytes=int(size or 0) - size_before if size_before and base.how == "commit" else None,
        reason=reason,
    )
