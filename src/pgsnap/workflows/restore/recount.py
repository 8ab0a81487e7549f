"""Compares the restored database with what was sent, once nothing is left to run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pgsnap.dump.definitions.ddl import sequence_values
from pgsnap.dump.events import text_of
from pgsnap.errors import SnapError
from pgsnap.model import SectionKind, Snapshot
from pgsnap.repository.chunks.stream import section_events, whole_text
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.targets.load.extension_sequences import set_extension_sequences
from pgsnap.targets.load.feeder import expected_rows
from pgsnap.targets.load.own_name import name_itself
from pgsnap.targets.load.recount import check_rows, set_back_sequences
from pgsnap.targets.properties.properties import differences, read_applied
from pgsnap.workflows.restore.plan import RestorePlan
from pgsnap.workflows.restore.sections import planned_sections


def look_again(
    repo: Repository, snapshot: Snapshot, plan: RestorePlan, session: Session
) -> tuple[str, ...]:
    """Change rows of *session*'s database that name the replaced database to name this one, count
    them, reset sequences that moved, and set those of extensions. Returns warnings. Raises
    RestoreFailed if a table's rows differ from the snapshot."""
    sections = planned_sections(repo, snapshot, plan)
    warnings: tuple[str, ...] = ()
    if plan.live is not None:
        # First: functions of views that are refreshed could change rows and sequences.
        warnings += name_itself(session, plan.live.oid, plan.database)
    routed = frozenset(plan.masking.roots.values()) if plan.masking is not None else frozenset()
    warnings += check_rows(session, lambda: expected_rows(sections), routed)
    values = (each for each in sections if each.name.kind is SectionKind.SEQUENCES)
    text = whole_text(text_of(section_events(repo, snapshot, values)))
    warnings += set_back_sequences(session, sequence_values(text, snapshot.origin.client_encoding))
    warnings += set_extension_sequences(session, plan.extension_sequences)
    return warnings


def read_back(connect: Callable[[], Session], plan: RestorePlan) -> tuple[str, ...]:
    """Return how the database's properties differ from the snapshot's after the rename; a
    difference is reported, not repaired."""
    if plan.properties is None:
        return ()
    try:
        with connect() as session:
            found = read_applied(session, plan.database)
    except SnapError as error:
        return (f"the properties could not be read back: {error.message}",)
    expected = plan.properties
    if plan.options.scratch:
        expected = replace(expected, comment=found.comment, is_template=False, connection_limit=-1)
    return tuple(differences(expected, found))
