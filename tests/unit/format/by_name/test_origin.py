"""Origins that no writer of ours stores: a stranger's repository may hold any."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pgsnap.errors import CorruptionError, FormatTooNew
from pgsnap.format.by_name.origin import decode_origin, encode_origin
from pgsnap.targets.checks.roles import needed_roles
from pgsnap.targets.properties.properties import property_statements
from pgsnap.targets.swap.scratch import create_statement
from support.documents.values import ORIGIN, SNAPSHOT

BASE: dict[str, Any] = json.loads(encode_origin(ORIGIN))


def changed(path: str, value: Any) -> bytes:
    """Return the example's origin with another value at *path*."""
    origin = json.loads(encode_origin(ORIGIN))
    *above, last = path.split(".")
    place: Any = origin
    for key in above:
        place = place[int(key)] if isinstance(place, list) else place[key]
    if isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value
    return json.dumps(origin).encode()


ODD: list[tuple[str, Any]] = [
    ("properties.connection_limit", "-1; CREATE ROLE mallory SUPERUSER LOGIN"),
    ("properties.connection_limit", -2),
    ("properties.connection_limit", 2**31),
    ("properties.connection_limit", 1.5),
    ("properties.connection_limit", True),
    ("properties.size_bytes", -1),
    ("properties.size_bytes", "many"),
    ("properties.is_template", "yes"),
    ("properties.is_template", 1),
    ("properties.name", ""),
    ("properties.name", None),
    ("properties.name", "a\0b"),
    ("properties.owner", ["app"]),
    ("properties.owner", ""),
    ("properties.comment", 5),
    ("properties.comment", "\ud800"),
    ("properties.locale_provider", "x"),
    ("properties.encoding", "UTF8' TEMPLATE postgres --"),
    ("properties.acl", "app=CTc/app"),
    ("properties.acl", [None]),
    ("properties.acl", ["no item"]),
    ("properties.acl.0", {"grantee": "app"}),
    ("properties.settings", {"work_mem": "1MB"}),
    ("properties.settings.0.value", 64),
    ("properties.settings.0.name", ""),
    ("properties.settings.1.role", []),
    ("properties.settings.1", "search_path=a"),
    ("properties.extensions.0", ["pgcrypto"]),
    ("properties.extensions.0.version", 1.3),
    ("properties.roles", "app"),
    ("properties.roles", [1, 2]),
    ("properties.roles.0", "a\0"),
    ("properties", []),
    ("properties", {"owner": "app"}),
    ("server", "15"),
    ("server.version_num", "150018"),
    ("server.version_num", -1),
    ("server.version_num", 10**9),
    ("server.timeline", None),
    ("server.system_identifier", "1'; DROP DATABASE shop; --"),
    ("server.wal_lsn", "zero"),
    ("server.database_oid", 2**32),
    ("server.in_recovery", "t"),
    ("owners", "app"),
    ("owners", {"app": 1}),
    ("owners", 7),
    ("owners.0", None),
    ("is_pg_dump", "no"),
    ("has_meta_commands", None),
    ("tool", 15),
    ("host", ["db"]),
    ("file_name", False),
    ("dumped_from", 15.4),
    ("client_encoding", 6),
    ("only_schemas", [["a"]]),
]


@pytest.mark.parametrize(("path", "value"), ODD, ids=lambda word: str(word)[:40])
def test_an_origin_with_an_odd_value_is_damage(path: str, value: Any) -> None:
    with pytest.raises(CorruptionError, match="snapshot x is damaged") as caught:
        decode_origin(changed(path, value), "snapshot x")
    assert caught.value.detail


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b"\xff",
        b"{}",
        b"[" * 100_000,
        b'{"kind":"file","plain":' + b"9" * 5_000 + b"}",
        b'{"kind":"file","owners":[' + b'"ab",' * 500_000 + b'"ab"]}',
    ],
    ids=lambda data: data[:12].decode("latin-1"),
)
def test_what_is_no_origin_is_damage(data: bytes) -> None:
    with pytest.raises(CorruptionError, match="snapshot x is damaged"):
        decode_origin(data, "snapshot x")


@pytest.mark.parametrize("kind", ["mysql", 1, None, ["file"]])
def test_an_unknown_kind_of_source_is_a_newer_format(kind: Any) -> None:
    with pytest.raises(FormatTooNew):
        decode_origin(changed("kind", kind), "snapshot x")


def test_unknown_keys_at_any_level_are_ignored() -> None:
    data = changed("later", {"any": [1]})
    assert decode_origin(data, "x") == ORIGIN
    assert decode_origin(changed("properties.later", None), "x") == ORIGIN
    assert decode_origin(changed("properties.settings.0.later", "b"), "x") == ORIGIN


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("properties.acl", ["app=xyzCTc/app", '"a ""b"=c*/"o/w=n"', "=/app"]),
        ("properties.settings.0.name", "a..b"),
        ("properties.settings.0.value", "'; DROP ROLE app; --"),
        ("properties.tablespace", 'x" LOCATION'),
        ("properties.lc_collate", "C' OWNER postgres --"),
        ("properties.comment", "\udcff'\\"),
    ],
    ids=lambda word: str(word)[:40],
)
def test_what_is_odd_and_of_its_form_makes_whole_statements(path: str, value: Any) -> None:
    origin = decode_origin(changed(path, value), "x")
    assert origin.properties is not None
    roles = frozenset({"app", 'a "b', "o/w=n"})
    for statement in property_statements(origin.properties, roles, 180000):
        assert ";" not in _outside_quotes(statement.for_database("shop"))
    made = create_statement("new", origin.properties, 180000, origin.properties.tablespace)
    assert " OWNER " not in _outside_quotes(made)
    assert " LOCATION" not in _outside_quotes(made)


def _outside_quotes(sql: str) -> str:
    """Return *sql* without what stands in quotes."""
    found, quote, skip = "", "", False
    for index, char in enumerate(sql):
        if skip:
            skip = False
        elif quote:
            if char == "\\" and quote == "E":
                skip = True
            elif char == ("'" if quote == "E" else quote):
                quote = ""
        elif char in "'\"":
            quote = "E" if char == "'" and sql[index - 1 : index] == "E" else char
        else:
            found += char
    return found


def test_roles_of_any_form_are_named_without_an_error() -> None:
    from dataclasses import replace

    origin = decode_origin(changed("properties.acl", ["=c/app", '""=c/""']), "x")
    assert "app" in needed_roles(replace(SNAPSHOT, origin=origin))
