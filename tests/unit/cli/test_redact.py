from __future__ import annotations

import pytest

from pgsnap.cli.redact import redact

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
        'password authentication failed for user "shop"',
        "the table passwords has 3 rows",
        "see ~/.pgpass",
    ],
)
def test_text_without_a_password_is_left_alone(text: str) -> None:
    assert redact(text) == text
