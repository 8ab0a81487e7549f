"""Takes passwords out of whatever is about to be shown or logged."""

from __future__ import annotations

import re

MASK = "***"

_PATTERNS: tuple[re.Pattern[str], ...] = (
    # postgresql://user:secret@host: up to the last @, since a secret may hold one by mistake.
    re.compile(r"(?P<keep>\bpostgres(?:ql)?://[^\s:@/?#]*:)(?P<secret>[^\s]*)(?=@)"),
    # ...?password=secret&..., also of sslpassword, passfile stays.
    re.compile(r"(?P<keep>[?&](?:ssl)?password=)(?P<secret>[^\s&'\"]+)", re.IGNORECASE),
    # password = 'se cr\'et' and PGPASSWORD=secret.
    re.compile(
        r"(?P<keep>(?<![?&])\b(?:pg|ssl)?password\s*=\s*)"
        r"(?P<secret>'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)+)",
        re.IGNORECASE,
    ),
    # CREATE ROLE ... PASSWORD 'SCRAM-SHA-256$...', as pg_dumpall writes it.
    re.compile(r"(?P<keep>\bPASSWORD\s+)(?P<secret>'(?:[^']|'')*')", re.IGNORECASE),
)


def redact(text: str) -> str:
    """Return *text* with everything that looks like a password replaced by ``***``."""
    for pattern in _PATTERNS:
        text = pattern.sub(lambda match: match.group("keep") + MASK, text)
    return text
