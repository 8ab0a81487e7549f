"""The lines of a dump that differ between dumps of an unchanged database.

pg_dump wraps a plain dump in ``\\restrict KEY`` and ``\\unrestrict KEY``, with a random key so that
nothing in the dump can end the restricted mode of psql (CVE-2025-8714), and names its own version
and the server's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence

from pgsnap.errors import CorruptionError
from pgsnap.model import (
    DumpEvent,
    SectionEnd,
    SectionName,
    SectionStart,
    VolatileKind,
    VolatileLine,
)
from pgsnap.patterns import regex

# pg_dump's own length and alphabet (src/bin/pg_dump/pg_dump.c, generate_restrict_key).
RESTRICT_KEY_CHARS = 63

_SHAPES = {
    VolatileKind.RESTRICT: regex(rb"\\restrict [A-Za-z0-9]+(\r?\n)"),
    VolatileKind.UNRESTRICT: regex(rb"\\unrestrict [A-Za-z0-9]+(\r?\n)"),
    VolatileKind.VERSION: regex(rb"-- Dumped (?:from database|by pg_dump) version [^\r\n]*(\r?\n)"),
}
# At the beginning of a line, which a lone carriage return ends too.
_VERSION_LINE = regex(rb"(?<![^\r\n])" + _SHAPES[VolatileKind.VERSION].pattern)


def volatile_kind(line: bytes) -> VolatileKind | None:
    """Return the kind of volatile line that *line* (with its line end) looks like, if any."""
    return next((kind for kind, shape in _SHAPES.items() if shape.fullmatch(line)), None)


def version_lines(lines: bytes) -> Iterator[re.Match[bytes]]:
    """Yield the volatile lines of the kind VERSION among comment lines."""
    return _VERSION_LINE.finditer(lines)


def fresh_restrict_key() -> str:
    """Return a random key, which the dump's author cannot know."""
    return os.urandom(RESTRICT_KEY_CHARS).hex()[:RESTRICT_KEY_CHARS]


def put_back(
    events: Iterable[DumpEvent], lines: Sequence[VolatileLine], key: str | None
) -> Iterator[DumpEvent]:
    """Yield *events* with *lines* put back into their sections at their offsets.

    ``\\restrict`` and ``\\unrestrict`` get *key*, and are left out without one. Raises
    CorruptionError if a line has no place, or is not a volatile line.
    """
    of_section: dict[SectionName, list[VolatileLine]] = {}
    for line in lines:
        of_section.setdefault(line.section, []).append(line)
    waiting: list[VolatileLine] = []
    position = 0
    for event in events:
        if isinstance(event, bytes):
            if waiting:
                yield from _with_lines(event, position, waiting, key)
            else:
                yield event
            position += len(event)
            continue
        if isinstance(event, SectionEnd):
            for line in waiting:
                if line.offset != position:
                    raise _misplaced(line)
                yield from _text(line, key)
        waiting, position = [], 0
        if isinstance(event, SectionStart):
            waiting = of_section.get(event.name, [])
        yield event


def _with_lines(
    block: bytes, position: int, waiting: list[VolatileLine], key: str | None
) -> Iterator[bytes]:
    """Yield *block*, which begins at *position*, with the *waiting* lines that belong into it, and
    remove these from *waiting*."""
    start = 0
    while waiting and waiting[0].offset < position + len(block):
        line = waiting.pop(0)
        place = line.offset - position
        if place < start:
            raise _misplaced(line)
        if place > start:
            yield block[start:place]
        start = place
        yield from _text(line, key)
    if start < len(block):
        yield block[start:]


def _text(line: VolatileLine, key: str | None) -> Iterator[bytes]:
    match = _SHAPES[line.kind].fullmatch(line.text)
    if match is None:
        raise CorruptionError(
            f"a {line.kind} line of section {line.section} is not one that pg_dump writes",
            detail=f"It is {line.text[:80]!r}.",
        )
    if line.kind is VolatileKind.VERSION:
        yield line.text
    elif key is not None:
        yield b"\\%b %b%b" % (line.kind.encode(), key.encode(), match[1])


def _misplaced(line: VolatileLine) -> CorruptionError:
    return CorruptionError(
        f"a {line.kind} line of section {line.section} has no place in it",
        detail=f"It is recorded at byte {line.offset}.",
    )
