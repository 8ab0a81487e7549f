"""The names that a restore gives to databases, sessions and roles, and how to recognize them."""

from __future__ import annotations

import os
import re

from pgsnap.limits import IDENTIFIER_BYTES_MAX, SCRATCH_PREFIX_BYTES

TOKEN_HEX = 10
SCRATCH_PATTERN = f"__snap_([0-9a-f]{{{TOKEN_HEX}}})$"
"""A regular expression with the same meaning in Python and PostgreSQL. It never matches a kept
or warm name."""
KEPT_PATTERN = f"__snap_kept_([0-9a-f]{{{TOKEN_HEX}}})$"
WARM_PATTERN = f"__snap_warm_([0-9a-f]{{{TOKEN_HEX}}})$"
LOADER_PATTERN = f"^snap_load_([0-9a-f]{{{TOKEN_HEX}}})$"
SESSION_PATTERN = f"^snap restore ([0-9a-f]{{{TOKEN_HEX}}})"


def new_token() -> str:
    """Return the random part shared by the names of one restore."""
    return os.urandom(TOKEN_HEX // 2).hex()


def scratch_name(live: str, token: str) -> str:
    """Return the name of the database that a restore fills."""
    return _fitted(_prefix(live) + f"__snap_{token}")


def kept_name(live: str, token: str) -> str:
    """Return the name under which a replaced database is kept."""
    return _fitted(_prefix(live) + f"__snap_kept_{token}")


def warm_name(live: str, token: str) -> str:
    """Return the name of a copy that waits to become the database *live*."""
    return _fitted(_prefix(live) + f"__snap_warm_{token}")


def application_name(token: str) -> str:
    """Return the application_name of all sessions of one restore: it shows that the restore is
    alive."""
    return f"snap restore {token}"


def loader_role(token: str) -> str:
    """Return the name of the temporary role that runs SQL which pg_dump did not write."""
    return f"snap_load_{token}"


def token_of(name: str, pattern: str) -> str | None:
    """Return the token in *name*, or None if *pattern* does not match."""
    found = re.search(pattern, name)
    return found.group(1) if found else None


def is_kept_name(name: str, live: str) -> bool:
    """Return whether *name* is one that `kept_name` gives to the database *live*."""
    token = token_of(name, KEPT_PATTERN)
    try:
        return token is not None and name == kept_name(live, token)
    except UnicodeEncodeError:
        # Half a character, which no database's name has.
        return False


def is_made_of(name: str, live: str) -> bool:
    """Return whether *name* is that of a scratch or kept database of *live*."""
    return name.startswith(f"{_prefix(live)}__snap_")


def _prefix(name: str) -> str:
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) <= SCRATCH_PREFIX_BYTES:
        return name
    # A character must not be split: half a character is not valid in a name.
    whole = SCRATCH_PREFIX_BYTES
    while encoded[whole] & 0xC0 == 0x80:
        whole -= 1
    return encoded[:whole].decode("utf-8", "surrogateescape")


def _fitted(name: str) -> str:
    if len(name.encode("utf-8", "surrogateescape")) > IDENTIFIER_BYTES_MAX:
        raise ValueError("a name of ours is longer than an identifier may be")
    return name
