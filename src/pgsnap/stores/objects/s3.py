"""Amazon S3 and what is compatible with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pgsnap.stores.address import Address
from pgsnap.stores.objects.aws import Aws, aws
from pgsnap.stores.objects.clients import NO_RETRIES, client_options, made
from pgsnap.stores.pacing import Times

if TYPE_CHECKING:
    from obstore import ObjectMeta, UpdateVersion


class S3:
    """See `requests.Backend`."""

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

    def open(self, times: Times) -> Any:
        return self._open(times, {})

    def _open(self, times: Times, headers: dict[str, str]) -> Any:
        from obstore.store import S3Store

        found = self._settings()
        more: dict[str, Any] = {}
        if found.where.endpoint:
            more["endpoint"] = found.where.endpoint
        if found.provider is not None:
            more["credential_provider"] = found.provider
        # AWS takes nothing without it where objects are locked; some others do not know it.
        if not found.where.endpoint or "checksum" in self._address.parameters:
            more["checksum_algorithm"] = "SHA256"
        return made(
            self.place,
            lambda: S3Store(
                self._address.host,
                prefix=self._address.path or None,
                region=found.where.region,
                # Whatever AWS_CONDITIONAL_PUT says.
                conditional_put="etag",
                # One request for one object, whose failure is its own.
                disable_bulk_delete=True,
                client_options=client_options(found.where.endpoint, times, headers),
                retry_config=NO_RETRIES,
                **more,
            ),
        )

    def version(self, meta: ObjectMeta) -> UpdateVersion:
        return {"e_tag": meta["e_tag"]}

    def delete(self, name: str, meta: ObjectMeta, times: Times) -> None:
        # obstore has no conditional delete; these headers go with every request of a client.
        self._open(times, {"If-Match": meta["e_tag"] or ""}).delete(name)

    def _settings(self) -> Aws:
        if self._found is None:
            self._found = aws(self._environ, self._address.parameters)
        return self._found
