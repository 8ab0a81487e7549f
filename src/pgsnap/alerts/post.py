"""HTTP requests that may fail: short timeouts, a few attempts, and never an exception."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5.0
ATTEMPTS = 3
_PAUSE_SECONDS = 1.0


def post(
    url: str, body: bytes, content_type: str, *, what: str, attempts: int = ATTEMPTS
) -> str | None:
    """Send *body* to *url* by POST; return None, or a warning why it did not arrive.

    The URL itself is a secret: of it only the host appears. *what* names it in the warning.
    """
    # Only here: every start would pay for these.
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    request = urllib.request.Request(
        url, data=body, method="POST", headers={"Content-Type": content_type, "User-Agent": "snap"}
    )
    reason = ""
    for attempt in range(attempts):
        if attempt:
            time.sleep(_PAUSE_SECONDS * attempt)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
                return None
        except urllib.error.HTTPError as error:
            reason = f"the answer was {error.code}"
            error.close()
            if error.code < 500 and error.code not in (408, 429):
                break
        except urllib.error.URLError as error:
            reason = getattr(error.reason, "strerror", None) or type(error.reason).__name__
        except (OSError, HTTPException, ValueError) as error:
            reason = type(error).__name__
    return f"{what} to {host_of(url)} failed: {reason}"


def host_of(url: str) -> str:
    """Return the host of *url*, for people."""
    try:
        return urlsplit(url).hostname or "its host"
    except ValueError:
        return "its host"
