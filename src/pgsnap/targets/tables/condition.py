"""A condition that the user writes: that it is one expression, and stays between parentheses."""

from __future__ import annotations

import re

from pgsnap.patterns import regex

# As the server's own lexer has them: all that is not ASCII may be in names.
_FIRST = r"A-Za-z_\x80-\U0010ffff"
_TOKEN = regex(
    rf"""
    (?P<escaped> [eE]'(?:[^'\\]|\\.|'')*' )
    | (?P<text> '(?:[^']|'')*' )
    | (?P<name> "(?:[^"]|"")+" )
    | (?P<dollar> \$(?P<tag>(?:[{_FIRST}][{_FIRST}0-9]*)?)\$.*?\$(?P=tag)\$ )
    | (?P<line> --[^\r\n]* )
    | (?P<block> /\* )
    | (?P<space> [\ \t\n\r\f\v]+ )
    | (?P<word> [{_FIRST}][{_FIRST}0-9$]* | [0-9]+ )
    | (?P<sign> . )
    """,
    re.X | re.S,
)
_EDGE = regex(r"/\*|\*/")
_UNCLOSED = {"'": "a string", '"': "a quoted name", "$": "a string in dollar quotes"}


def flaw_of(condition: str) -> str | None:
    """Return why *condition* is not one expression, as far as its tokens say; None if it may be.
    The server says the rest."""
    depth, place, before = 0, 0, ""
    while place < len(condition):
        match = _TOKEN.match(condition, place)
        assert match is not None, "the last branch takes any character"
        place, kind, text = match.end(), _kind(match), match[0]
        if kind == "block":
            end = _end_of_comment(condition, place)
            if end is None:
                return "a comment in it does not end"
            place = end
        if kind in ("block", "line", "space"):
            continue
        if before == "escaped" and text[0] == "'":
            # Its backslashes would be escapes, too.
            return "a string in it goes on after its end"
        before = kind
        if kind != "sign":
            continue
        if text in _UNCLOSED:
            return f"{_UNCLOSED[text]} in it does not end"
        if text in ";\0":
            return "it is more than one expression: there is a semicolon in it"
        depth += (text == "(") - (text == ")")
        if depth < 0:
            return "a parenthesis is closed in it that was not opened"
    if not before:
        return "it is empty"
    return "a parenthesis in it is not closed" if depth else None


def _kind(match: re.Match[str]) -> str:
    return "dollar" if match["dollar"] else match.lastgroup or ""


def _end_of_comment(condition: str, place: int) -> int | None:
    """Return where the comment ends that began before *place*; comments are nested."""
    depth = 1
    for edge in _EDGE.finditer(condition, place):
        depth += 1 if edge[0] == "/*" else -1
        if not depth:
            return edge.end()
    return None
