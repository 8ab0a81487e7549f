"""Google Cloud Storage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgsnap.errors import StoreError
from pgsnap.stores.address import Address
from pgsnap.stores.objects.clients import NO_RETRIES, client_options, made
from pgsnap.stores.pacing import Times

if TYPE_CHECKING:
    from obstore import ObjectMeta, UpdateVersion

# Kinds of credential files that can be used.
_KINDS = ("service_account", "authorized_user")


class Gcs:
    """See `requests.Backend`."""

    hint = "Set GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`."

    def __init__(self, address: Address, environ: Mapping[str, str]) -> None:
        self._address = address
        self._environ = environ
        self._endpoint = address.parameters.get("endpoint", "")

    @property
    def place(self) -> str:
        where = f"at {self._endpoint}" if self._endpoint else "of Google Cloud Storage"
        return f'bucket "{self._address.host}" {where}'

    @property
    def source(self) -> str:
        return self._found()[0]

    @property
    def secrets(self) -> frozenset[str]:
        token = self._environ.get("GOOGLE_BEARER_TOKEN", "")
        return frozenset([token] if token else [])

    def refresh(self) -> None:
        """Do nothing: credentials are looked for at each `open`."""

    def open(self, times: Times) -> Any:
        return self._open(times, {})

    def _open(self, times: Times, headers: dict[str, str]) -> Any:
        from obstore.store import GCSStore

        options = self._found()[1]
        if self._endpoint:
            options["base_url"] = self._endpoint
        return made(
            self.place,
            lambda: GCSStore(
                self._address.host,
                prefix=self._address.path or None,
                client_options=client_options(self._endpoint, times, headers),
                retry_config=NO_RETRIES,
                **options,
            ),
        )

    def version(self, meta: ObjectMeta) -> UpdateVersion:
        return {"version": meta["version"]}

    def delete(self, name: str, meta: ObjectMeta, times: Times) -> None:
        # obstore has no conditional delete; these headers go with every request of a client.
        self._open(times, {"x-goog-if-generation-match": meta["version"] or ""}).delete(name)

    def _found(self) -> tuple[str, dict[str, Any]]:
        """Return where the credentials are from, and obstore's options for them."""
        environ = self._environ
        token = environ.get("GOOGLE_BEARER_TOKEN")
        if token:
            return "the environment (GOOGLE_BEARER_TOKEN)", {"bearer_token": token}
        named = environ.get("GOOGLE_APPLICATION_CREDENTIALS")
        if named:
            _check(Path(named), "GOOGLE_APPLICATION_CREDENTIALS")
            return f"{named} (GOOGLE_APPLICATION_CREDENTIALS)", {"application_credentials": named}
        folder = environ.get("CLOUDSDK_CONFIG") or "~/.config/gcloud"
        usual = Path(folder).expanduser() / "application_default_credentials.json"
        if usual.exists():
            _check(usual, "gcloud's default credentials")
            return f"{usual} (gcloud)", {"application_credentials": str(usual)}
        return (
            f"the service account of this machine (neither is GOOGLE_APPLICATION_CREDENTIALS set,"
            f" nor is there {usual})",
            {},
        )


def _check(path: Path, what: str) -> None:
    try:
        found = json.loads(path.read_text("utf-8"))
        kind = found.get("type") if isinstance(found, dict) else None
    except OSError as error:
        raise StoreError(
            f"cannot read the credentials of Google Cloud: {error.strerror}",
            detail=f"{what} names {path}.",
            hint=Gcs.hint,
        ) from None
    except ValueError:
        kind = None
    if kind not in _KINDS:
        raise StoreError(
            "these credentials of Google Cloud cannot be used",
            detail=f"{what} names {path}, whose type is none of {' and '.join(_KINDS)}.",
            hint="Use a service account's key, or run `gcloud auth application-default login`.",
        )
