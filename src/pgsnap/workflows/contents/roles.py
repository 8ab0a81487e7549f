"""Roles that the text of a snapshot names, and their definitions in it."""

from __future__ import annotations

from collections.abc import Collection

from pgsnap.dump.definitions.role_names import named_roles
from pgsnap.errors import CorruptionError, StoreError
from pgsnap.model import SectionKind, Snapshot, SourceKind
from pgsnap.repository.chunks.stream import section_text, text_of_kinds, whole_text
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.targets.checks.preflight import Findings
from pgsnap.targets.checks.role_differences import role_differences
from pgsnap.targets.checks.roles import is_built_in


def roles_of_dump(repo: Repository, snapshot: Snapshot, *, rights: bool) -> frozenset[str]:
    """Return the roles that a snapshot of a file names besides the owners; those of GRANTs only
    with *rights*. For a snapshot of a server its properties have them.

    Dumps of managed services name roles that other servers lack.
    """
    origin = snapshot.origin
    if origin.kind is not SourceKind.FILE or not origin.is_pg_dump:
        return frozenset()
    found: set[str] = set()
    for section in repo.sections(snapshot):
        if section.name.kind in (SectionKind.PRE_DATA, SectionKind.POST_DATA):
            text = section_text(repo, snapshot, section)
            found |= named_roles(text, origin.client_encoding, rights=rights)
    return frozenset(name for name in found if not is_built_in(name))


def roles_differ(
    repo: Repository, snapshot: Snapshot, session: Session, needed: Collection[str]
) -> Findings:
    """Report which of the roles *needed* differ from the snapshot."""
    try:
        text = globals_text(repo, snapshot)
    except (CorruptionError, StoreError) as error:
        return Findings(warnings=(f"roles cannot be compared: {error.message}",))
    return Findings(warnings=role_differences(session, needed, text))


def globals_text(repo: Repository, snapshot: Snapshot) -> str:
    """Return the globals of a snapshot. Raises CorruptionError, StoreError."""
    text = whole_text(text_of_kinds(repo, snapshot, SectionKind.GLOBALS))
    return text.decode("utf-8", "surrogateescape")
