"""The entries of a dump's definitions, one after another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgsnap.dump.entries import ENTRY, Entry, parse_entry
from pgsnap.dump.lexer import Lexer, Piece


def entries(blocks: Iterable[bytes], *, settings: bool = False) -> Iterator[tuple[Entry, bytes]]:
    """Yield the entries of a section of definitions, each with its text without the header.

    What precedes the first header is left out, and so are settings, unless *settings*.
    """
    lexer = Lexer()
    entry: Entry | None = None
    parts: list[bytes] = []

    def pieces() -> Iterator[tuple[Piece, bytes]]:
        for block in blocks:
            yield from lexer.feed(block)
        yield from lexer.finish()

    for piece, data in pieces():
        header = ENTRY.search(data) if piece is Piece.COMMENT else None
        if header is not None:
            if entry is not None:
                yield entry, b"".join(parts)
            entry, parts = parse_entry(header), []
        elif settings or piece is not Piece.SETTING:
            parts.append(data)
    if entry is not None:
        yield entry, b"".join(parts)
