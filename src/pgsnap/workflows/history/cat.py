"""Cat: a snapshot as plain SQL for psql, which cannot pass for complete if it is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import tee
from typing import TYPE_CHECKING

from pgsnap.dump.definitions.statements import without_verifiers
from pgsnap.dump.events import to_section_end
from pgsnap.dump.lexer import Lexer
from pgsnap.dump.volatile import fresh_restrict_key
from pgsnap.errors import CorruptionError, UnknownRevision, UnusableInput
from pgsnap.model import (
    DumpEvent,
    Section,
    SectionEnd,
    SectionKind,
    SectionName,
    SectionStart,
    SnapshotId,
)
from pgsnap.repository.chunks.stream import WITH_SEQUENCES, section_events, sections_of, whole_text
from pgsnap.repository.repository import Repository
from pgsnap.words import did_you_mean

if TYPE_CHECKING:
    from pgsnap.masking.masks import Masks

# A truncated row or statement must not pass for a complete one: this makes a row with more columns
# than a table may have, or operators without an operand.
_ROWS_SPOILT = b"\t" * 1700 + b"snap: the snapshot is damaged\n\\.\n"
_STATEMENT_SPOILT = b" ! snap_the_snapshot_is_damaged ! "
# This text is no number on any server with any settings, and the error repeats it. psql ignores a
# semicolon inside parentheses, but not an unknown backslash command.
_POISON = (
    b";\nSELECT CAST('snap: the snapshot is damaged, this output is not whole' AS pg_catalog.int4)"
    b";\n\\snap_the_snapshot_is_damaged\n"
)


def cat(
    repo: Repository,
    snapshot_id: SnapshotId,
    *,
    sections: Sequence[str] = (),
    with_secrets: bool = False,
    with_extension_sequences: bool = False,
    masks: Masks | None = None,
) -> Iterator[bytes]:
    """Yield the dump of a snapshot, or of the *sections* named as `snap show` prints them.

    The values of extensions' sequences, which pg_dump does not write, are included only
    *with_extension_sequences*.

    Before the first byte, the presence of every pack and chunk is checked. On damage in mid-stream,
    even inside a string, it yields a statement that fails, and raises CorruptionError. Password
    verifiers are masked unless *with_secrets*; rows are masked with *masks*. Raises UnknownRevision
    for a section that the snapshot does not have, UsageError where the masks do not fit.
    """
    snapshot = repo.snapshot(snapshot_id)
    chosen = _named(list(repo.sections(snapshot)), sections) if sections else None
    # Losses elsewhere in the snapshot do not matter.
    repo.check_present(snapshot, chosen)
    also = WITH_SEQUENCES if with_extension_sequences and chosen is None else ()
    masking = None
    if masks is not None:
        # NumPy, which it needs, takes longer to import than a small snapshot to write.
        from pgsnap.workflows.masks.plan import masking_for

        masking = masking_for(repo, snapshot_id, masks)
    found, watched = tee(sections_of(repo, snapshot, chosen, also))
    events = section_events(repo, snapshot, found, fresh_restrict_key())
    if not with_secrets:
        events = _masked(events)
    if masking is not None:
        watched = (section for section in watched if masking.sends(section.name))
        events = masking.definitions(masking.passing(events))
    return _poisoned(events, watched, is_masked=masking is not None)


class _Watch:
    """Tracks what is open where the output stops: rows, a string, a function's body.

    Rows are not lexed, as their bounds are known. The other sections go through one lexer, in
    order, because a setting in the first section affects how strings are parsed in all others.
    What is masked has other bounds: there the first block of a section is what precedes the rows,
    and its end is the end of all.
    """

    def __init__(self, *, is_masked: bool = False) -> None:
        self._is_masked = is_masked
        self._statements: Lexer | None = Lexer()
        self._lexer: Lexer | None = self._statements
        self._head_bytes = 0
        self._rows_bytes = 0

    def begins(self, section: Section) -> None:
        """Note that the next block belongs to *section*."""
        is_copy = section.rows is not None
        self._head_bytes = section.head_bytes if is_copy else 0
        self._rows_bytes = section.plain_bytes if is_copy else 0
        self._lexer = Lexer() if is_copy else self._statements

    def ends(self) -> None:
        """Note that the section is complete."""
        if self._is_masked:
            self._rows_bytes = 0
            self._lexer = self._statements

    def goes_out(self, block: bytes) -> None:
        try:
            if self._lexer is not None:
                self._lexer.feed(block)
        except UnusableInput:
            # Committed by a version whose lexer accepted it.
            self._lexer = self._statements = None
        if self._head_bytes:
            self._head_bytes -= min(len(block), self._head_bytes)
            if self._is_masked:
                self._head_bytes = 0
            if not self._head_bytes:
                self._lexer = None
        if self._rows_bytes and not self._is_masked:
            self._rows_bytes -= min(len(block), self._rows_bytes)
            if not self._rows_bytes:
                self._lexer = self._statements

    def poison(self) -> bytes:
        """Return the text that makes psql fail here."""
        lexer = self._lexer
        if lexer is None:
            return _ROWS_SPOILT + _POISON
        try:
            lexer.finish()
        except UnusableInput:
            return _ROWS_SPOILT + _POISON
        if lexer.inside == "the rows of a table":
            return _ROWS_SPOILT + _POISON
        return lexer.closing() + (_STATEMENT_SPOILT if lexer.inside else b"") + _POISON


def _masked(events: Iterator[DumpEvent]) -> Iterator[DumpEvent]:
    """Yield *events*, with password verifiers masked in the globals."""
    for event in events:
        yield event
        if isinstance(event, SectionStart) and event.name.kind is SectionKind.GLOBALS:
            # They are small, and a verifier must not slip through between two blocks. Latin-1 maps
            # each byte to a character, and no token ends inside a character of any encoding.
            text = whole_text(to_section_end(events)).decode("latin-1")
            yield without_verifiers(text).encode("latin-1")
            yield SectionEnd()


def _named(found: list[Section], words: Sequence[str]) -> list[SectionName]:
    """Return the sections that *words* name: "pre-data", "data public.orders", "public.orders"."""
    chosen: list[SectionName] = []
    for word in words:
        match = [section.name for section in found if word in _words(section.name)]
        if not match:
            known = [one for section in found for one in _words(section.name) if one]
            raise UnknownRevision(
                f'the snapshot has no section "{word}"',
                hint=did_you_mean(word, known, "See its sections: snap show REV"),
            )
        chosen += match
    return chosen


def _words(name: SectionName) -> tuple[str, str, str]:
    return str(name), str(name.kind), str(name).partition(" ")[2]


def _poisoned(
    events: Iterable[DumpEvent], sections: Iterator[Section], *, is_masked: bool
) -> Iterator[bytes]:
    """Yield the text of the events of *sections*, and on an error the text that makes psql fail."""
    watch = _Watch(is_masked=is_masked)
    try:
        for event in events:
            if isinstance(event, SectionStart):
                watch.begins(next(sections))
            elif isinstance(event, bytes):
                watch.goes_out(event)
                yield event
            else:
                watch.ends()
    except CorruptionError:
        yield watch.poison()
        raise
