"""Adds extensions that can be created only in a database with a certain name, after the rename."""

from __future__ import annotations

from collections.abc import Iterator

from pgsnap.dump.definitions.bound_extension import BoundExtension
from pgsnap.dump.definitions.entry_stream import entries
from pgsnap.dump.entries import decode
from pgsnap.errors import CorruptionError, RestoreFailed, SourceError, StoreError
from pgsnap.model import DumpEvent, Section, SectionEnd, SectionKind, SectionStart, Snapshot
from pgsnap.repository.chunks.stream import section_events, section_text
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import ident
from pgsnap.sessions.server import Server
from pgsnap.targets.dumptext import without_unknown_sets
from pgsnap.targets.load.feeder import expected_rows, psql_feeder
from pgsnap.workflows.restore.plan import RestorePlan

_DEFINITIONS = (SectionKind.PRE_DATA, SectionKind.SEQUENCES, SectionKind.POST_DATA)


def add_left_out(
    repo: Repository, snapshot: Snapshot, plan: RestorePlan, server: Server, token: str
) -> list[str]:
    """Create the extensions that the load left out, each in its own transaction; return warnings.

    The database is in service by then, so a failure is only a warning, with the manual way.
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
    rows = [
        section
        for section in repo.sections(snapshot)
        if _is_of(section, extension) and (plan.masking is None or plan.masking.sends(section.name))
    ]
    with psql_feeder(
        server, psql, plan.database, token, "--single-transaction", expected=expected_rows(rows)
    ) as feeder:
        feeder.run(_events(repo, snapshot, plan, extension))


def _is_of(section: Section, extension: BoundExtension) -> bool:
    name = section.name
    return name.kind is SectionKind.DATA and (name.schema, name.name) in extension.tables


def _events(
    repo: Repository,
    snapshot: Snapshot,
    plan: RestorePlan,
    extension: BoundExtension,
) -> Iterator[DumpEvent]:
    """Yield the parts of the dump that belong to the extension, after the dump's settings."""
    encoding = snapshot.origin.client_encoding
    for section in repo.sections(snapshot):
        if section.name.kind is SectionKind.PREAMBLE or _is_of(section, extension):
            events = section_events(repo, snapshot, [section])
            if plan.masking is not None:
                events = plan.masking.passing(events)
            yield from without_unknown_sets(events, plan.server.major)
        elif section.name.kind in _DEFINITIONS:
            yield SectionStart(section.name)
            for entry, text in entries(section_text(repo, snapshot, section)):
                words = (decode(part, encoding) for part in (entry.type, entry.schema, entry.name))
                if extension.owns(*words):
                    yield text
            yield SectionEnd()
