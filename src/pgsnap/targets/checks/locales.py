"""Whether a server's machine has a locale of the operating system, whatever encoding it is for."""

from __future__ import annotations

from pgsnap.errors import QueryFailed
from pgsnap.sessions.base import Session, literal

_NOT_THERE = "22023"


def has_locale(session: Session, name: str) -> bool:
    """Tell whether the machine of *session*'s server has the locale *name*.

    By a setting that everybody may make: the server looks for the locale, and not whether it goes
    with the encoding of the database that we happen to be in, as CREATE COLLATION does.
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
