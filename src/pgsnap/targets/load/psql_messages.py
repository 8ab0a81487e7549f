"""Parses psql's messages on standard error when a restore fails.

psql runs with VERBOSITY=verbose, so every message of the server has its SQLSTATE: that
distinguishes errors from notices in every server language.
"""

from __future__ import annotations

import re

from pgsnap.errors import RestoreFailed
from pgsnap.patterns import regex
from pgsnap.values import dataclass

_SERVER = regex(r"^psql:<stdin>:(\d+): [^:]+:  ([0-9A-Z]{5}): (.*)$")
_CLIENT = regex(r"^psql:<stdin>:(\d+): (?:error|fatal): (.*)$")
_START = regex(r"^psql: (?:error|fatal): (.*)$")
_EXTRA = regex(r"^([A-Z]+[A-Z ]*?)(?: \d+)?:\s+(.*)$")

_SUCCESSES = frozenset({"00", "01", "02"})
_IN_FAILED_TRANSACTION = "25P02"
_LOST = "connection to server was lost"
_PARTS = frozenset({"DETAIL", "HINT", "QUERY", "CONTEXT", "LINE", "LOCATION"})


@dataclass(frozen=True, slots=True)
class PsqlFailure:
    """The error that psql reported. *line* counts from 1 in the input, 0 if it is unknown;
    *context* is the server's CONTEXT, such as a function."""

    message: str
    detail: str = ""
    hint: str = ""
    sqlstate: str = ""
    line: int = 0
    context: str = ""


@dataclass(frozen=True, slots=True)
class Help:
    """Why something failed, and what helps; both may be empty."""

    detail: str = ""
    hint: str = ""


def failure_in(stderr: str) -> PsqlFailure | None:
    """Return the error at which psql stopped, or None if there is none.

    A notice may have an error's SQLSTATE ("exists, skipping"), and no keyword distinguishes the two
    in every language. But psql stops at an error, so it is the last of them.
    """
    lines = stderr.splitlines()
    found: PsqlFailure | None = None
    for number, line in enumerate(lines):
        server = _SERVER.match(line)
        client = _CLIENT.match(line)
        start = _START.match(line)
        if server is not None:
            if server.group(2)[:2] not in _SUCCESSES and server.group(2) != _IN_FAILED_TRANSACTION:
                found = _server_failure(server, lines[number + 1 :])
        elif client is not None:
            # If the server ended the connection, it gave the reason.
            if found is None or client.group(2) != _LOST:
                found = PsqlFailure(message=client.group(2), line=int(client.group(1)))
        elif start is not None:
            return PsqlFailure(message=start.group(1), detail=" ".join(lines[number + 1 :]))
    return found


def _server_failure(line: re.Match[str], following: list[str]) -> PsqlFailure:
    extra = _extra(following)
    details = [extra.get(key, "") for key in ("DETAIL", "CONTEXT", "LINE")]
    return PsqlFailure(
        message=line.group(3),
        detail=" ".join(_sentence(detail) for detail in details if detail),
        hint=extra.get("HINT", ""),
        sqlstate=line.group(2),
        line=int(line.group(1)),
        context=extra.get("CONTEXT", ""),
    )


def restore_failed(
    failure: PsqlFailure | None,
    stderr: str,
    status: int | None,
    where: str,
    known: Help,
    *,
    fallback: str,
) -> RestoreFailed:
    """Return the error that says why psql failed, and at which place (*where*) of the dump.

    *failure* is the result of `failure_in` for *stderr*; *status* is psql's exit status, None if it
    had to be killed; *known* is the help; *fallback* is the message if psql gave no reason.
    """
    if failure is None:
        last = stderr.strip().splitlines()[-1:] or ["It said nothing."]
        ending = "" if status is None else f"psql ended with status {status}. "
        return RestoreFailed(fallback, detail=f"{ending}{_sentence(last[0])} Near {where}.")
    place = f"At {where}." if failure.line else ""
    return RestoreFailed(
        f"the restore stopped: {failure.message}",
        detail=" ".join(filter(None, (place, failure.detail, known.detail))),
        hint=" ".join(filter(None, (failure.hint, known.hint))),
    )


def _extra(lines: list[str]) -> dict[str, str]:
    """Return the fields that follow a message: DETAIL, HINT, CONTEXT, LINE n."""
    found: dict[str, str] = {}
    key = ""
    for line in lines:
        if line.startswith("psql:<stdin>:"):
            break
        part = _EXTRA.match(line)
        if part is not None and part.group(1) in _PARTS:
            key = part.group(1)
            found.setdefault(key, part.group(2))
        elif key in ("DETAIL", "HINT", "CONTEXT") and line.strip():
            found[key] += " " + line.strip()
    return found


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else text + "."
