"""HTTP requests that may fail: short timeouts, a few attempts, and never an exception."""

from __future__ import annotations

import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

from pgsnap import interrupts
from pgsnap.alerts.waiting import within

if TYPE_CHECKING:
    from urllib.request import OpenerDirector, Request

TIMEOUT_SECONDS = 5.0
LIMIT_SECONDS = 20.0
"""Over all attempts. An endpoint that sends a byte now and then meets no other limit."""
ATTEMPTS = 3
_PAUSE_SECONDS = 1.0
_REDIRECTS_MAX = 5
# 303 means that the answer is elsewhere, not the address.
_MOVED = (301, 302, 307, 308)


def post(
    url: str, body: bytes, content_type: str, *, what: str, attempts: int = ATTEMPTS
) -> str | None:
    """Send *body* to *url* by POST; return None, or a warning why it did not arrive.

    The URL is a secret: only its host appears in messages. *what* names it in the warning.
    """
    deadline = time.monotonic() + LIMIT_SECONDS
    too_slow = f"no answer within {LIMIT_SECONDS:g} seconds"
    reason = within(
        LIMIT_SECONDS, lambda: _post(url, body, content_type, attempts, deadline), too_slow
    )
    return f"{what} to {host_of(url)} failed: {reason}" if reason else None


def _post(url: str, body: bytes, content_type: str, attempts: int, deadline: float) -> str:
    """Return "" or why it did not arrive."""
    # Imported here: at the top they would slow down every start.
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    headers = {"Content-Type": content_type, "User-Agent": "snap"}
    opener = _opener()
    reason = ""
    for attempt in range(attempts):
        if attempt:
            interrupts.sleep(_PAUSE_SECONDS * attempt)
        if time.monotonic() > deadline:
            break
        try:
            request = urllib.request.Request(url, data=body, method="POST", headers=headers)
            return _send(opener, request)
        except urllib.error.HTTPError as error:
            reason = f"the answer was {error.code}"
            error.close()
            if error.code < 500 and error.code not in (408, 429):
                break
        except urllib.error.URLError as error:
            reason = getattr(error.reason, "strerror", None) or type(error.reason).__name__
        except (OSError, HTTPException, ValueError) as error:
            reason = type(error).__name__
    return reason


def _send(opener: OpenerDirector, request: Request) -> str:
    """Send a request, following redirects on the same host; return "" or why it did not
    arrive. Python's own redirects would turn it into an empty GET."""
    for _ in range(_REDIRECTS_MAX):
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            assert isinstance(answer, HTTPResponse)
            if answer.status not in _MOVED:
                return ""
            target = urljoin(request.full_url, answer.headers.get("Location") or "")
        if not _is_same_place(urlsplit(request.full_url), urlsplit(target)):
            # The user did not agree that the other host gets the message, or the secret in the URL.
            return "it redirects to another address: name that one"
        request.full_url = target
    return "it redirects without end"


def _opener() -> OpenerDirector:
    import urllib.request
    from email.message import Message
    from typing import IO

    class Moved(urllib.request.HTTPRedirectHandler):
        """Returns a redirect as the response, instead of following it."""

        def http_error_302(
            self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message
        ) -> IO[bytes]:
            return fp

        http_error_301 = http_error_307 = http_error_308 = http_error_302

        def redirect_request(self, *request: object) -> None:
            return None

    return urllib.request.build_opener(Moved())


def _is_same_place(before: SplitResult, after: SplitResult) -> bool:
    is_downgrade = before.scheme == "https" and after.scheme != "https"
    return (
        after.scheme in ("http", "https") and before.hostname == after.hostname and not is_downgrade
    )


def host_of(url: str) -> str:
    """Return the host of *url*, for messages."""
    try:
        return urlsplit(url).hostname or "its host"
    except ValueError:
        return "its host"
