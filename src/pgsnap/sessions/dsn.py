"""Parses a libpq URI or keyword string, and refuses one that exposes a password as a name.

A `/`, `?` or `@` that is not percent-encoded ends the password of a URI, and the rest becomes the
host, the port or the database, which messages show. No message repeats any part of a DSN.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pgsnap.errors import UsageError
from pgsnap.patterns import regex

_HINT = (
    "Write it as postgresql://user@host:5432/database (percent-encode special characters) or as"
    " 'host=... port=... user=... dbname=...'; leave out parameters that libpq does not know."
)
_ENCODE_HINT = (
    "Percent-encode what is special in the password (%2F for a slash, %40 for @, %3F for a question"
    " mark), or leave the password out and put it into PGPASSWORD or ~/.pgpass."
)
_URI = regex(r"postgres(?:ql)?://")
_DSN = "the DSN"
_SHOWN = ("user", "host", "hostaddr", "port", "dbname")
# A URI, or keywords with a password.
_WHOLE_DSN = regex(r"://|\bpassword\s*=", re.I)
_PORT_MAX = 65535
# Names, including those in other scripts, and addresses.
_HOST = regex(r"[\w.:%-]*")
# These parameters of a URI may contain an unencoded @.
_SECRET_PARAMETER = regex(r"[^&=]*password=[^&]*", re.IGNORECASE)


def parse_dsn(dsn: str) -> dict[str, str]:
    """Return the keywords of *dsn*. Raises UsageError."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    if not dsn.strip():
        raise UsageError("the DSN is empty", hint=_HINT)
    try:
        words = conninfo_to_dict(dsn)
    except ProgrammingError as error:
        # "from None": libpq's message repeats parts of the DSN, and so possibly of the password.
        raise UsageError(
            "the DSN cannot be read", detail=_why_unreadable(dsn, str(error)), hint=_HINT
        ) from None
    except UnicodeDecodeError:
        raise UsageError(
            "the DSN cannot be read", detail="It holds bytes that are no UTF-8.", hint=_HINT
        ) from None
    found = {key: str(value) for key, value in words.items() if value is not None}
    if _URI.match(dsn):
        _refuse_torn(dsn, found.get("host", ""))
    refuse_misplaced(found, _DSN)
    return found


def refuse_misplaced(words: Mapping[str, str], where: str) -> None:
    """Raise UsageError if a keyword that messages show has an impossible value: a port that is not
    a number, a whole URI as a name. *where* says where *words* come from."""
    ports = words.get("port", "").split(",")
    if not all(_is_port(port.strip()) for port in ports):
        in_dsn = where == _DSN
        raise UsageError(
            f"the port in {where} is no number from 1 to {_PORT_MAX}",
            detail="It may be a part of the password, which a slash ends." if in_dsn else "",
            hint=_ENCODE_HINT if in_dsn else "Correct PGPORT, or port in the service file.",
        )
    for key in _SHOWN:
        if _WHOLE_DSN.search(words.get(key, "")):
            raise UsageError(
                f'"{key}" in {where} holds a whole DSN',
                detail="libpq would take it for a name.",
                hint="Give the DSN alone: as --dsn, or in DATABASE_URL.",
            )
    for key in ("host", "hostaddr"):
        if not all(map(_is_host, words.get(key, "").split(","))):
            raise UsageError(
                f'"{key}" in {where} holds characters that no host has',
                detail="They may be a part of a password.",
                hint="Write user, password and host apart: 'user=... password=... host=...'.",
            )


def _is_host(text: str) -> bool:
    """Return whether *text* can be a host: a name, an address, or a socket's folder or name."""
    text = text.strip()
    return (
        text.startswith("/")
        or (text[:1] == "@" and "@" not in text[1:])
        or bool(_HOST.fullmatch(text))
    )


def _is_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= _PORT_MAX)


def _refuse_torn(dsn: str, hosts: str) -> None:
    """Raise UsageError for a URI with an @ that does not follow user and password, or with invalid
    *hosts*."""
    place, _, parameters = dsn.partition("://")[2].partition("?")
    userinfo, at, rest = place.partition("@")
    # There is no slash before the @ that ends user and password.
    is_torn = "@" in rest or (at and "/" in userinfo)
    if is_torn or "@" in _SECRET_PARAMETER.sub("", parameters):
        raise UsageError(
            "the DSN holds an @ where none can stand",
            detail="It does not end user and password there, so a part of the password would be"
            " taken for the host, the database or a parameter.",
            hint=_ENCODE_HINT,
        )

    if not all(host.startswith("/") or _HOST.fullmatch(host) for host in hosts.split(",")):
        raise UsageError(
            "the host in the DSN holds characters that no host has",
            detail="It may be a part of a password.",
            hint=_ENCODE_HINT,
        )


def _why_unreadable(dsn: str, message: str) -> str:
    """Return what is wrong, without repeating anything of the DSN beyond its scheme."""
    scheme = re.match(r"([a-z0-9]+\+?[a-z0-9]*)://", dsn)
    if scheme and scheme[1] not in ("postgresql", "postgres"):
        return f"Its scheme is {scheme[1]}://, which libpq does not know."
    known = {
        'missing "="': 'A "=" is missing after a keyword.',
        "invalid connection option": "It holds a keyword that libpq does not know.",
        "invalid URI query parameter": "It holds a parameter that libpq does not know.",
        "invalid percent-encoded": "A percent-encoded character is not valid.",
        "forbidden value": "It holds a zero byte.",
        "unterminated quoted": "A quoted value has no end.",
    }
    return next((text for start, text in known.items() if message.startswith(start)), "")
