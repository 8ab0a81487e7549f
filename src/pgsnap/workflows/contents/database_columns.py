"""Columns of the type regdatabase (since 19), which store a database's OID and print its name.

A restored database gets the name of the live one but not its OID: rows that referred to the live
database would still refer to it, now the kept one. So they are updated before the swap.
"""

from __future__ import annotations

from collections.abc import Iterator

from pgsnap.dump.definitions.ddl import columns_of_type
from pgsnap.model import SectionKind, Snapshot
from pgsnap.repository.chunks.stream import text_of_kinds
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import ident
from pgsnap.targets.checks.preflight import Findings
from pgsnap.targets.checks.requirements import source_major
from pgsnap.targets.load.own_name import SINCE, TYPE
from pgsnap.words import some


def check_database_columns(repo: Repository, snapshot: Snapshot, database: str) -> Findings:
    """Report what happens to rows that refer to *database*, which is replaced. Raises
    CorruptionError."""
    major = source_major(snapshot.origin)
    if major is None or major < SINCE or not _is_there(repo, snapshot):
        return Findings()
    text = b"".join(_definitions(repo, snapshot))
    found = columns_of_type(text, snapshot.origin.client_encoding, TYPE)
    names = [
        ".".join(map(ident, (*table, column)))
        for table, columns in found.items()
        for column in sorted(columns)
    ]
    if not names:
        return Findings()
    words = (
        f"rows that name {database} in {some(names)} (type {TYPE}) are changed when all is loaded,"
        " to name the restored database: they hold a number, which stays with the replaced one"
    )
    return Findings(warnings=(words,))


def _is_there(repo: Repository, snapshot: Snapshot) -> bool:
    """Return whether the type occurs at all: definitions may be large, and are read whole only
    then."""
    before = b""
    for block in _definitions(repo, snapshot):
        if TYPE.encode() in before + block:
            return True
        before = block[-len(TYPE) :]
    return False


def _definitions(repo: Repository, snapshot: Snapshot) -> Iterator[bytes]:
    return text_of_kinds(repo, snapshot, SectionKind.PRE_DATA)
