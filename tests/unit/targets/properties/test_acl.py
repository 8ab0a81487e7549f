from __future__ import annotations

import pytest

from pgsnap.targets.properties.acl import (
    DATABASE,
    AclItem,
    acl_statements,
    format_acl_item,
    parse_acl_item,
)


def item(grantee: str, letters: str, grantor: str, grantable: str = "") -> AclItem:
    return AclItem(grantee, grantor, frozenset(letters), frozenset(grantable))


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("=Tc/owner", item("", "Tc", "owner")),
        ("app=C*c/owner", item("app", "Cc", "owner", "C")),
        ('"a ""b""=/c"=c/"o w"', item('a "b"=/c', "c", "o w")),
        ("nobody=/owner", item("nobody", "", "owner")),
    ],
)
def test_an_aclitem_is_read_and_written(text: str, meaning: AclItem) -> None:
    assert parse_acl_item(text) == meaning
    assert parse_acl_item(format_acl_item(meaning)) == meaning


def test_what_is_no_aclitem_is_an_error() -> None:
    with pytest.raises(ValueError, match="not an aclitem"):
        parse_acl_item("app")


def test_an_empty_list_takes_even_the_owners_rights() -> None:
    assert acl_statements("boss", []) == (
        f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC",
        f'REVOKE ALL ON DATABASE {DATABASE} FROM "boss"',
    )


def test_a_grant_by_another_role_follows_the_grant_that_allowed_it() -> None:
    items = [item("c", "c", "b"), item("b", "c", "a", "c"), item("a", "c", "boss", "c")]
    statements = acl_statements("boss", items)[2:]
    assert statements == (
        f'GRANT CONNECT ON DATABASE {DATABASE} TO "a" WITH GRANT OPTION',
        'SET LOCAL ROLE "a"',
        f'GRANT CONNECT ON DATABASE {DATABASE} TO "b" WITH GRANT OPTION',
        "RESET ROLE",
        'SET LOCAL ROLE "b"',
        f'GRANT CONNECT ON DATABASE {DATABASE} TO "c"',
        "RESET ROLE",
    )


def test_grants_in_a_circle_end() -> None:
    items = [item("a", "c", "b", "c"), item("b", "c", "a", "c")]
    assert sum(text.startswith("GRANT") for text in acl_statements("boss", items)) == 2
