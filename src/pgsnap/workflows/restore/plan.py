"""Plans a restore: what it would do and everything that forbids it, before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from pgsnap.errors import ConnectionFailed, TargetExists, UsageError
from pgsnap.model import DatabaseProperties, ServerInfo, Snapshot, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.runners.base import Tool
from pgsnap.sessions.endpoint import Endpoint
from pgsnap.sessions.half_dropped import drop_command
from pgsnap.sessions.server import Server
from pgsnap.sources.extensions import left_behind
from pgsnap.sources.properties import read_properties, read_server
from pgsnap.targets.checks.connections import RESTORE_CONNECTIONS, check_connections
from pgsnap.targets.checks.preflight import (
    Findings,
    LiveDatabase,
    Me,
    Problem,
    check_replaceable,
    check_server,
    look_at,
    refuse,
    who_am_i,
)
from pgsnap.targets.checks.readable import check_doors, check_readable
from pgsnap.targets.checks.requirements import check_requirements, check_space, needed_bytes
from pgsnap.targets.checks.roles import MissingRole, missing_roles, needed_roles, server_roles
from pgsnap.targets.checks.template_parts import check_template_parts
from pgsnap.targets.properties.properties import without_grants
from pgsnap.targets.swap.kept import KeptDatabase, find_kept
from pgsnap.targets.swap.read_only import ReadOnly, check_read_only, plan_read_only
from pgsnap.workflows.contents.database_columns import check_database_columns
from pgsnap.workflows.contents.roles import globals_text, roles_differ, roles_of_dump
from pgsnap.workflows.contents.strings import check_strings
from pgsnap.workflows.contents.table_names import extension_sequences, with_rows_of
from pgsnap.workflows.contents.table_rows import by_way_of_others
from pgsnap.workflows.contents.trust import check_text, check_trust, snapshot_to_run
from pgsnap.workflows.notes.kept_databases import read_kept_notes
from pgsnap.workflows.restore.checks import (
    check_drilled,
    check_kept,
    check_repository,
    check_whole,
    droppable,
    lost_labels,
    what_goes_back,
)
from pgsnap.workflows.restore.definitions import check_definitions
from pgsnap.workflows.restore.extensions import (
    NO_EXTENSIONS,
    ExtensionPlan,
    plan_extensions,
    without_left_out,
)
from pgsnap.workflows.restore.gone import NOTHING, Gone, find_gone
from pgsnap.workflows.restore.rights import check_rights
from pgsnap.workflows.restore.sections import sections_to_send
from pgsnap.workflows.restore.server_checks import another_server, check_chain, has_nothing
from pgsnap.workflows.retention.policy import safety_tag


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """The user's choices. *to* names a new database; None: the one the snapshot came from.

    *scratch*: the new database is a drill's scratch database and is marked as such. *tables*, as
    (schema, name), are the only ones restored with rows, in a new database; the plan also has their
    descendants that hold rows. *no_owner*, *no_acl*: we own everything, and privileges are left
    out, in a new database. *partial*: a partial snapshot may replace a whole database.
    *from_server*: so may one of this other server (LABEL@ID) replace a database that has snapshots
    of its own. *with_safety*: the replaced database is recorded first, and so must be readable.
    """

    to: str | None = None
    create_roles: bool = False
    discard_old: bool = False
    allow_newer_client: bool = False
    trust_sql: bool = False
    as_superuser: bool = False
    analyze: bool = True
    read_only: bool = False
    scratch: bool = False
    tables: tuple[tuple[str, str], ...] = ()
    no_owner: bool = False
    no_acl: bool = False
    partial: bool = False
    from_server: str | None = None
    with_safety: bool = False


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore will do, for the user to review and confirm.

    *live* is the database to replace (None: *database* is new). *properties* are those that the
    database gets; None if unknown. *extension_sequences* are set after everything else is loaded:
    quoted name to last value and is_called. Sizes are in bytes; *free_bytes* is None if unknown.
    *kept* are the kept databases that `discard_old` drops. *read_only* keeps new sessions of *live*
    from writing; None if not requested or not needed. *gone* is what *live* has and the snapshot
    lacks.
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
    if options.read_only and options.to is not None:
        raise UsageError(
            "--read-only is about the database that is replaced, and --to replaces none"
        )
    _check_clone(options)
    snapshot = snapshot_to_run(repo, snapshot_id)
    options = replace(options, tables=with_rows_of(repo, snapshot, options.tables))
    renamed_to = Chains(repo).renamed_to(snapshot.database)
    database = target_database(snapshot, server.endpoint, options.to, renamed_to)
    maintenance = server.maintenance_database()
    with server.connect(maintenance) as session:
        psql = server.tool("psql", allow_newer=options.allow_newer_client)
        me = who_am_i(session)
        snapshot = _as_clone(snapshot, options, me)
        live = look_at(session, database)
        if options.to is not None and live is not None:
            raise _exists(live)
        info = read_server(session)
        present = server_roles(session)
        needed = needed_roles(snapshot)
        needed |= roles_of_dump(repo, snapshot, rights=not options.no_acl)
        # The globals are read only if needed: they may be damaged while the rest is intact.
        text = globals_text(repo, snapshot) if needed - present else ""
        differing = roles_differ(repo, snapshot, session, needed)
        missing = missing_roles(needed, present, text)
        # Findings on the snapshot itself come first, as they matter most; those on roles follow.
        findings = check_server(session, me)
        if not options.scratch:
            findings += check_drilled(repo, snapshot_id)
            findings += another_server(snapshot, server.endpoint.display(), info)
        findings += check_whole(snapshot, live, partial=options.partial)
        # A drill holds one more connection.
        findings += check_connections(session, me, RESTORE_CONNECTIONS + options.scratch)
        kept: tuple[KeptDatabase, ...] = ()
        read_only: ReadOnly | None = None
        gone = NOTHING
        if live is not None:
            if (tag := safety_tag(repo, snapshot_id, snapshot.database)) is not None:
                replaced = f"this snapshot is what an earlier restore or undo replaced ({tag})"
                findings += Findings(warnings=(replaced,))
            notes = read_kept_notes(repo)
            kept = find_kept(session, notes.swapped, info.system_identifier, live.name)
            findings += Findings(warnings=notes.warnings)
            findings += check_replaceable(session, me, live, maintenance)
            findings += check_repository(repo)
            findings += check_kept(session, kept, live, discard_old=options.discard_old)
            if options.discard_old:
                kept, why_not = droppable(session, kept, live)
                findings += why_not
            findings += Findings(warnings=check_doors(live, None, live.name))
            if options.with_safety:
                findings += check_readable(server, session, live)
            findings += check_read_only(session, live)
            gone, told = find_gone(repo, snapshot, server, live, partial=options.partial)
            findings += told
            if options.read_only:
                read_only = plan_read_only(session, live)
            findings += check_chain(
                repo,
                snapshot,
                live.name,
                info,
                from_server=options.from_server,
                is_empty=lambda: has_nothing(server, database),
            )
            findings += what_goes_back(session, snapshot, live) + lost_labels(session, live)
            findings += check_database_columns(repo, snapshot, live.name)
        extensions, told = plan_extensions(
            repo, snapshot, session, database, replaces=live is not None
        )
        findings += told + check_requirements(
            session,
            me,
            without_left_out(snapshot, extensions),
            missing,
            create_roles=options.create_roles,
            psql=psql,
        )
        findings += differing + Findings(warnings=tuple(left_behind(snapshot.origin)))
        findings += check_text(repo, snapshot) + check_strings(repo, snapshot, info.major)
        findings += check_template_parts(session, me, snapshot.origin)
        findings += check_definitions(session, me, snapshot, repo, scratch=options.scratch)
        findings += check_rights(session, snapshot, repo, left_out=options.no_acl)
        properties, told = _properties(server, snapshot, live)
        findings += told
        findings += check_trust(
            session,
            me,
            snapshot,
            properties,
            trust_sql=options.trust_sql,
            as_superuser=options.as_superuser,
        )
        plain_bytes, rows = sections_to_send(repo, snapshot, options.tables, extensions).totals()
        findings += by_way_of_others(repo, snapshot, options.tables)
        need = needed_bytes(snapshot)
        free, space = check_space(
            session,
            need,
            properties.tablespace if properties is not None else "pg_default",
            # Behind a socket the server runs where its tools run, so its disk can be measured
            # there.
            free_bytes=server.runner.free_bytes if is_local_socket(server.endpoint) else None,
        )
        findings += space
    return RestorePlan(
        snapshot_id=snapshot_id,
        label=own_label(snapshot, database, renamed_to),
        host=server.endpoint.display(),
        database=database,
        live=live,
        server=info,
        options=options,
        section_count=snapshot.section_count,
        table_count=snapshot.table_count,
        plain_bytes=plain_bytes,
        rows=rows,
        needed_bytes=need,
        free_bytes=free,
        kept=kept,
        missing_roles=missing,
        warnings=findings.warnings,
        refusals=findings.problems,
        properties=properties,
        psql=psql,
        read_only=read_only,
        extension_sequences={} if options.tables else extension_sequences(repo, snapshot),
        extensions=extensions,
        gone=gone,
    )


def _exists(there: LiveDatabase) -> TargetExists:
    state, command = "", f"dropdb {there.name}"
    if there.is_half_dropped:
        state, command = ", and is half-dropped", drop_command(there.name)
    return TargetExists(
        f'the database "{there.name}" exists already{state}',
        detail="A restore with --to makes a new database.",
        hint=f"Choose another name, or drop it: {command}",
    )


def _check_clone(options: RestoreOptions) -> None:
    if options.to is None and (options.no_owner or options.no_acl or options.tables):
        raise UsageError(
            "--no-owner and --no-acl are for copies",
            detail="In the live database owners and rights come back as they were.",
            hint="Name a new database: --to NEW.",
        )


def _as_clone(snapshot: Snapshot, options: RestoreOptions, me: Me) -> Snapshot:
    """Return *snapshot* as it is to be copied: owned by us, or without privileges."""
    origin = snapshot.origin
    if options.no_owner:
        origin = replace(origin, owners=())
    properties = origin.properties
    if properties is not None and options.no_owner:
        properties = replace(properties, owner=me.name)
    if properties is not None and options.no_acl:
        properties = without_grants(properties)
    if properties is not None and options.no_owner and options.no_acl:
        settings = tuple(setting for setting in properties.settings if setting.role is None)
        properties = replace(properties, roles=(), settings=settings)
    return replace(snapshot, origin=replace(origin, properties=properties))


def target_database(
    snapshot: Snapshot, endpoint: Endpoint, to: str | None, renamed_to: str | None = None
) -> str:
    """Return the database to fill: *to*, else the one the snapshot came from, which the DSN must
    not contradict; for a snapshot of a file, the DSN's. After a rename to *renamed_to*, either name
    is accepted. Raises UsageError."""
    if to is not None:
        _check_name(to)
        return to
    named = names_database(endpoint)
    origin = snapshot.origin.properties
    if origin is None:
        if not named:
            raise UsageError(
                "the snapshot does not know which database it is of",
                detail="It was made from a file.",
                hint="Name the database in the DSN, or fill a new one: --to NEW.",
            )
        return endpoint.database
    if named and renamed_to == endpoint.database and snapshot.database == origin.name:
        return endpoint.database
    if named and endpoint.database != origin.name:
        raise UsageError(
            f'the snapshot is of the database "{origin.name}", the DSN names "{endpoint.database}"',
            detail="A snapshot never replaces another database by accident.",
            hint=f"Name {origin.name} in the DSN, or fill a new database: --to NEW.",
        )
    return origin.name


def own_label(snapshot: Snapshot, database: str, renamed_to: str | None) -> str:
    """Return the label under which *database* is recorded before it is replaced."""
    return database if database == renamed_to else snapshot.database


def names_database(endpoint: Endpoint) -> bool:
    """Return whether the DSN or libpq's own settings name a database."""
    return any(
        key == "dbname" and value
        for source in (endpoint.keywords, endpoint.fallbacks)
        for key, value in source
    )


def is_local_socket(endpoint: Endpoint) -> bool:
    """Return whether the server is reached through a socket, and so is certainly on this host."""
    return not endpoint.host or endpoint.host.startswith(("/", "@"))


def _check_name(name: str) -> None:
    if not name or "\0" in name or len(name.encode("utf-8", "surrogateescape")) > 63:
        raise UsageError(
            f'"{name[:80]}" is no name for a database', detail="A name has 1 to 63 bytes."
        )


def _properties(
    server: Server, snapshot: Snapshot, live: LiveDatabase | None
) -> tuple[DatabaseProperties | None, Findings]:
    """Return the snapshot's own properties, else those of the database to be replaced."""
    if snapshot.origin.properties is not None:
        return snapshot.origin.properties, Findings()
    if live is not None and not live.is_half_dropped and live.allows_connections:
        # If it accepts connections: one that refuses them may well be the reason for the restore.
        with (
            suppress(ConnectionFailed),
            server.without_event_triggers().connect(live.name) as session,
        ):
            return read_properties(session), Findings()
    return None, Findings(
        warnings=("nothing is known of encoding, locale and owner: the server's defaults hold",)
    )
