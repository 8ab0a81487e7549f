from __future__ import annotations

from dataclasses import replace

import pytest

from pgsnap.model import DatabaseProperties, Setting
from pgsnap.targets.properties.properties import (
    differences,
    plain_statements,
    property_statements,
    setting_statement,
    split_list,
)

SHOP = DatabaseProperties(name="shop", owner="boss", encoding="UTF8", lc_collate="C", lc_ctype="C")


def sql_of(properties: DatabaseProperties, *roles: str) -> list[str]:
    found = property_statements(properties, frozenset(roles), 180000)
    return [statement.for_database('s"hop') for statement in found]


@pytest.mark.parametrize(
    ("stored", "items"),
    [
        ('"$user", public', ["$user", "public"]),
        ('a,"b, ""c""" ,d', ["a", 'b, "c"', "d"]),
        ('""', [""]),
        ("", []),
    ],
)
def test_a_stored_list_of_names_is_split_as_the_server_does(stored: str, items: list[str]) -> None:
    assert split_list(stored) == items


@pytest.mark.parametrize(
    ("setting", "end"),
    [
        (Setting("search_path", '"$user", "Öff, 1"'), "SET \"search_path\" TO '$user', 'Öff, 1'"),
        (Setting("search_path", ""), "SET \"search_path\" TO ''"),
        (Setting("search_path", '""'), "SET \"search_path\" TO ''"),
        (Setting("DateStyle", "ISO, DMY"), "SET \"DateStyle\" TO 'ISO, DMY'"),
        (Setting("app.tenant", "it's"), "SET \"app\".\"tenant\" TO 'it''s'"),
        (Setting("work_mem", "1MB", role="r"), 'ALTER ROLE "r" IN DATABASE \0 SET "work_mem" TO'),
    ],
)
def test_a_setting_is_quoted_by_its_kind(setting: Setting, end: str) -> None:
    assert end in setting_statement(setting, 180000)


def test_a_list_without_a_name_is_written_as_each_version_takes_it() -> None:
    nothing, one = Setting("search_path", ""), Setting("search_path", '""')
    assert setting_statement(nothing, 190000).endswith(' SET "search_path" TO NULL')
    assert setting_statement(one, 190000).endswith(" SET \"search_path\" TO ''")
    assert setting_statement(nothing, 180006).endswith(" SET \"search_path\" TO ''")
    assert differences(replace(SHOP, settings=(nothing,)), replace(SHOP, settings=(one,))) == ()


def test_the_database_is_named_last_so_any_text_may_stand_in_a_comment() -> None:
    commented = replace(SHOP, comment="{database} \\ it's")
    assert "COMMENT ON DATABASE \"s\"\"hop\" IS  E'{database} \\\\ it''s'" in sql_of(commented)


def test_the_marker_and_the_lock_out_of_a_scratch_database_are_always_taken_away() -> None:
    assert 'COMMENT ON DATABASE "s""hop" IS NULL' in sql_of(SHOP)
    assert [s.for_database("x") for s in plain_statements()] == [
        'GRANT CONNECT ON DATABASE "x" TO PUBLIC',
        'COMMENT ON DATABASE "x" IS NULL',
    ]
    default = replace(SHOP, acl=None)
    assert 'GRANT CONNECT ON DATABASE "s""hop" TO PUBLIC' in sql_of(default)


def test_the_default_privileges_are_left_alone_and_others_are_made_exactly() -> None:
    assert not any("REVOKE" in text for text in sql_of(SHOP, "boss"))
    closed = replace(SHOP, acl=("boss=CTc/boss", "gone=c/boss"))
    statements = sql_of(closed, "boss")
    assert 'REVOKE ALL ON DATABASE "s""hop" FROM PUBLIC' in statements
    assert 'GRANT CREATE, TEMPORARY, CONNECT ON DATABASE "s""hop" TO "boss"' in statements
    assert not any("gone" in text for text in statements)


def test_owner_comes_before_privileges_and_both_are_strict() -> None:
    found = property_statements(replace(SHOP, acl=("=c/boss",)), frozenset({"boss"}), 180000)
    assert found[0].sql.endswith('OWNER TO "boss"')
    assert all(s.strict for s in found if "OWNER" in s.sql or "GRANT" in s.sql)
    assert not any(s.strict for s in found if "RESET ALL" in s.sql)


def test_every_difference_is_told() -> None:
    other = replace(
        SHOP,
        owner="else",
        acl=("=c/boss",),
        comment="x",
        connection_limit=3,
        is_template=True,
        settings=(Setting("work_mem", "1MB"),),
    )
    assert len(differences(SHOP, other)) == 6
    assert differences(other, other) == ()


def test_a_setting_that_has_another_value_is_told_once() -> None:
    was = replace(SHOP, settings=(Setting("work_mem", "1MB"), Setting("jit", "off", "boss")))
    now = replace(SHOP, settings=(Setting("work_mem", "2MB"), Setting("geqo", "off")))
    assert differences(was, now) == (
        "there is a setting geqo = off too many",
        "the setting work_mem is 2MB, not 1MB",
        "the setting jit = off for role boss is missing",
    )


def test_the_order_of_privileges_and_of_their_letters_makes_no_difference() -> None:
    one = replace(SHOP, acl=("=Tc/boss", "a=c/boss"))
    assert differences(one, replace(SHOP, acl=("a=c/boss", "=cT/boss"))) == ()
    assert differences(SHOP, replace(SHOP, acl=()))


def test_another_owner_is_told_once() -> None:
    assert differences(SHOP, replace(SHOP, owner="me")) == ("the owner is me, not boss",)
