"""Checking that the statements in definitions of tables and types are ones that pg_dump writes.

Definitions are tried out before the user has confirmed anything, in a transaction that is rolled
back. So none of them may end it, or run a query.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from pgsnap.dump.definitions.statements import Kind, Token, statements
from pgsnap.patterns import regex

_ALLOWED = regex(
    r"(?:CREATE (?:UNLOGGED |FOREIGN )?TABLE|CREATE (?:UNLOGGED )?SEQUENCE|CREATE (?:UNIQUE )?INDEX"
    r"|CREATE (?:CONSTRAINT )?TRIGGER|CREATE (?:RULE|POLICY|STATISTICS)"
    r"|ALTER (?:FOREIGN )?TABLE|ALTER (?:SEQUENCE|INDEX|STATISTICS|TRIGGER)"
    r"|COMMENT ON|SECURITY LABEL|GRANT|REVOKE|RESET SESSION AUTHORIZATION"
    r"|SET (?:SESSION AUTHORIZATION|default_tablespace|default_table_access_method)) "
)
_OF_TYPES = regex(r"CREATE (?:TYPE|DOMAIN) ")


class _Statement(NamedTuple):
    """A statement: its text, its words outside of parentheses in upper case, and whether it is
    complete and without anything that pg_dump never writes in a table's definition."""

    text: str
    words: tuple[str, ...]
    is_plain: bool


def foreign_statement(texts: Iterable[str]) -> str:
    """Return the beginning of the first statement in *texts* that pg_dump does not write for a
    table; "" if there is none."""
    return _foreign(texts, _ALLOWED)


def foreign_in_types(texts: Iterable[str]) -> str:
    """Return as `foreign_statement` of the definitions of types and domains, without owners."""
    return _foreign(texts, _OF_TYPES)


def _foreign(texts: Iterable[str], allowed: re.Pattern[str]) -> str:
    for text in texts:
        for statement in _statements(text):
            words = " ".join(statement.text.removesuffix(";").split())
            is_known = statement.is_plain and allowed.match(f"{words} ")
            if not is_known or _runs_query(statement.words):
                return words[:60]
    return ""


def _runs_query(words: tuple[str, ...]) -> bool:
    """Return whether this is CREATE TABLE … AS."""
    return words[:1] == ("CREATE",) and "TABLE" in words[:3] and "AS" in words


def _statements(text: str) -> Iterator[_Statement]:
    """Yield each statement; a semicolon in parentheses, as in a rule's actions, does not end
    one."""
    depth = 0
    parts: list[str] = []
    words: list[str] = []
    is_plain = True
    for token in chain.from_iterable(statements(text)):
        parts.append(token.text)
        is_plain = is_plain and not _is_odd(token)
        if token.kind is Kind.WORD and depth == 0:
            words.append(token.text.upper())
        elif token.kind is Kind.OTHER and token.text in "([":
            depth += 1
        elif token.kind is Kind.OTHER and token.text in ")]":
            depth -= 1
        elif token == (Kind.OTHER, ";") and depth <= 0:
            yield _Statement("".join(parts).strip(), tuple(words), is_plain)
            depth, parts, words, is_plain = 0, [], [], True
    if rest := "".join(parts).strip():
        yield _Statement(rest, tuple(words), is_plain=False)


def _is_odd(token: Token) -> bool:
    """Return whether a token could be ambiguous: comments, psql commands, unpaired quotes."""
    if token.kind is Kind.SPACE:
        return not token.text.isspace()
    return token.kind is Kind.OTHER and token.text in "\\$'\""
