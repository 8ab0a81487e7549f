"""Tokenising the statements of a short SQL script, and masking their password verifiers.

For the globals, which are held in memory; `lexer` is for longer scripts, by the same rules. A
string may contain anything, including what looks like the end of a string or of a statement: so
words are never searched for in the text of a script, only among its tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import NamedTuple

from pgsnap.patterns import regex

MASK = "'********'"
"""Shown instead of a password verifier."""


class Kind(Enum):
    """The kind of a token."""

    SPACE = auto()
    """White space, comments, and psql's own commands."""
    STRING = auto()
    """A string constant of any form."""
    NAME = auto()
    """A quoted identifier."""
    WORD = auto()
    """A key word, an identifier without quotes, or a number."""
    OTHER = auto()


class Token(NamedTuple):
    """A token, with its text in the script."""

    kind: Kind
    text: str


# A doubled quote ends one string and begins the next, with the same effect. An unterminated one
# extends to the end of the script. Repeats of groups are not possessive: see `lexer`.
_ESCAPED = r"'(?:[^'\\]++|\\.|'')*(?:'|\\?\Z)"
_PLAIN = r"'[^']*+(?:''[^']*+)*(?:'|\Z)"
_TOKEN = r"""
    (?P<SPACE> \s++ | --[^\r\n]*+ | /\* | (?<![^\n])\\[^\n]*+ )
  | (?P<STRING> {strings}
      | \$(?P<tag>(?:(?!\d){word}++)?)\$ .*? (?: \$(?P=tag)\$ | \Z ) )
  | (?P<NAME> (?:[uU]&)?"[^"]*+(?:""[^"]*+)*(?:"|\Z) )
  | (?P<WORD> {word}{further}*+ )
  | (?P<OTHER> . )
"""


def _compiled(strings: str) -> re.Pattern[str]:
    # Letters, digits, "_" and all that is not ASCII, then "$" too, said by what they are not: a set
    # of so many characters takes long to compile.
    word = r"[^\x00-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"
    further = r"[^\x00-\x23\x25-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"
    pattern = _TOKEN.format(strings=strings, word=word, further=further)
    return regex(pattern, re.X | re.S | re.A)


_STANDARD = _compiled(f"[eE]{_ESCAPED} | (?:[uU]&|[bBnNxX])?{_PLAIN}")
_BACKSLASH = _compiled(f"(?:[uU]&|[bBeEnNxX])?{_ESCAPED}")
_COMMENT_EDGE = regex(r"/\*|\*/")


def statements(text: str) -> Iterator[list[Token]]:
    """Yield the tokens of each statement, from what precedes it to its semicolon. Together they are
    the *text*."""
    pattern = _STANDARD
    tokens: list[Token] = []
    position = 0
    while found := pattern.match(text, position):
        kind = Kind[found.lastgroup or ""]
        position = found.end()
        if kind is Kind.SPACE and found.group() == "/*":
            position = _comment_end(text, position)
        tokens.append(Token(kind, text[found.start() : position]))
        if tokens[-1] == (Kind.OTHER, ";"):
            pattern = _pattern_after(tokens, pattern)
            yield tokens
            tokens = []
    if tokens:
        yield tokens


def significant(tokens: Iterable[Token]) -> list[Token]:
    """Return the tokens of a statement, without white space and semicolon."""
    return [token for token in tokens if token.kind is not Kind.SPACE and token.text != ";"]


def trimmed(tokens: list[Token]) -> str:
    """Return the text of a statement, without what precedes it and without its semicolon."""
    start = next((at for at, token in enumerate(tokens) if token.kind is not Kind.SPACE), None)
    text = "".join(token.text for token in tokens[start:]) if start is not None else ""
    return text.removesuffix(";").strip()


def without_verifiers(text: str) -> str:
    """Return the script *text* with every string after the word PASSWORD masked."""
    shown: list[str] = []
    for tokens in statements(text):
        is_password = False
        for kind, part in tokens:
            # Strings separated only by white space are one string.
            shown.append(MASK if is_password and kind is Kind.STRING else part)
            if kind not in (Kind.SPACE, Kind.STRING):
                is_password = kind is Kind.WORD and part.upper() == "PASSWORD"
    return "".join(shown)


def _comment_end(text: str, position: int) -> int:
    """Return the end of the block comment whose opening ends at *position*: comments nest."""
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, position)
        if edge is None:
            return len(text)
        depth += 1 if edge.group() == "/*" else -1
        position = edge.end()
    return position


def _pattern_after(tokens: list[Token], pattern: re.Pattern[str]) -> re.Pattern[str]:
    """Return the pattern to use after a statement, which may have changed the meaning of `\\`."""
    words = [token.text.lower().strip("'") for token in significant(tokens)]
    if words[:1] != ["set"] or "standard_conforming_strings" not in words[1:3]:
        return pattern
    return _BACKSLASH if words[-1] in ("off", "false", "no", "0") else _STANDARD
