"""Text above a dump in a file: pg_dump's messages, if both outputs went into one file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pgsnap.dump.entries import DUMP_BEGIN
from pgsnap.errors import UnusableInput
from pgsnap.limits import KIB
from pgsnap.patterns import regex

_SEARCHED_BYTES = 64 * KIB
# The same line, preceded by the rest of another one.
_GLUED = regex(rb"^(?!--).*--\r?\n-- PostgreSQL database dump\r?\n", re.M)
_GLUED_HINT = "Delete what stands before the dump in that line; the line itself is the two hyphens."
_BEGIN = regex(rb"^" + DUMP_BEGIN.pattern.removeprefix(rb"\s*"), re.M)
# Lines that are certainly no part of a dump, nor needed by it.
_MESSAGE = regex(rb"\s*(?:(?:\S*/)?pg_dump(?:\.exe)?: .*|Password(?: for user .*)?: ?|--.*)?\Z")
# Those of `pg_dump --verbose` continue to the dump's end, in the middle of its lines.
_GOES_ON = regex(rb"^\s*(?:\S*/)?pg_dump(?:\.exe)?: (?!warning|detail|hint)", re.M)
_FURTHER_DOWN = regex(rb"^(?:\S*/)?pg_dump(?:\.exe)?: ", re.M)
# From here on such a line may be a row, or part of a function.
_OTHER_TEXT = regex(rb"^COPY |\$", re.M)


def without_messages(blocks: Iterator[bytes], name: str, notices: list[str]) -> Iterator[bytes]:
    """Return *blocks* without the messages above a dump; each removal is added to *notices*.

    SQL above a dump stays. Raises UnusableInput for other text there: it would become part of the
    first statement.
    """
    head = b""
    for block in blocks:
        head += block
        if len(head) >= _SEARCHED_BYTES or DUMP_BEGIN.match(head):
            break
    return _chain(_begin(head, name, notices), blocks)


def _begin(head: bytes, name: str, notices: list[str]) -> bytes:
    found = _BEGIN.search(head, 0, _SEARCHED_BYTES)
    if found is None:
        if glued := _GLUED.search(head, 0, _SEARCHED_BYTES):
            raise _above(name, glued[0].splitlines()[0], _GLUED_HINT)
        return head
    above = head[: found.start()]
    lines = above.splitlines()
    other = _OTHER_TEXT.search(head, found.end())
    end = other.start() if other else len(head)
    if _GOES_ON.search(above) or _FURTHER_DOWN.search(head, found.end(), end):
        raise UnusableInput(
            f"messages of pg_dump are mixed into the dump in {name}",
            detail="They stand in the middle of its text, perhaps of its lines, where both outputs"
            " went into one file.",
            hint="Dump again with the messages elsewhere: 2>FILE instead of 2>&1.",
        )
    if DUMP_BEGIN.match(head):
        return head
    strange = next((line for line in lines if not _MESSAGE.match(line)), None)
    if strange is None:
        count = len([line for line in lines if line.strip()])
        above_it = "1 line" if count == 1 else f"{count} lines"
        notices.append(f"{name}: left out {above_it} above the dump, no part of it")
        return head[found.start() :]
    last = next(line.strip() for line in reversed(lines) if not _MESSAGE.match(line))
    if last.endswith(b";") or last.startswith(b"\\"):
        return head
    way = f"Leave it out: tail -n +{len(lines) + 1} FILE | snap commit -m TEXT --file -"
    raise _above(name, strange, way)


def _above(name: str, line: bytes, way: str) -> UnusableInput:
    return UnusableInput(
        f"text that is no SQL stands above the dump in {name}",
        detail=f"Its first line is {line.decode('utf-8', 'backslashreplace')[:80]!r}.",
        hint=way,
    )


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest
