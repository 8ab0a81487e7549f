"""Where credentials of Google Cloud are looked for, and what is said of those that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pgsnap.errors import StoreError
from pgsnap.stores.address import parse
from pgsnap.stores.objects.gcs import Gcs


def gcs(**environ: str) -> Gcs:
    return Gcs(parse("gs://b/p"), environ)


def test_the_first_of_the_chain_is_taken(tmp_path: Path) -> None:
    named = tmp_path / "named.json"
    named.write_text(json.dumps({"type": "service_account"}))
    assert "GOOGLE_APPLICATION_CREDENTIALS" in gcs(GOOGLE_APPLICATION_CREDENTIALS=str(named)).source
    cloud = tmp_path / "gcloud"
    assert "service account of this machine" in gcs(CLOUDSDK_CONFIG=str(cloud)).source
    cloud.mkdir()
    (cloud / "application_default_credentials.json").write_text('{"type": "authorized_user"}')
    assert "gcloud" in gcs(CLOUDSDK_CONFIG=str(cloud)).source
    found = gcs(GOOGLE_BEARER_TOKEN="geheim", GOOGLE_APPLICATION_CREDENTIALS=str(named))
    assert "GOOGLE_BEARER_TOKEN" in found.source
    assert found.secrets == {"geheim"}


@pytest.mark.parametrize("text", ['{"type": "external_account"}', "[]", "no json", ""])
def test_credentials_of_a_kind_that_cannot_be_used_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(text)
    with pytest.raises(StoreError) as caught:
        _ = gcs(GOOGLE_APPLICATION_CREDENTIALS=str(path)).source
    assert str(path) in caught.value.detail
    assert "gcloud" in caught.value.hint


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        _ = gcs(GOOGLE_APPLICATION_CREDENTIALS=str(tmp_path / "absent")).source
    assert str(tmp_path / "absent") in caught.value.detail
