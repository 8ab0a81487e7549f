"""Plans a restore: what it would do and everything that forbids it, before anything is changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING

from pgsnap.model import DatabaseProperties, ServerInfo, Snapshot, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.runners.base import Tool
from pgsnap.sessions.base import Session
from pgsnap.sessions.server import Server
from pgsnap.sources.extensions import left_behind
from pgsnap.sources.properties import read_server
from pgsnap.targets.checks.connections import RESTORE_CONNECTIONS, check_connections, jobs_that_fit
from pgsnap.targets.checks.preflight import (
    ConnectedRole,
    Findings,
    LiveDatabase,
    Problem,
    check_replaceable,
    check_server,
    connected_role,
    find_database,
    refuse,
)
from pgsnap.targets.checks.readable import check_doors, check_readable
from pgsnap.targets.checks.requirements import check_requirements, check_space, needed_bytes
from pgsnap.targets.checks.roles import MissingRole, missing_roles, needed_roles, server_roles
from pgsnap.targets.checks.template_parts import check_template_parts
from pgsnap.targets.swap.kept import KeptDatabase, find_kept
from pgsnap.targets.swap.read_only import ReadOnly, check_read_only, plan_read_only
from pgsnap.targets.swap.warm import WarmCopy, find_warm
from pgsnap.values import dataclass
from pgsnap.workflows.contents.database_columns import check_database_columns
from pgsnap.workflows.contents.roles import globals_text, roles_differ, roles_of_dump
from pgsnap.workflows.contents.strings import check_strings
from pgsnap.workflows.contents.table_names import extension_sequences, with_rows_of
from pgsnap.workflows.contents.table_rows import by_way_of_others
from pgsnap.workflows.contents.trust import check_text, check_trust, snapshot_to_run
from pgsnap.workflows.masks.wanted import plan_masking
from pgsnap.workflows.needs.definitions import check_definitions
from pgsnap.workflows.needs.extensions import (
    NO_EXTENSIONS,
    ExtensionPlan,
    plan_extensions,
    without_left_out,
)
from pgsnap.workflows.needs.rights import check_rights
from pgsnap.workflows.notes.kept_databases import read_kept_notes
from pgsnap.workflows.restore.checks import (
    check_drilled,
    check_kept,
    check_repository,
    check_whole,
    droppable,
    lost_labels,
    superseded,
    what_goes_back,
)
from pgsnap.workflows.restore.gone import NOTHING, Gone, find_gone
from pgsnap.workflows.restore.ready.standing import NOT_READY, Ready, Search
from pgsnap.workflows.restore.sections import sections_to_send
from pgsnap.workflows.restore.server_checks import another_server, check_chain, has_nothing
from pgsnap.workflows.restore.target import RestoreOptions as RestoreOptions
from pgsnap.workflows.restore.target import (
    as_clone,
    check_options,
    database_and_label,
    exists_already,
    is_local_socket,
    known_properties,
)
from pgsnap.workflows.retention.policy import safety_tag

if TYPE_CHECKING:
    from pgsnap.masking.events import Masking


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore will do, for the user to review and confirm.

    *live* is the database to replace (None: *database* is new). *properties* are those that the
    database gets; None if unknown. *extension_sequences* are set after everything else is loaded:
    quoted name to last value and is_called. Sizes are in bytes; *free_bytes* is None if unknown.
    *kept* are the kept databases that may go when it is done. *read_only* keeps new sessions of
    *live* from writing; None if not requested or not needed. *gone* is what *live* has and the
    snapshot lacks. *jobs* is how many psql load at once: not more than there are connections left.
    *ready* is where the contents of the snapshot may stand already; the warm copies in
    *dropped_first* make room; *no_room* is what forbids a load even so. *masking* is the filter for
    the rows.
    """

    snapshot_id: SnapshotId
    label: str
    host: str
    database: str
    live: LiveDatabase | None
    server: ServerInfo
    options: RestoreOptions
    section_count: int
    table_count: int
    plain_bytes: int
    rows: int
    needed_bytes: int
    free_bytes: int | None
    kept: tuple[KeptDatabase, ...]
    missing_roles: tuple[MissingRole, ...]
    warnings: tuple[str, ...]
    refusals: tuple[Problem, ...]
    properties: DatabaseProperties | None = field(repr=False, default=None)
    psql: Tool | None = None
    read_only: ReadOnly | None = None
    extension_sequences: Mapping[str, tuple[int, bool]] = field(default_factory=dict)
    extensions: ExtensionPlan = NO_EXTENSIONS
    gone: Gone = NOTHING
    jobs: int = 1
    ready: Ready = NOT_READY
    dropped_first: tuple[WarmCopy, ...] = ()
    no_room: tuple[Problem, ...] = ()
    masking: Masking | None = None

    def check(self) -> None:
        """Raise TargetRefused with every reason that forbids this restore."""
        refuse(self.refusals, f"the restore to {self.database}")


