"""Roles other than owners that grant rights in a dump's schemas, and who may use these schemas.

pg_dump writes a grant by a role other than the owner after SET SESSION AUTHORIZATION. The server
accepts it only from a role that may use the object's schema, and a grantor may have lost that right
since.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import field

from pgsnap.dump.definitions.ddl import GRANTOR
from pgsnap.dump.definitions.statements import Kind, Token, significant, statements
from pgsnap.dump.entries import Entry, decode
from pgsnap.patterns import regex
from pgsnap.values import dataclass

PUBLIC = ""
"""Stands for all roles."""
GRANTS_AS_ANOTHER = regex(rb"^SET SESSION AUTHORIZATION (?=[^'\s])", re.M)
"""Occurs in a section if a role other than an owner grants something in it."""
_EVERY = ("ALL", "USAGE")


@dataclass(frozen=True, slots=True)
class SchemaUsers:
    """A schema in which *grantors* grant something, and the *roles* that may use it once everything
    is loaded; "" is PUBLIC."""

    schema: str
    grantors: tuple[str, ...]
    roles: frozenset[str]


@dataclass(slots=True)
class _Schema:
    users: set[str] = field(default_factory=set)
    grantors: dict[str, None] = field(default_factory=dict)
    is_made: bool = False


def schema_users(entries: Iterable[tuple[Entry, bytes]], encoding: str) -> tuple[SchemaUsers, ...]:
    """Return the schemas that a dump creates and in which a role other than an owner grants
    something. *entries* are those of all definitions, including settings."""
    found: dict[str, _Schema] = {"public": _Schema(users={PUBLIC})}
    for entry, text in entries:
        name = decode(entry.name, encoding)
        if entry.type == b"SCHEMA":
            made = found.setdefault(name, _Schema())
            made.is_made = True
            made.users.add(decode(entry.owner, encoding))
        elif entry.type != b"ACL":
            continue
        elif name.startswith("SCHEMA "):
            for schema, role, is_granted in _usages(decode(text, encoding)):
                users = found.setdefault(schema, _Schema()).users
                (users.add if is_granted else users.discard)(role)
        elif GRANTOR.search(text) is not None:
            there = found.setdefault(decode(entry.schema, encoding), _Schema())
            there.grantors.update(dict.fromkeys(_grantors(decode(text, encoding))))
    return tuple(
        SchemaUsers(name, tuple(schema.grantors), frozenset(schema.users))
        for name, schema in found.items()
        # An extension grants rights in its own schema, and a dump may not mention public's owner.
        if schema.grantors and (schema.is_made or PUBLIC in schema.users)
    )


def _grantors(text: str) -> Iterator[str]:
    for tokens in statements(text):
        words = significant(tokens)
        if [word.text for word in words[:3]] == ["SET", "SESSION", "AUTHORIZATION"]:
            yield _name(words[3])


def _usages(text: str) -> Iterator[tuple[str, str, bool]]:
    """Yield schema, role and whether it is granted (or revoked), for each statement about USAGE."""
    for tokens in statements(text):
        words = significant(tokens)
        texts = [word.text for word in words]
        if not texts or texts[0] not in ("GRANT", "REVOKE") or "ON" not in texts:
            continue
        on = texts.index("ON")
        if texts[on + 1 : on + 2] == ["SCHEMA"] and any(right in texts[1:on] for right in _EVERY):
            # SCHEMA name TO [GROUP] role
            role = words[on + 5] if texts[on + 4] == "GROUP" else words[on + 4]
            name = PUBLIC if role == (Kind.WORD, "PUBLIC") else _name(role)
            yield _name(words[on + 2]), name, texts[0] == "GRANT"


def _name(token: Token) -> str:
    return token.text[1:-1].replace('""', '"') if token.kind is Kind.NAME else token.text
