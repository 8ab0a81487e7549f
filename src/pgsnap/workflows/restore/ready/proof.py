"""Proves that a restored database, such as a warm copy, still is as it was, and so equals its
snapshot; takes down the state that a later proof, or the next commit, begins with."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from pgsnap.dump.definitions.ddl import sequence_values
from pgsnap.dump.events import text_of
from pgsnap.errors import QueryFailed, SourceError
from pgsnap.model import SectionKind, Snapshot
from pgsnap.model.baseline import Baseline
from pgsnap.repository.chunks.stream import section_events, whole_text
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.sources.changes.moment import Moment, Terms, begin
from pgsnap.sources.changes.verdicts import Full, Unchanged
from pgsnap.sources.properties import read_properties
from pgsnap.targets.load.extension_sequences import set_extension_sequences
from pgsnap.targets.load.hashed_rows import chosen_anew
from pgsnap.targets.load.recount import set_back_sequences
from pgsnap.targets.load.row_order import Table
from pgsnap.targets.swap.warm import WarmCopy, others_inside
from pgsnap.values import dataclass
from pgsnap.workflows.notes.baselines import RESTORED, NotedBaseline, Use, newest_baseline
from pgsnap.workflows.restore.plan import RestorePlan

# Nobody else is connected: whatever has to be waited for is of other databases.
_TERMS: Final = Terms(
    lock_wait_seconds=5.0, dump_key=RESTORED, may_touch=False, xid_wait_seconds=1.0
)
_LARGE_OBJECT_OID = 2613
_HAS_LARGE_OBJECTS = "SELECT EXISTS (SELECT FROM pg_catalog.pg_largeobject_metadata)"


class Unproven(QueryFailed):
    """It cannot be shown that a database is as it was; the message says why."""


def take_baseline(server: Server, database: str, application: str) -> Baseline:
    """Return the present state of *database*, which nobody else is connected to. Raises
    SourceError, QueryFailed, ConnectionFailed."""
    quiet = server.without_event_triggers()
    with begin(lambda: quiet.connect(database, application), None, _TERMS) as moment:
        return moment.finish()


def prove(
    server: Server,
    database: str,
    application: str,
    before: Baseline,
    time: datetime,
    dump_key: str = RESTORED,
) -> Baseline:
    """Return the present state of *database* if all of its rows and definitions are as in the state
    *before*, which was taken by *time*, with *dump_key*. Sequences are not looked at. Raises
    Unproven, SourceError, ConnectionFailed."""
    quiet = server.without_event_triggers()
    terms = replace(_TERMS, dump_key=dump_key, parent_time=time)
    with begin(lambda: quiet.connect(database, application), before, terms) as moment:
        if reason := _difference(moment, before):
            raise Unproven(reason)
        return moment.finish()


def for_commits(
    plan: RestorePlan,
    snapshot: Snapshot,
    server: Server,
    database: str,
    application: str,
    baseline: Baseline,
    in_any_order: Collection[Table] = (),
) -> Baseline | None:
    """Return *baseline* as a commit may use it that is compared with *snapshot*: of the tables
    whose rows a dump of *database* writes as in the snapshot, and so not of those *in_any_order*.
    None if that may be so of none."""
    origin = snapshot.origin
    before = origin.properties
    if not origin.is_pg_dump or before is None or plan.options.tables:
        return None
    if origin.system_identifier != plan.server.system_identifier:
        return None
    with server.without_event_triggers().connect(database, application) as session:
        if read_properties(session).extensions != before.extensions:
            # Another version may write values of its types otherwise.
            return None
        moved = {*chosen_anew(session), *in_any_order}
    tables = tuple(each for each in baseline.tables if (each.schema, each.name) not in moved)
    return replace(baseline, globals_fingerprint=None, tables=tables)


def _difference(moment: Moment, before: Baseline) -> str:
    for table in moment.tables:
        verdict = moment.verdicts[table.oid]
        if isinstance(verdict, Full):
            return f"{table.schema}.{table.name}: {verdict.reason}"
        if not isinstance(verdict, Unchanged):
            return f"{table.schema}.{table.name} has changed"
    if len(moment.tables) != len(before.tables):
        return "it has other tables"
    if not moment.fingerprint_equal:
        return "its definitions have changed, or not all of them can be read"
    reads_large_objects = any(table.oid == _LARGE_OBJECT_OID for table in moment.tables)
    if not reads_large_objects and moment.session.query(_HAS_LARGE_OBJECTS)[0][0] == "t":
        return "its large objects cannot be read"
    return ""


@dataclass(frozen=True, slots=True)
class ProvenCopy:
    """A warm *copy* that equals its snapshot, in the state *baseline*."""

    copy: WarmCopy
    baseline: Baseline


def proven_copies(
    repo: Repository, plan: RestorePlan, snapshot: Snapshot, server: Server, application: str
) -> Iterator[ProvenCopy | str]:
    """Yield the copies that can take the place of a load, or why one cannot, until the caller has
    enough. Nothing is yielded where there is none."""
    for copy in plan.ready.warm:
        noted = noted_state(repo, plan.label, plan.server.system_identifier, copy)
        try:
            if noted is None or noted.snapshot != plan.snapshot_id:
                raise Unproven("this repository has no note of it")
            baseline = prove(server, copy.name, application, noted.baseline, noted.time)
            with server.without_event_triggers().connect(copy.name, application) as session:
                set_sequences(repo, snapshot, plan, session)
                if others_inside(session, copy.oid, application):
                    raise Unproven("somebody is connected to it")
        except (SourceError, QueryFailed) as error:
            yield f"the warm copy {copy.name} is not used: {error.message}"
        else:
            yield ProvenCopy(copy, baseline)


def noted_state(
    repo: Repository, label: str, system_identifier: str, copy: WarmCopy
) -> NotedBaseline | None:
    """Return the state that the repository has noted of *copy*. Raises StoreError."""
    return newest_baseline(repo, label, Use.WARM, system_identifier, copy.oid)


def set_sequences(
    repo: Repository, snapshot: Snapshot, plan: RestorePlan, session: Session
) -> None:
    """Sequences are no tables, and change without a trace in the catalogs: set them. Raises
    Unproven if one cannot be, QueryFailed, ConnectionFailed."""
    wanted = (each for each in repo.sections(snapshot) if each.name.kind is SectionKind.SEQUENCES)
    text = whole_text(text_of(section_events(repo, snapshot, wanted)))
    values = sequence_values(text, snapshot.origin.client_encoding)
    stuck = set_extension_sequences(session, plan.extension_sequences)
    moved = set_back_sequences(session, values)
    stuck += moved and set_back_sequences(session, values)
    if stuck:
        raise Unproven(stuck[0])