def plan_restore(
    repo: Repository, snapshot_id: SnapshotId, server: Server, options: RestoreOptions
) -> RestorePlan:
    """Inspect the snapshot and the server, and return what a restore would do. Read-only.

    Raises UsageError if the DSN names another database than the snapshot came from, TargetExists,
    ToolMissing, ToolVersion, ConnectionFailed. Everything else that forbids the restore is in the
    plan's refusals.
    """
    snapshot = snapshot_to_run(repo, snapshot_id)
    check_options(snapshot, options)
    options = replace(options, tables=with_rows_of(repo, snapshot, options.tables))
    database, label = database_and_label(repo, snapshot, server.endpoint, options.to)
    with server.connect(server.maintenance_database()) as session:
        me = connected_role(session)
        case = _Case(
            repo,
            snapshot_id,
            as_clone(snapshot, me.name if options.no_owner else None, no_acl=options.no_acl),
            server,
            server.tool("psql", allow_newer=options.allow_newer_client),
            session,
            me,
            read_server(session),
            options,
            database,
            find_database(session, database),
        )
        if options.to is not None and case.live is not None:
            raise exists_already(case.live)
        return _planned(case, label)


@dataclass(frozen=True, slots=True)
class _Case:
    """A restore that is being planned: what is asked for, and who asks whom."""

    repo: Repository
    snapshot_id: SnapshotId
    snapshot: Snapshot
    server: Server
    psql: Tool
    session: Session
    me: ConnectedRole
    info: ServerInfo
    options: RestoreOptions
    database: str
    live: LiveDatabase | None


@dataclass(frozen=True, slots=True)
class _Replaced:
    """What a restore would do to the live database and its kept ones."""

    findings: Findings
    kept: tuple[KeptDatabase, ...] = ()
    read_only: ReadOnly | None = None
    gone: Gone = NOTHING


def _planned(case: _Case, label: str) -> RestorePlan:
    repo, snapshot, options, live = case.repo, case.snapshot, case.options, case.live
    missing, differing = _roles(case)
    # Findings on the snapshot itself come first, as they matter most; those on roles follow.
    findings, jobs = _on_server(case)
    replaced = _replaced(case, live) if live is not None else _Replaced(Findings())
    extensions, told = plan_extensions(
        repo, snapshot, case.session, case.database, replaces=live is not None
    )
    masking, masked = plan_masking(repo, snapshot, options.masks)
    properties, unknown = known_properties(case.server, snapshot, live)
    findings += (
        replaced.findings
        + told
        + masked
        + _on_requirements(case, missing, extensions)
        + differing
        + _on_contents(case)
        + unknown
        + _on_trust(case, properties)
        + by_way_of_others(repo, snapshot, options.tables)
    )
    plain_bytes, rows = sections_to_send(
        repo, snapshot, options.tables, extensions, masking
    ).totals()
    copies = find_warm(case.session)
    ready = _search(case, label).ready(copies, extensions)
    free, space, dropped = _room(case, needed_bytes(snapshot), properties, copies)
    # A copy that takes the name needs no room: then it matters only if the copy cannot be used.
    findings += Findings() if ready.warm else space
    return RestorePlan(
        snapshot_id=case.snapshot_id,
        label=label,
        host=case.server.endpoint.display(),
        database=case.database,
        live=live,
        server=case.info,
        options=options,
        section_count=snapshot.section_count,
        table_count=snapshot.table_count,
        plain_bytes=plain_bytes,
        rows=rows,
        needed_bytes=needed_bytes(snapshot),
        free_bytes=free,
        kept=replaced.kept,
        missing_roles=missing,
        warnings=findings.warnings,
        refusals=findings.problems,
        properties=properties,
        psql=case.psql,
        read_only=replaced.read_only,
        extension_sequences={} if options.tables else extension_sequences(repo, snapshot),
        extensions=extensions,
        gone=replaced.gone,
        jobs=jobs,
        ready=ready,
        dropped_first=dropped,
        no_room=space.problems,
        masking=masking,
    )


def _search(case: _Case, label: str) -> Search:
    return Search(
        case.repo,
        case.snapshot_id,
        case.snapshot,
        case.server,
        case.session,
        case.info.system_identifier,
        case.options,
        case.database,
        label,
    )


def _roles(case: _Case) -> tuple[tuple[MissingRole, ...], Findings]:
    """Return the roles that the server lacks, and what is to be said of those that differ."""
    present = server_roles(case.session)
    needed = needed_roles(case.snapshot)
    needed |= roles_of_dump(case.repo, case.snapshot, rights=not case.options.no_acl)
    # The globals are read only if needed: they may be damaged while the rest is intact.
    text = globals_text(case.repo, case.snapshot) if needed - present else ""
    differing = roles_differ(case.repo, case.snapshot, case.session, needed)
    return missing_roles(needed, present, text), differing


