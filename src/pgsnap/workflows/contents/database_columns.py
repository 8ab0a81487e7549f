"""Columns of the type regdatabase (since 19), which store a database's OID and print its name.

A restored database gets the name of the live one but not its OID: rows that referred to the live
database would still refer to it, now the kept one. So they are updated before the swap.
"""

from __future__ import annotations

import re
from functools import partial

from pgsnap.dump.definitions.ddl import columns_of_type
from pgsnap.dump.events import occurs
from pgsnap.model import SectionKind, Snapshot
from pgsnap.patterns import regex
from pgsnap.repository.chunks.stream import text_of_kinds
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import ident
from pgsnap.targets.checks.preflight import Findings
from pgsnap.targets.checks.requirements import source_major
from pgsnap.targets.load.own_name import SINCE, TYPE
from pgsnap.words import some

_DOMAIN = regex(rb"^CREATE DOMAIN (\S+) AS %b(?:\[\])*(?=[\s;])" % TYPE.encode(), re.M)


def check_database_columns(repo: Repository, snapshot: Snapshot, database: str) -> Findings:
    """Report what happens to rows that refer to *database*, which is replaced. Raises
    CorruptionError."""
    major = source_major(snapshot.origin)
    if major is None or major < SINCE:
        return Findings()
    word = TYPE.encode()
    definitions = partial(text_of_kinds, repo, snapshot, SectionKind.PRE_DATA)
    # They may be as large as a database has tables: read whole only where it is worth it.
    if not occurs(lambda text: word in text, definitions(), len(word)):
        return Findings()
    text = b"".join(definitions())
    domains = (match[1].decode("utf-8", "surrogateescape") for match in _DOMAIN.finditer(text))
    names = [
        ".".join(map(ident, (*table, column)))
        for each in (TYPE, *domains)
        for table, columns in columns_of_type(text, snapshot.origin.client_encoding, each).items()
        for column in sorted(columns)
    ]
    if not names:
        return Findings()
    words = (
        f"rows that name {database} in {some(names)} (type {TYPE}) are changed when all is loaded,"
        " to name the restored database: they hold a number, which stays with the replaced one"
    )
    if b"\nCREATE MATERIALIZED VIEW " in text:
        words += "; materialized views that read them are refreshed once more"
    return Findings(warnings=(words,))
