"""Roles, memberships and tablespaces: the output of pg_dumpall --globals-only as one section."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgsnap.dump.entries import CLUSTER_BEGIN, CLUSTER_END
from pgsnap.dump.lexer import Lexer, Piece
from pgsnap.dump.reader import read_ahead, refuse_cut
from pgsnap.dump.volatile import volatile_kind
from pgsnap.dump.writer import SectionWriter
from pgsnap.errors import DumpIncomplete, UnusableInput
from pgsnap.model import DumpEvent, SectionKind, VolatileKind, VolatileLine


class GlobalsReader:
    """Reads the globals of a cluster as the section ``globals``."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = blocks
        self._writer = SectionWriter()
        self._is_complete = False

    @property
    def volatile(self) -> tuple[VolatileLine, ...]:
        """Return the lines taken out; complete once `events` is exhausted."""
        return tuple(self._writer.volatile)

    def events(self) -> Iterator[DumpEvent]:
        """Yield the single section.

        Raises DumpIncomplete without pg_dumpall's end mark, UnusableInput for anything other than
        pg_dumpall's globals.
        """
        blocks = iter(self._blocks)
        first = read_ahead(blocks)
        if not CLUSTER_BEGIN.match(first):
            raise UnusableInput("the input is not what pg_dumpall --globals-only writes")
        lexer = Lexer()
        self._writer.start(SectionKind.GLOBALS)
        self._take(lexer.feed(first))
        yield from self._writer.drain()
        for block in blocks:
            self._take(lexer.feed(block))
            yield from self._writer.drain()
        self._take(lexer.finish())
        refuse_cut(lexer, self._writer)
        if not self._is_complete:
            raise DumpIncomplete(
                "the dump of the roles has no end mark",
                detail="Its last lines should say: PostgreSQL database cluster dump complete.",
            )
        self._writer.close()
        yield from self._writer.drain()

    def _take(self, pieces: Iterable[tuple[Piece, bytes]]) -> None:
        for piece, data in pieces:
            kind = volatile_kind(data) if piece is Piece.META else None
            if kind in (VolatileKind.RESTRICT, VolatileKind.UNRESTRICT):
                self._writer.take_out(kind, data)
                continue
            is_cut = piece is Piece.META and not data.endswith(b"\n")
            if piece in (Piece.META, Piece.COPY) and not is_cut:
                raise UnusableInput(
                    "the input holds more than roles and tablespaces",
                    detail=f"There is {data.split(maxsplit=1)[0][:40]!r} in it.",
                )
            if piece is Piece.COMMENT and CLUSTER_END.search(data):
                self._is_complete = True
            self._writer.put(data)
