"""Guards against replacing a database with a snapshot of another server unasked."""

from __future__ import annotations

from collections.abc import Callable

from pgsnap.errors import SourceError
from pgsnap.model import ServerInfo, Snapshot
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chain, Chains
from pgsnap.sessions.server import Server
from pgsnap.targets.checks.preflight import Findings, Problem

# OIDs of user-created objects start here.
_FIRST_USER_OID = 16384
_ANYTHING = " UNION ALL ".join(
    f"SELECT 1 FROM pg_catalog.{table} WHERE oid OPERATOR(pg_catalog.>=) {_FIRST_USER_OID}"
    for table in (
        *("pg_class", "pg_proc", "pg_type", "pg_namespace", "pg_extension", "pg_event_trigger"),
        *("pg_largeobject_metadata", "pg_publication", "pg_foreign_data_wrapper"),
    )
)


def another_server(snapshot: Snapshot, host: str, info: ServerInfo) -> Findings:
    """Warn if the snapshot is of a database of the same name on another server, such as staging."""
    was = snapshot.origin.system_identifier
    if not was or not info.system_identifier or was == info.system_identifier:
        return Findings()
    place = snapshot.origin.host or "of unknown address"
    text = (
        f"the snapshot was taken on another server ({place}), system identifier {was}, not on the"
        f" one named here ({host}), system identifier {info.system_identifier}"
    )
    return Findings(warnings=(text,))


def check_chain(
    repo: Repository,
    snapshot: Snapshot,
    database: str,
    info: ServerInfo,
    *,
    from_server: str | None,
    is_empty: Callable[[], bool],
) -> Findings:
    """Refuse to replace a live *database* that has snapshots of its own with another chain's
    snapshot, unless *from_server* says that this is meant. *is_empty* returns whether the database
    has no contents."""
    chains = Chains(repo)
    warnings = tuple(
        f'note "{name}" is damaged and left out: snapshots of several servers may be taken for'
        " those of one (see snap verify)"
        for name in chains.damaged
    )
    theirs = chains.of_snapshot(snapshot)
    if from_server is not None or snapshot.origin.system_identifier == info.system_identifier:
        return Findings(warnings=warnings)
    own = _own_chain(repo, chains, theirs, database, info.system_identifier)
    if own is None or own == theirs or not chains.was_committed(own) or is_empty():
        return Findings(warnings=warnings)
    newest = chains.latest(own)
    mine = f", the newest is {newest.hex()[:12]}" if newest is not None else ""
    name = theirs.full_name
    adopt = f" If {own.full_name} goes on from there for good: snap database adopt {name}."
    problem = Problem(
        f"the snapshot is of another server ({name}), and {database} has snapshots of its own"
        f" ({own.full_name}{mine})",
        detail="A restore would put the contents of one server in the place of the other's.",
        # If the server is unknown, as for a file, there is none to adopt.
        hint=f"If that is meant: --from-server {name}.{adopt if theirs.server else ''}"
        " To look at it: --to NEW.",
    )
    return Findings((problem,), warnings)


def check_servers(
    repo: Repository,
    snapshot: Snapshot,
    server: Server,
    database: str,
    info: ServerInfo,
    from_server: str | None,
    *,
    replaces: bool = True,
) -> Findings:
    """Return `another_server`, and `check_chain` if anything in *database* is replaced."""
    found = another_server(snapshot, server.endpoint.display(), info)
    if replaces:
        found += check_chain(
            repo, snapshot, database, info, from_server=from_server, is_empty=lambda: False
        )
    return found


def _own_chain(
    repo: Repository, chains: Chains, theirs: Chain, database: str, server: str
) -> Chain | None:
    """Return the chain of the live database: under the label of the snapshot, or under another
    label whose newest snapshot is of it."""
    own = chains.of_server(theirs.label, server)
    if own is not None:
        return own
    for label in repo.databases():
        found = chains.of_server(label, server)
        newest = chains.latest(found) if found is not None else None
        if newest is None:
            continue
        properties = repo.snapshot(newest).origin.properties
        if properties is not None and properties.name == database:
            return found
    return None


def has_nothing(server: Server, database: str) -> bool:
    """Return whether a database has no user-created objects; False if that cannot be determined."""
    try:
        with server.without_event_triggers().connect(database) as session:
            return not session.query(f"SELECT 1 FROM ({_ANYTHING}) made LIMIT 1")
    except SourceError:
        return False
