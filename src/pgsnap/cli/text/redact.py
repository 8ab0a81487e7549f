"""Removes passwords from text that is about to be shown or logged."""

from __future__ import annotations

import re

from pgsnap.patterns import regex

MASK = "***"

_URI = r"\b[A-Za-z][A-Za-z0-9+.-]*://"

_PATTERNS: tuple[re.Pattern[str], ...] = (
    # postgresql://user:secret@host, and frameworks' schemes: up to the last @, since a secret may
    # contain one by mistake.
    regex(rf"(?P<keep>{_URI}[^\s:@/?#]*:)(?P<secret>[^\s]*)(?=@)"),
    # The same without an @: the text after the colon, unless it is a port.
    regex(
        rf"(?P<keep>{_URI}[^\s:@/?#\[\]]*:)(?P<secret>(?!\d{{1,5}}(?:\W|$)|[/?#'\"]|$)[^\s'\"@]+)"
    ),
    # https://token@host, and what follows the ? of an address: signatures, keys.
    regex(r"(?P<keep>\b(?:https?|s3|gs|az|sftp)://)(?P<secret>[^\s/@:?#'\"]+)(?=@)"),
    regex(r"(?P<keep>\bhttps?://[^\s?#'\"]*\?)(?P<secret>[^\s'\"]+)"),
    # ...?password=secret&..., also sslpassword; passfile stays.
    regex(r"(?P<keep>[?&](?:ssl)?password=)(?P<secret>[^\s&'\"]+)", re.IGNORECASE),
    # password = 'se cr\'et' and PGPASSWORD=secret.
    regex(
        r"(?P<keep>(?<![?&])\b(?:pg|ssl)?password\s*=\s*)"
        r"(?P<secret>'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)+)",
        re.IGNORECASE,
    ),
    # CREATE ROLE ... PASSWORD 'secret', even if the end was cut off.
    regex(r"(?P<keep>\bPASSWORD\s+)(?P<secret>[eE]?'(?:[^']|'')*(?:'|$))", re.IGNORECASE),
    # PostgreSQL's verifiers, anywhere: quotes around them may be shifted or cut off.
    regex(r"(?P<keep>\bSCRAM-SHA-256\$)(?P<secret>[^\s'\"]+)"),
    regex(r"(?P<keep>\bmd5)(?P<secret>[0-9a-f]{32}\b)"),
)


def redact(text: str) -> str:
    """Return *text* with everything that looks like a password replaced by ``***``."""
    for pattern in _PATTERNS:
        text = pattern.sub(lambda match: match.group("keep") + MASK, text)
    return text


def without_uri(text: str) -> str:
    """Return *text*, which may repeat an argument, up to the first URI in it. In a misplaced
    argument a password cannot be distinguished from a name."""
    head, found, _ = text.partition("://")
    return f"{head.rpartition(' ')[0]} {MASK}".strip() if found else text
