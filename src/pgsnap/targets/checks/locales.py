"""Checks whether the server's machine has an operating system locale, for whatever encoding."""

from __future__ import annotations

from pgsnap.errors import QueryFailed
from pgsnap.sessions.base import Session, literal

_NOT_THERE = "22023"


def has_locale(session: Session, name: str) -> bool:
    """Return whether the machine of *session*'s server has the locale *name*.

    Uses a setting that everybody may change: the server looks up the locale without checking that
    it matches the encoding of the connected database, as CREATE COLLATION does.
    """
    if name in ("C", "POSIX"):
        return True
    try:
        session.query(f"SELECT pg_catalog.set_config('lc_monetary', {literal(name)}, true)")
    except QueryFailed as error:
        if error.sqlstate != _NOT_THERE:
            raise
        return False
    return True
