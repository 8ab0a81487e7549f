"""What the clients of all providers have in common: time-outs, no retries, and their errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pgsnap.errors import StoreError
from pgsnap.stores.pacing import Times

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

NO_RETRIES: RetryConfig = {
    "max_retries": 0,
    "retry_timeout": timedelta(seconds=1),
    "backoff": {},
}


def client_options(
    endpoint: str, times: Times, headers: dict[str, str] | None = None
) -> ClientConfig:
    """Return obstore's options for a client of its own time-outs."""
    options: ClientConfig = {
        "timeout": timedelta(seconds=times.total_seconds),
        "connect_timeout": timedelta(seconds=times.connect_seconds),
        "allow_http": endpoint.startswith("http://"),
        "default_headers": headers or {},
    }
    if times.stall_seconds is not None:
        options["read_timeout"] = timedelta(seconds=times.stall_seconds)
    return options


def made(place: str, make: Callable[[], Any]) -> Any:
    """Return the store of obstore that *make* makes. Raises StoreError for settings that it does
    not take."""
    from obstore.exceptions import BaseError

    try:
        return make()
    except (BaseError, ValueError) as error:
        raise StoreError(
            f"cannot use {place}", detail=f"{str(error).partition(chr(10))[0].rstrip('.')}."
        ) from None


def delete_url(url: str, headers: dict[str, str], times: Times) -> None:
    """Make a DELETE request to a signed URL. Raises what obstore raises."""
    # Slow to import, and rarely needed.
    import urllib.error
    import urllib.request

    from obstore.exceptions import GenericError

    request = urllib.request.Request(url, method="DELETE", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=times.stall_seconds):
            pass
    except urllib.error.HTTPError as error:
        body = error.read(10_000).decode("utf-8", "replace")
        raise GenericError(f"status code: {error.code} {error.reason}: {body}") from None
    except OSError as error:
        # The URL is signed: it is in no message.
        raise GenericError(f"HTTP error: {type(error).__name__}") from None
