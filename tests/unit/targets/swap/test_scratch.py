from __future__ import annotations

from dataclasses import replace

from pgsnap.model import DatabaseProperties
from pgsnap.targets.swap.scratch import create_statement

SHOP = DatabaseProperties(
    name="shop", owner="boss", encoding="UTF8", lc_collate="de_DE.utf8", lc_ctype="C"
)


def test_a_scratch_database_has_the_encoding_and_locale_of_the_snapshot() -> None:
    assert create_statement('s"', SHOP, 150018, "pg_default") == (
        'CREATE DATABASE "s""" TEMPLATE template0 ENCODING \'UTF8\' LOCALE_PROVIDER libc'
        " LC_COLLATE 'de_DE.utf8' LC_CTYPE 'C'"
    )


def test_options_that_a_version_does_not_know_are_left_out() -> None:
    icu = replace(SHOP, locale_provider="i", locale="de-x-icu", icu_rules="&a < b")
    assert "LOCALE_PROVIDER" not in create_statement("s", SHOP, 140001, None)
    assert "ICU_LOCALE 'de-x-icu'" in create_statement("s", icu, 150001, None)
    assert "ICU_RULES" not in create_statement("s", icu, 150001, None)
    assert "ICU_RULES '&a < b'" in create_statement("s", icu, 160001, None)
    builtin = replace(SHOP, locale_provider="b", locale="C.UTF-8")
    assert "BUILTIN_LOCALE 'C.UTF-8'" in create_statement("s", builtin, 170001, None)


def test_without_properties_the_defaults_of_the_server_hold() -> None:
    assert create_statement("s", None, 150018, None) == 'CREATE DATABASE "s" TEMPLATE template0'


def test_a_tablespace_of_its_own_is_named() -> None:
    assert create_statement("s", SHOP, 150018, "fast disk").endswith('TABLESPACE "fast disk"')
