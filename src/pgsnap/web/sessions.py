"""Who may read the page: a token that is good once, and the value of the session that it buys.

Neither is ever in a cookie, in an address that is sent, or in an argument of a program.
"""

from __future__ import annotations

import hmac
import secrets
import threading

_BYTES = 32
# The request headers with the token, and with the session's value afterwards.
TOKEN_HEADER = "x-snap-token"
SESSION_HEADER = "x-snap-session"


class Sessions:
    """The one token of this run, and the sessions that it was exchanged for: one at most."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(_BYTES)
        self._session = secrets.token_urlsafe(_BYTES)
        self._is_spent = False
        self._lock = threading.Lock()

    def exchange(self, token: str) -> str | None:
        """Return the session's value for the token; None if it is not the token, or was used
        already."""
        with self._lock:
            if not _same(token, self.token) or self._is_spent:
                return None
            self._is_spent = True
            return self._session

    def is_known(self, value: str) -> bool:
        """Return whether *value* is that of the session."""
        return _same(value, self._session) and self._is_spent


def _same(given: str, wanted: str) -> bool:
    """Compare in a time that does not depend on where the two differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())
