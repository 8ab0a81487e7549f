from __future__ import annotations

import pytest

from pgsnap.cli.text.redact import redact, without_uri

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "text",
    [
        f"cannot reach postgresql://shop:{SECRET}@db:5432/shop",
        f"postgres://shop:{SECRET}%40x@db/shop?sslmode=require",
        f"postgres://shop:{SECRET}/with/slash@db/shop",
        f"postgres://shop:pa@{SECRET}@db/shop",
        f"postgresql://db/shop?user=u&password={SECRET}&sslmode=require",
        f"host=db password={SECRET} dbname=shop",
        f"host=db password = '{SECRET} with \\'quotes' dbname=shop",
        f"PGPASSWORD={SECRET} psql",
        f"sslpassword={SECRET}",
        f"CREATE ROLE shop PASSWORD 'SCRAM-SHA-256$4096:{SECRET}'",
        f"CREATE ROLE shop PASSWORD '{SECRET} and no end",
        f"COMMENT ON ROLE a IS 'PASSWORD '''; ALTER ROLE b PASSWORD 'SCRAM-SHA-256$4096:{SECRET}'",
        f"LINE 1: ...WORD 'SCRAM-SHA-256$4096:{SECRET}",
        f"postgresql+asyncpg://shop:{SECRET}@db/shop",
        f"https://shop:{SECRET}@hooks.example/x",
        f"postgresql://shop:{SECRET}/db",
        f"'postgresql://shop:{SECRET}'",
        f"https://{SECRET}@host.example/x",
        f"s3://{SECRET}@bucket/x",
        f"https://bucket.example/d.sql.gz?X-Amz-Credential=a&X-Amz-Signature={SECRET}",
    ],
)
def test_passwords_in_every_form_of_a_dsn_are_masked(text: str) -> None:
    shown = redact(text)
    assert SECRET not in shown
    assert "***" in shown


def test_what_stands_around_a_password_stays() -> None:
    assert redact(f"at postgresql://u:{SECRET}@db:5432/shop now") == (
        "at postgresql://u:***@db:5432/shop now"
    )
    assert redact(f"host=db password={SECRET} dbname=shop") == "host=db password=*** dbname=shop"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://shop@db:5432/shop",
        "postgresql://db:5432/shop",
        "postgresql://[::1]:5432/shop",
        "http://127.0.0.1:8080/x",
        "see https://host.example/x#part",
        "postgresql://user@host:5432/database (percent-encode it)",
        "the digest md5 of it",
        'password authentication failed for user "shop"',
        "the table passwords has 3 rows",
        "see ~/.pgpass",
    ],
)
def test_text_without_a_password_is_left_alone(text: str) -> None:
    assert redact(text) == text


def test_a_misplaced_uri_is_not_repeated() -> None:
    shown = without_uri(f"Got unexpected extra argument (postgresql://u:{SECRET} {SECRET}@h/d)")
    assert shown == "Got unexpected extra argument ***"
    assert without_uri("No such command 'comit'.") == "No such command 'comit'."
