"""Azure Blob Storage."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pgsnap.errors import StoreError
from pgsnap.stores.address import Address
from pgsnap.stores.objects.clients import NO_RETRIES, client_options, delete_url, made
from pgsnap.stores.pacing import Times
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from obstore import ObjectMeta, UpdateVersion

_CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"
_ACCOUNTS = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT")
_KEYS = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_KEY")
_VERSION = "2021-08-06"
_SIGNED_FOR = timedelta(hours=1)
_SIGNATURES = ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY")


@dataclass(frozen=True, slots=True)
class _Found:
    source: str
    account: str
    endpoint: str
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


class Azure:
    """See `requests.Backend`."""

    hint = (
        "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY,"
        " AZURE_STORAGE_CONNECTION_STRING, or run `az login`."
    )

    def __init__(self, address: Address, environ: Mapping[str, str]) -> None:
        self._address = address
        self._environ = environ
        self._settings: _Found | None = None

    @property
    def place(self) -> str:
        found = self._found()
        where = f"at {found.endpoint}" if found.endpoint else f'of account "{found.account}"'
        return f'container "{self._address.host}" {where}'

    @property
    def source(self) -> str:
        return self._found().source

    @property
    def secrets(self) -> frozenset[str]:
        return self._found().secrets

    def refresh(self) -> None:
        self._settings = None

    def open(self, times: Times) -> Any:
        from obstore.store import AzureStore

        found = self._found()
        options = dict(found.options)
        if found.endpoint:
            options["endpoint"] = found.endpoint
        return made(
            self.place,
            lambda: AzureStore(
                self._address.host,
                prefix=self._address.path or None,
                account_name=found.account,
                client_options=client_options(found.endpoint, times),
                retry_config=NO_RETRIES,
                **options,
            ),
        )

    def version(self, meta: ObjectMeta) -> UpdateVersion:
        return {"e_tag": meta["e_tag"]}

    def delete(self, name: str, meta: ObjectMeta, times: Times) -> None:
        import obstore

        # obstore deletes by batches, which know no conditions.
        url = obstore.sign(self.open(times), "DELETE", name, _SIGNED_FOR)
        delete_url(url, {"If-Match": meta["e_tag"] or "", "x-ms-version": _VERSION}, times)

    def _found(self) -> _Found:
        if self._settings is None:
            self._settings = _search(self._environ, self._address.parameters)
        return self._settings


def _search(environ: Mapping[str, str], parameters: Mapping[str, str]) -> _Found:
    """Return the credentials, in the order of Azure's own chain. Raises StoreError."""
    text = _connection(environ.get(_CONNECTION, ""))
    account = parameters.get("account") or _first(environ, _ACCOUNTS)[1] or text.get("AccountName")
    endpoint = parameters.get("endpoint") or text.get("BlobEndpoint", "")
    if not account:
        raise StoreError(
            "no storage account of Azure is named",
            detail=f"{_ACCOUNTS[0]} is not set, nor is {_CONNECTION}.",
            hint="Set it, or name it in the URL: az://CONTAINER/PREFIX?account=NAME",
        )
    for variables, option, inside in (
        (_KEYS, "account_key", "AccountKey"),
        (_SIGNATURES, "sas_key", "SharedAccessSignature"),
        (("AZURE_STORAGE_TOKEN",), "token", ""),
    ):
        variable, value = _first(environ, variables)
        if not value and text.get(inside):
            variable, value = _CONNECTION, text[inside]
        if value:
            return _Found(
                f"the environment ({variable})",
                account,
                endpoint,
                {option: value},
                frozenset([value]),
            )
    return _of_an_identity(environ, account, endpoint)


def _of_an_identity(environ: Mapping[str, str], account: str, endpoint: str) -> _Found:
    client = {
        "client_id": environ.get("AZURE_CLIENT_ID", ""),
        "tenant_id": environ.get("AZURE_TENANT_ID", ""),
    }
    secret = environ.get("AZURE_CLIENT_SECRET", "")
    if secret and all(client.values()):
        options = {**client, "client_secret": secret}
        source = "a service principal (AZURE_CLIENT_ID and AZURE_CLIENT_SECRET)"
        return _Found(source, account, endpoint, options, frozenset([secret]))
    federated = environ.get("AZURE_FEDERATED_TOKEN_FILE", "")
    if federated and all(client.values()):
        options = {**client, "federated_token_file": federated}
        source = f"a workload identity ({federated})"
        return _Found(source, account, endpoint, options)
    if shutil.which("az", path=environ.get("PATH")):
        return _Found("the Azure CLI (az login)", account, endpoint, {"use_azure_cli": True})
    source = "the identity of this machine (nothing else was found: no key, no token, no `az`)"
    return _Found(source, account, endpoint)


def _connection(text: str) -> dict[str, str]:
    """Return the parts of a connection string."""
    pairs = (part.partition("=") for part in text.split(";") if "=" in part)
    return {name.strip(): value for name, _, value in pairs}


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str]:
    return next(((name, environ[name]) for name in names if environ.get(name)), ("", ""))
