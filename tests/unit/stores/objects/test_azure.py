"""Where credentials of Azure are looked for, and what is said without any."""

from __future__ import annotations

import pytest

from pgsnap.errors import StoreError
from pgsnap.stores.address import parse
from pgsnap.stores.objects.azure import Azure

CONNECTION = (
    "DefaultEndpointsProtocol=https;AccountName=mine;AccountKey=geheim==;"
    "BlobEndpoint=https://mine.example/;"
)


@pytest.mark.parametrize(
    ("environ", "source", "secret"),
    [
        ({"AZURE_STORAGE_ACCOUNT_KEY": "geheim"}, "AZURE_STORAGE_ACCOUNT_KEY", "geheim"),
        ({"AZURE_STORAGE_SAS_TOKEN": "sig=geheim"}, "AZURE_STORAGE_SAS_TOKEN", "sig=geheim"),
        (
            {"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t", "AZURE_CLIENT_SECRET": "geheim"},
            "a service principal",
            "geheim",
        ),
        (
            {"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t", "AZURE_FEDERATED_TOKEN_FILE": "/f"},
            "a workload identity",
            "",
        ),
        ({"PATH": "/nothing"}, "the identity of this machine", ""),
    ],
)
def test_the_first_of_the_chain_is_taken(environ: dict[str, str], source: str, secret: str) -> None:
    found = Azure(parse("az://c/p?account=mine"), environ)
    assert source in found.source
    assert found.secrets == ({secret} if secret else set())
    assert found.place == 'container "c" of account "mine"'


def test_a_connection_string_names_account_key_and_endpoint() -> None:
    found = Azure(parse("az://c/p"), {"AZURE_STORAGE_CONNECTION_STRING": CONNECTION})
    assert found.place == 'container "c" at https://mine.example/'
    assert found.secrets == {"geheim=="}
    assert "AZURE_STORAGE_CONNECTION_STRING" in found.source


def test_an_account_is_needed() -> None:
    with pytest.raises(StoreError) as caught:
        _ = Azure(parse("az://c/p"), {}).place
    assert "AZURE_STORAGE_ACCOUNT_NAME" in caught.value.detail
