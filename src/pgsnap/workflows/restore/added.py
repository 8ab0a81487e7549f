"""Extensions that can be made only in a database of a certain name, once it has that name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pgsnap.dump.definitions.bound_extension import BoundExtension
from pgsnap.dump.definitions.entry_stream import entries
from pgsnap.dump.entries import decode
from pgsnap.dump.volatile import fresh_restrict_key
from pgsnap.errors import CorruptionError, RestoreFailed, SourceError, StoreError
from pgsnap.model import SectionKind, SectionName, Snapshot
from pgsnap.repository.chunks.stream import snapshot_stream
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import ident
from pgsnap.sessions.server import Server
from pgsnap.targets.dumptext import understands_restrict, without_unknown_sets
from pgsnap.targets.load.feeder import PSQL_ARGUMENTS, Feeder, expected_rows
from pgsnap.targets.naming import application_name
from pgsnap.workflows.restore.plan import RestorePlan

_DEFINITIONS = (SectionKind.PRE_DATA, SectionKind.SEQUENCES, SectionKind.POST_DATA)


def add_left_out(
    repo: Repository, snapshot: Snapshot, plan: RestorePlan, server: Server, token: str
) -> list[str]:
    """Add what the load left out, each extension in a transaction of its own; return warnings.

    The database is in service by then: what fails is told, with the way to do it by hand.
    """
    warnings = []
    for extension in plan.extensions.added:
        try:
            _add(repo, snapshot, plan, server, token, extension)
        except (RestoreFailed, SourceError, StoreError, CorruptionError) as error:
            rows = " ".join(f"--section 'data {'.'.join(table)}'" for table in extension.tables)
            warnings.append(
                f"the extension {extension.name} could not be added: {error.message}."
                f" {error.detail} When that is mended, in {plan.database}: CREATE EXTENSION"
                f" {ident(extension.name)}; then the rows: snap cat"
                f" {plan.snapshot_id.hex()[:12]} {rows}"
            )
    return warnings


def _add(
    repo: Repository,
    snapshot: Snapshot,
    plan: RestorePlan,
    server: Server,
    token: str,
    extension: BoundExtension,
) -> None:
    psql = plan.psql or server.tool("psql")
    key = fresh_restrict_key() if understands_restrict(psql.version_num) else None
    rows = [
        section
        for section in repo.sections(snapshot)
        if section.name.kind is SectionKind.DATA
        and (section.name.schema, section.name.name) in extension.tables
    ]
    child = server.start_tool(
        psql,
        (*PSQL_ARGUMENTS, "--single-transaction"),
        database=plan.database,
        stdin=True,
        application_name=application_name(token),
    )
    try:
        feeder = Feeder(child, restrict_key=key, expected=expected_rows(rows))
        feeder.run(_text(repo, snapshot, plan, extension, feeder))
    finally:
        child.kill()


def _always(name: SectionName) -> Callable[[], SectionName]:
    return lambda: name


def _text(
    repo: Repository,
    snapshot: Snapshot,
    plan: RestorePlan,
    extension: BoundExtension,
    feeder: Feeder,
) -> Iterator[bytes]:
    """Yield what of the dump is the extension's, behind the dump's settings."""
    encoding = snapshot.origin.client_encoding

    def read(name: SectionName) -> Iterator[bytes]:
        feeder.section_begins(name)
        return snapshot_stream(repo, snapshot, restrict_key=None, sections=[name])

    for section in repo.sections(snapshot):
        name = section.name
        if name.kind is SectionKind.PREAMBLE:
            yield from without_unknown_sets(read(name), _always(name), plan.server.major)
        elif name.kind is SectionKind.DATA and (name.schema, name.name) in extension.tables:
            yield from read(name)
        elif name.kind in _DEFINITIONS:
            for entry, text in entries(read(name)):
                words = (decode(part, encoding) for part in (entry.type, entry.schema, entry.name))
                if extension.owns(*words):
                    yield text
