"""Refuses a dump for its text: untrusted SQL, and dumps that begin by dropping objects."""

from __future__ import annotations

from dataclasses import replace

from pgsnap.dump.entries import DUMP_BEGIN, DUMP_END, ENTRY
from pgsnap.model import (
    OUTSIDE_ROOT,
    DatabaseProperties,
    Section,
    SectionKind,
    Snapshot,
    SnapshotId,
    SourceKind,
)
from pgsnap.patterns import regex
from pgsnap.repository.chunks.stream import section_text
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session, ident, literal
from pgsnap.targets.checks.preflight import ConnectedRole, Findings, Problem

# What `pg_dump -c` writes before the first entry; without -c there is a comment.
_DROPS = regex(rb"\s*(DROP [^;]*|ALTER TABLE [^;]* DROP [^;]*);")
_BEGIN_BYTES = 64 * 1024
_BODY = (SectionKind.PRE_DATA, SectionKind.DATA, SectionKind.POST_DATA)


def snapshot_to_run(repo: Repository, snapshot_id: SnapshotId) -> Snapshot:
    """Return a snapshot whose text is about to be run. The repository's author may have claimed
    that it is pg_dump's: this is believed only if its text has pg_dump's first lines and its end
    mark, and its first definitions follow a header, as for a file that is committed. Raises
    UnknownRevision, CorruptionError, StoreError."""
    snapshot = repo.snapshot(snapshot_id)
    if snapshot.origin.is_pg_dump and not _is_like_pg_dump(repo, snapshot):
        return replace(snapshot, origin=replace(snapshot.origin, is_pg_dump=False))
    return snapshot


def _is_like_pg_dump(repo: Repository, snapshot: Snapshot) -> bool:
    first: dict[SectionKind, Section] = {}
    begins = None
    for section in repo.sections(snapshot):
        first.setdefault(section.name.kind, section)
        if section.name.kind not in OUTSIDE_ROOT:
            begins = begins or section
    if begins is None or begins.name.kind is not SectionKind.PREAMBLE:
        return False
    if not DUMP_BEGIN.match(_begin(repo, snapshot, begins)):
        return False
    trailer, definitions = first.get(SectionKind.TRAILER), first.get(SectionKind.PRE_DATA)
    if trailer is None or not DUMP_END.search(_begin(repo, snapshot, trailer)):
        return False
    # With `pg_dump -c`, the DROP statements precede the first entry.
    return definitions is None or bool(ENTRY.search(_begin(repo, snapshot, definitions)))


def _begin(repo: Repository, snapshot: Snapshot, section: Section) -> bytes:
    """Return the beginning of a section: at least _BEGIN_BYTES, if it is that long."""
    begin = b""
    for block in section_text(repo, snapshot, section):
        begin += block
        if len(begin) >= _BEGIN_BYTES:
            break
    return begin


def check_text(repo: Repository, snapshot: Snapshot) -> Findings:
    """Return what forbids filling an empty database with the text of *snapshot*."""
    origin = snapshot.origin
    if origin.kind is not SourceKind.FILE or not origin.is_pg_dump:
        return Findings()
    first = next((s for s in repo.sections(snapshot) if s.name.kind in _BODY), None)
    if first is None:
        return Findings()
    found = _DROPS.match(next(section_text(repo, snapshot, first), b""))
    if found is None or b" IF EXISTS " in found[1]:
        return Findings()
    words = found[1].decode("utf-8", "replace")
    return Findings(
        (
            Problem(
                "the dump begins by dropping what is not there (pg_dump -c without --if-exists)",
                detail=f"Its first statement is {words[:80]!r}, which fails in the new, empty"
                " database that a restore fills.",
                hint="Dump again without -c, or with -c --if-exists. To load this one by hand:"
                " snap cat REV | psql NEW, without ON_ERROR_STOP, and look at each error.",
            ),
        )
    )


def check_trust(
    session: Session,
    me: ConnectedRole,
    snapshot: Snapshot,
    properties: DatabaseProperties | None,
    *,
    trust_sql: bool,
    as_superuser: bool,
) -> Findings:
    """Return what forbids running SQL that pg_dump did not write, and warnings on it.

    Its functions and views keep running with their owner's privileges long after the restore, so
    they are never handed to a superuser.
    """
    if snapshot.origin.is_pg_dump:
        return Findings()
    if not trust_sql:
        return Findings(
            (
                Problem(
                    "pg_dump did not write this SQL, it could do anything",
                    detail="Its first lines are not those of a dump by pg_dump.",
                    hint="Read it (snap cat), then restore it with --trust-sql.",
                ),
            )
        )
    if as_superuser:
        return Findings(warnings=("pg_dump did not write this SQL; it runs with all your rights",))
    owner = properties.owner if properties is not None else me.name
    told = "pg_dump did not write this SQL; it runs as a role without rights"
    if not session.query(
        "SELECT 1 FROM pg_catalog.pg_roles WHERE rolsuper AND rolname OPERATOR(pg_catalog.=)"
        f" {literal(owner)}"
    ):
        return Findings(warnings=(told,))
    if properties is None:
        way = "Connect as a role that is no superuser (docs/roles.md has its grants)"
    else:
        way = (
            "Give the database an owner of its own (CREATE ROLE app_owner; ALTER DATABASE"
            f" {ident(properties.name)} OWNER TO app_owner;)"
        )
    return Findings(
        (
            Problem(
                f"what this SQL makes would belong to the superuser {owner}",
                detail="pg_dump did not write it. Its functions and views would have all rights,"
                " the role that calls them, and autovacuum calls some.",
                hint=f"{way}, or trust the SQL with all rights: --as-superuser.",
            ),
        )
    )