def _on_server(case: _Case) -> tuple[Findings, int]:
    """Return what the server says against the restore, and how many jobs it has connections for."""
    findings = check_server(case.session, case.me)
    if not case.options.scratch:
        findings += check_drilled(case.repo, case.snapshot_id)
        findings += another_server(case.snapshot, case.server.endpoint.display(), case.info)
    findings += check_whole(case.snapshot, case.live, partial=case.options.partial)
    # A drill holds one more connection.
    needed = RESTORE_CONNECTIONS + case.options.scratch
    jobs = jobs_that_fit(case.session, case.me, needed, case.options.jobs or os.cpu_count() or 1)
    if case.options.any_order and jobs == 1:
        why = "--any-order has no use: there is a connection for one job only"
        findings += Findings(warnings=(why,))
    return findings + check_connections(case.session, case.me, needed), jobs


def _replaced(case: _Case, live: LiveDatabase) -> _Replaced:
    repo, snapshot, session, options = case.repo, case.snapshot, case.session, case.options
    findings = Findings()
    if (tag := safety_tag(repo, case.snapshot_id, snapshot.database)) is not None:
        why = f"this snapshot is what an earlier restore or undo replaced ({tag})"
        findings += Findings(warnings=(why,))
    notes = read_kept_notes(repo)
    kept = find_kept(session, notes.swapped, case.info.system_identifier, live.name)
    findings += Findings(warnings=notes.warnings)
    findings += check_replaceable(session, case.me, live, case.server.maintenance_database())
    findings += check_repository(repo)
    keep, discard_old = options.keep_replaced, options.discard_old
    findings += check_kept(repo, session, kept, live, discard_old=discard_old, keep=keep)
    if discard_old:
        kept, why_not = droppable(session, kept, live)
        findings += why_not
    else:
        kept = superseded(kept, live, keep)
    findings += Findings(warnings=check_doors(live, None, live.name))
    if options.with_safety:
        findings += check_readable(case.server, session, live)
    findings += check_read_only(session, live)
    gone, told = find_gone(repo, snapshot, case.server, live, partial=options.partial)
    read_only = plan_read_only(session, live) if options.read_only else None
    findings += told + check_chain(
        repo,
        snapshot,
        live.name,
        case.info,
        from_server=options.from_server,
        is_empty=lambda: has_nothing(case.server, case.database),
    )
    findings += what_goes_back(session, snapshot, live) + lost_labels(session, live)
    findings += check_database_columns(repo, snapshot, live.name)
    return _Replaced(findings, kept, read_only, gone)


def _on_requirements(
    case: _Case, missing: tuple[MissingRole, ...], extensions: ExtensionPlan
) -> Findings:
    return check_requirements(
        case.session,
        case.me,
        without_left_out(case.snapshot, extensions),
        missing,
        create_roles=case.options.create_roles,
        psql=case.psql,
    )


def _on_contents(case: _Case) -> Findings:
    repo, snapshot, session, me = case.repo, case.snapshot, case.session, case.me
    return (
        Findings(warnings=tuple(left_behind(snapshot.origin)))
        + check_text(repo, snapshot)
        + check_strings(repo, snapshot, case.info.major)
        + check_template_parts(session, me, snapshot.origin)
        + check_definitions(session, me, snapshot, repo, scratch=case.options.scratch)
        + check_rights(session, snapshot, repo, left_out=case.options.no_acl)
    )


def _on_trust(case: _Case, properties: DatabaseProperties | None) -> Findings:
    return check_trust(
        case.session,
        case.me,
        case.snapshot,
        properties,
        trust_sql=case.options.trust_sql,
        as_superuser=case.options.as_superuser,
    )


def _room(
    case: _Case,
    need: int,
    properties: DatabaseProperties | None,
    copies: tuple[WarmCopy, ...],
) -> tuple[int | None, Findings, tuple[WarmCopy, ...]]:
    """Return what `_space` does, and which of the warm *copies* have to go for it."""
    free, space = _space(case, need, properties)
    others = tuple(copy for copy in copies if not copy.is_busy and copy.size_bytes)
    if not space.problems or not others:
        return free, space, ()
    _, space = _space(case, need, properties, sum(copy.size_bytes or 0 for copy in others))
    return free, space, () if space.problems else others


def _space(
    case: _Case, need: int, properties: DatabaseProperties | None, spare: int = 0
) -> tuple[int | None, Findings]:
    """Return how many bytes are free where *need* are wanted (None: unknown), and what follows if
    *spare* are freed before."""
    server = case.server
    return check_space(
        case.session,
        max(0, need - spare),
        properties.tablespace if properties is not None else "pg_default",
        # Behind a socket the server runs where its tools run, so its disk can be measured there.
        free_bytes=server.runner.free_bytes if is_local_socket(server.endpoint) else None,
    )
