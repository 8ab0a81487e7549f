"""Roles that the text of a snapshot names, where nothing else in it tells them."""

from __future__ import annotations

from pgsnap.dump.definitions.role_names import named_roles
from pgsnap.model import SectionKind, Snapshot, SourceKind
from pgsnap.repository.chunks.stream import snapshot_stream
from pgsnap.repository.repository import Repository
from pgsnap.targets.checks.roles import is_built_in


def roles_of_dump(repo: Repository, snapshot: Snapshot, *, rights: bool) -> frozenset[str]:
    """Return the roles that a snapshot of a file names besides the owners; those of GRANTs only
    with *rights*. Of a snapshot of a server its properties know them.

    Dumps of managed services name roles that other servers lack.
    """
    origin = snapshot.origin
    if origin.kind is not SourceKind.FILE or not origin.is_pg_dump:
        return frozenset()
    found: set[str] = set()
    for section in repo.sections(snapshot):
        if section.name.kind in (SectionKind.PRE_DATA, SectionKind.POST_DATA):
            blocks = snapshot_stream(repo, snapshot, restrict_key=None, sections=[section.name])
            found |= named_roles(blocks, origin.client_encoding, rights=rights)
    return frozenset(name for name in found if not is_built_in(name))
