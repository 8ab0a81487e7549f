"""Amazon S3 and what is compatible with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pgsnap.errors import StoreError
from pgsnap.stores.address import Address
from pgsnap.stores.objects.aws import Aws, aws
from pgsnap.stores.pacing import Times

if TYPE_CHECKING:
    from obstore import ObjectMeta, UpdateVersion
    from obstore.store import ClientConfig, RetryConfig

NO_RETRIES: RetryConfig = {
    "max_retries": 0,
    "retry_timeout": timedelta(seconds=1),
    "backoff": {},
}


def client_options(endpoint: str, times: Times, headers: dict[str, str]) -> ClientConfig:
    """Return obstore's options for a client of its own time-outs."""
    options: ClientConfig = {
        "timeout": timedelta(seconds=times.total_seconds),
        "connect_timeout": timedelta(seconds=times.connect_seconds),
        "allow_http": endpoint.startswith("http://"),
        "default_headers": headers,
    }
    if times.stall_seconds is not None:
        options["read_timeout"] = timedelta(seconds=times.stall_seconds)
    return options


class S3:
    """See `objects.Backend`."""

    hint = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."

    def __init__(self, address: Address, environ: Mapping[str, str]) -> None:
        self._address = address
        self._environ = environ
        self._found: Aws | None = None

    @property
    def place(self) -> str:
        endpoint = self._settings().where.endpoint
        return f'bucket "{self._address.host}"' + (f" at {endpoint}" if endpoint else " of AWS")

    @property
    def source(self) -> str:
        return self._settings().source

    @property
    def secrets(self) -> frozenset[str]:
        return self._settings().secrets

    def refresh(self) -> None:
        self._found = None

    def open(self, times: Times, headers: dict[str, str]) -> Any:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store

        found = self._settings()
        more: dict[str, Any] = {}
        if found.where.endpoint:
            more["endpoint"] = found.where.endpoint
        if found.provider is not None:
            more["credential_provider"] = found.provider
        try:
            return S3Store(
                self._address.host,
                prefix=self._address.path or None,
                region=found.where.region,
                # One request for one object, whose failure is its own.
                disable_bulk_delete=True,
                client_options=client_options(found.where.endpoint, times, headers),
                retry_config=NO_RETRIES,
                **more,
            )
        except (BaseError, ValueError) as error:
            raise StoreError(
                f"cannot use {self.place}", detail=str(error).partition("\n")[0]
            ) from None

    def version(self, meta: ObjectMeta) -> UpdateVersion:
        return {"e_tag": meta["e_tag"]}

    def condition(self, meta: ObjectMeta) -> dict[str, str]:
        return {"If-Match": meta["e_tag"] or ""}

    def _settings(self) -> Aws:
        if self._found is None:
            self._found = aws(self._environ, self._address.parameters)
        return self._found
