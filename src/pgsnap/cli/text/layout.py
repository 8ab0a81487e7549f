"""Lines for people, fitted to the width of their terminal. What is to be copied (a statement, a
command) stands on a line of its own and is never broken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pgsnap.cli.text import render
from pgsnap.cli.text.program import program
from pgsnap.cli.text.short_name import NAMES
from pgsnap.patterns import regex
from pgsnap.values import dataclass

# A column of text that begins further right leaves too little room below it.
_HANG_MAX_SHARE = 0.5
_INDENT = 2
# Below this nothing can be laid out; and no terminal is narrower.
COLUMNS_MIN = 40

_TEXT = r"""(?:"[^"]*"|'[^']*'|[^;"'])"""
_STATEMENT = (
    r"\b(?:ALTER|CREATE|DROP|GRANT|REVOKE|SELECT|SECURITY\ LABEL|ROLLBACK\ PREPARED|REINDEX"
    rf"|REFRESH|VACUUM|ANALYZE|COMMENT\ ON|INSERT\ INTO|UPDATE|DELETE\ FROM)\ {_TEXT}*;"
)
_PROGRAMS = (
    *("sudo", "apt", "apt-get", "brew", "pip", "pipx", "uv", "docker", "podman", "docker-compose"),
    *("podman-compose", "pg_restore", "psql", "createdb", "chmod", "chown", "export", "echo"),
    *("systemctl", "crontab", "git", "python3", "mkdir", "mv", "rm", "sysctl"),
)
_PIP = r"(?:/\S+|'/[^']+')\ -m\ pip"
# Where a command ends that nothing else closes: at the end of the sentence, or of the text.
_END = r"(?=\.(?:\s|$)|;(?:\s|$)|,\ (?:or|and|then)\ |\.\ |\ \(|$)"
_GAP = regex(r"(?<=\S) {2,}(?=\S)")
_WORD = regex(r"\s*`[^`]*`\S*|\s*\S+")
_STYLE = regex("\x1b\\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a text: words that may be broken between them, or something *whole*."""

    text: str
    whole: bool


def fitted(lines: Iterable[str], columns: int | None, *, apart: bool = False) -> list[str]:
    """Return *lines* with none longer than *columns* (None: any length will do), but for what must
    not be broken. *apart*: what is to be copied gets a line of its own in lines that fit, too."""
    if columns is None:
        return list(lines)
    width = max(columns, COLUMNS_MIN)
    return [part for line in lines for part in _fitted(line, width, apart=apart)]


def _fitted(line: str, width: int, *, apart: bool) -> list[str]:
    if "\n" in line:
        return [part for one in line.split("\n") for part in _fitted(one, width, apart=apart)]
    fits = render.width(line) <= width
    if fits and not apart:
        return [line]
    pieces = _pieces(line)
    if fits and not any(piece.whole for piece in pieces):
        return [line]
    if len([p for p in pieces if p.text.strip()]) == 1 and pieces[0].whole:
        return [line]
    hang = " " * _hang(line, width)
    return list(_lines(pieces, width, hang))


def _hang(line: str, width: int) -> int:
    """Return where the further lines begin: below the last column that leaves room for them."""
    plain = _STYLE.sub("", line)
    most = round(width * _HANG_MAX_SHARE)
    stops = [render.width(plain[: gap.end()]) for gap in _GAP.finditer(plain)]
    indent = len(plain) - len(plain.lstrip())
    return max([stop for stop in stops if stop <= most], default=min(indent + _INDENT, most))


def _pieces(line: str) -> list[_Piece]:
    """Return the parts of a line; what is to be copied is whole."""
    found: list[_Piece] = []
    place = 0
    for match in _whole().finditer(line):
        if match.start() > place:
            found.append(_Piece(line[place : match.start()], whole=False))
        found.append(_Piece(match[0], whole=True))
        place = match.end()
    if place < len(line):
        found.append(_Piece(line[place:], whole=False))
    return found


def _whole() -> re.Pattern[str]:
    names = map(re.escape, sorted({*NAMES, program(), *_PROGRAMS}, key=len, reverse=True))
    own = "|".join((_PIP, *names))
    return re.compile(
        rf"(?x:{_STATEMENT})(?:\ (?x:{_STATEMENT}))*"
        rf"|(?<=:\ )(?:{own})\ \S.*?(?x:{_END})"
    )


def _lines(pieces: list[_Piece], width: int, hang: str) -> Iterator[str]:
    """Yield the lines of *pieces*, the second and further ones after *hang*."""
    line, is_new = "", True
    after_whole = False
    for piece in pieces:
        if piece.whole:
            if not is_new:
                yield line.rstrip()
                line = hang
            yield line + piece.text
            line, is_new, after_whole = hang, True, True
            continue
        # What ended the sentence of something copied would now begin a line.
        text = piece.text.lstrip(" .;,") if after_whole else piece.text
        for word in _WORD.findall(text):
            if not is_new and render.width(line + word) > width:
                yield line.rstrip()
                line, is_new = hang, True
            if is_new and (after_whole or line):
                word = word.lstrip()
                # A long name may have to begin further left.
                line = line[: max(width - render.width(word), _INDENT)]
            line += word
            is_new = False
        after_whole = False
    if not is_new:
        yield line.rstrip()
