"""Dumps with ``standard_conforming_strings = off``, which servers from 19 on do not support.

In such a dump a backslash in a plain literal begins an escape. Without backslashes its text means
the same everywhere, and the setting can be left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgsnap.dump.definitions.statements import Kind, statements
from pgsnap.dump.entries import decode
from pgsnap.model import Section, SectionKind, Snapshot
from pgsnap.repository.chunks.stream import section_text, text_of_kinds, whole_text
from pgsnap.repository.repository import Repository
from pgsnap.targets.checks.preflight import Findings, Problem
from pgsnap.targets.dumptext import (
    BACKSLASHES_OFF,
    STANDARD_STRINGS_SINCE,
    sets_backslashes,
)

_NO_SQL = frozenset({SectionKind.GLOBALS, SectionKind.PREAMBLE, SectionKind.TRAILER})
_SHOWN_CHARACTERS = 60


def check_strings(repo: Repository, snapshot: Snapshot, server_major: int) -> Findings:
    """Refuse a dump whose literals a server of this major version would read differently. Raises
    CorruptionError."""
    if server_major < STANDARD_STRINGS_SINCE or not snapshot.origin.is_pg_dump:
        return Findings()
    preamble = whole_text(text_of_kinds(repo, snapshot, SectionKind.PREAMBLE))
    if not any(map(sets_backslashes, preamble.splitlines())):
        return Findings()
    found = next(_escapes(repo, snapshot, repo.sections(snapshot)), None)
    if found is None:
        words = f"{BACKSLASHES_OFF} of the dump is left out: nothing in it depends on it"
        return Findings(warnings=(words,))
    section, literal = found
    return Findings(
        (
            Problem(
                f"the dump is written for {BACKSLASHES_OFF}, which PostgreSQL {server_major} does"
                " not have",
                detail=f"In its section {section.name} stands {literal}: the backslash would be"
                " taken for itself.",
                hint="Restore it to a server of version 18 or earlier, set"
                " standard_conforming_strings = on in that database, and commit it from there.",
            ),
        )
    )


def _escapes(
    repo: Repository, snapshot: Snapshot, sections: Iterable[Section]
) -> Iterator[tuple[Section, str]]:
    """Yield the plain literals that contain a backslash. Rows of COPY are not literals; rows as
    INSERTs are only searched for any backslash."""
    for section in sections:
        if section.name.kind in _NO_SQL or section.rows is not None:
            continue
        if section.name.kind is SectionKind.DATA:
            if any(b"\\" in block for block in section_text(repo, snapshot, section)):
                yield section, "a value with a backslash"
            continue
        whole = whole_text(section_text(repo, snapshot, section))
        text = decode(whole, snapshot.origin.client_encoding)
        for tokens in statements(f"SET {BACKSLASHES_OFF};\n{text}"):
            for kind, part in tokens:
                if kind is Kind.STRING and part[0] not in "eE$" and "\\" in part:
                    yield section, part[:_SHOWN_CHARACTERS]
