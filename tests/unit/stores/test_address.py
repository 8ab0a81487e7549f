"""Addresses: what is a URL, its parts, and what is refused without being shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.errors import UsageError
from pgsnap.stores.address import Address, is_url, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/backups/shop", Address("file", path="/backups/shop")),
        ("file:///backups/my%20shop", Address("file", path="/backups/my shop")),
        ("file://localhost/backups", Address("file", path="/backups")),
        ("s3://Bucket", Address("s3", "Bucket")),
        ("S3://b/team/shop/", Address("s3", "b", "team/shop")),
        (
            "s3://b/p?endpoint=https://minio:9000&region=eu-1&profile=ops",
            Address(
                "s3",
                "b",
                "p",
                parameters={
                    "endpoint": "https://minio:9000",
                    "region": "eu-1",
                    "profile": "ops",
                },
            ),
        ),
        ("gs://b/p", Address("gs", "b", "p")),
        ("az://c/p?account=me", Address("az", "c", "p", parameters={"account": "me"})),
        ("sftp://me@host:2222/srv/x", Address("sftp", "host", "/srv/x", "me", 2222)),
    ],
)
def test_a_url_has_these_parts(text: str, address: Address) -> None:
    assert parse(text) == address


def test_a_path_is_no_url_and_may_begin_at_home() -> None:
    assert parse("~/backups") == Address("file", path=str(Path.home() / "backups"))
    assert [is_url(text) for text in ("s3://b", "C:/x", "a://b", "/a://b", "a/b")] == [
        True,
        False,
        True,
        False,
        False,
    ]


def test_it_is_shown_without_its_parameters() -> None:
    assert str(parse("s3://b/p?endpoint=http://127.0.0.1:1")) == "s3://b/p"
    assert str(parse("sftp://me@host:22/srv")) == "sftp://me@host:22/srv"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ftp://host/x", "ftp"),
        ("s3://", "names no bucket"),
        ("s3:///prefix", "names no bucket"),
        ("sftp:///srv", "names no host"),
        ("s3://b/a//c", 'holds what cannot be stored under everywhere: ""'),
        ("s3://b/../c", '".."'),
        ("s3://b/a b", '"a b"'),
        ("s3://b/p#x", "#"),
        ("s3://b/p?region=", "region"),
        ("s3://b/p?regoin=x", "regoin"),
        ("s3://b/p?checksum=md5", "sha256"),
        ("s3://b/p?region=a&region=b", "region"),
        ("gs://b/p?profile=x", "profile"),
        ("s3://b/p?endpoint=minio:9000", "https://"),
        ("file://host/x", '"host"'),
        ("file:///", "no folder"),
        ("sftp://host:port/x", "no URL"),
    ],
)
def test_what_is_no_address_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert words in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIAX:geheim@bucket/p",
        "s3://geheim@bucket/p",
        "sftp://me:geheim@host/p",
        "gs://:geheim@b/p",
        "s3://b/p?secret_access_key=geheim",
        "s3://b/p?endpoint=https://me:geheim@host",
    ],
)
def test_credentials_in_a_url_are_refused_and_never_shown(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    error = caught.value
    assert "geheim" not in f"{error.message} {error.detail} {error.hint}"
