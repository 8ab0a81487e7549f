"""The rights in a dump: the result of its GRANT and REVOKE statements.

pg_dump writes the difference from the rights of a newly created object: everything for its owner,
nothing for others. Rights from a grantor other than the owner are between SET and RESET SESSION
AUTHORIZATION.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.patterns import regex

ALL = "ALL"
_COLUMN_RIGHTS = ("SELECT", "INSERT", "UPDATE", "REFERENCES")
_TOKEN = regex(r'"(?:[^"]|"")+"|[^\s,.;()"]+|[,.;()]')
_AS_GRANTOR = regex(r"^SET SESSION AUTHORIZATION (?=[^'\s])", re.M)
_AS_OURSELVES = regex(r"^RESET SESSION AUTHORIZATION;$", re.M)


class Right(NamedTuple):
    """One right of one role. *column* is "" for the whole object, *grantee* is "" for PUBLIC."""

    name: TableName
    column: str
    grantee: str
    grantor: str
    privilege: str
    grantable: bool


class _Grant(NamedTuple):
    """A GRANT or REVOKE; *privileges* with a column each ("" for none), *grantor* "" for the
    owner."""

    name: TableName
    privileges: tuple[tuple[str, str], ...]
    grantee: str
    grantor: str
    is_revoked: bool
    with_option: bool


def rights_of(
    texts: Iterable[str], objects: Mapping[TableName, Sequence[str]], owner: str
) -> frozenset[Right]:
    """Return the rights on *objects* (each with all the privileges that exist for its kind) after
    *texts* were run. Raises ValueError for what pg_dump does not write.
    """
    held = {
        (name, "", owner, owner, privilege): False
        for name, privileges in objects.items()
        for privilege in privileges
    }
    for grant in (grant for text in texts for grant in _grants(text)):
        if grant.name not in objects:
            raise ValueError(f"it is about {'.'.join(grant.name)}")
        for privilege, column in _expanded(grant, objects[grant.name]):
            key = (grant.name, column, grant.grantee, grant.grantor or owner, privilege)
            if not grant.is_revoked:
                held[key] = held.get(key, False) or grant.with_option
                continue
            for one in [k for k in held if k[2:] == key[2:] and k[0] == key[0]]:
                # What is revoked for the whole is revoked for its columns, too.
                if not column or one[1] == column:
                    del held[one]
    return frozenset(Right(*key, grantable) for key, grantable in held.items())


def roles_in(texts: Iterable[str]) -> frozenset[str]:
    """Return the roles named in *texts*. Raises ValueError for what pg_dump does not write."""
    grants = [grant for text in texts for grant in _grants(text)]
    return frozenset(role for g in grants for role in (g.grantee, g.grantor) if role)


def as_grantors(text: str) -> str:
    """Return the rights of a dump, with SET LOCAL ROLE to the grantor instead of SET SESSION
    AUTHORIZATION: a member of that role may do that too, not only a superuser."""
    return _AS_OURSELVES.sub("RESET ROLE;", _AS_GRANTOR.sub("SET LOCAL ROLE ", text))


def _expanded(grant: _Grant, every: Sequence[str]) -> Iterator[tuple[str, str]]:
    for privilege, column in grant.privileges:
        if privilege == ALL:
            yield from ((each, column) for each in (_COLUMN_RIGHTS if column else every))
        else:
            yield privilege, column


def _grants(text: str) -> Iterator[_Grant]:
    grantor = ""
    for words in _statements(text):
        if words[:3] == ["SET", "SESSION", "AUTHORIZATION"] and len(words) == 4:
            grantor = _name(words[3])
        elif words == ["RESET", "SESSION", "AUTHORIZATION"]:
            grantor = ""
        elif words[0] in ("GRANT", "REVOKE"):
            yield _grant(words, grantor)
        else:
            raise ValueError(f"it begins with {' '.join(words[:3])}")


def _statements(text: str) -> Iterator[list[str]]:
    words: list[str] = []
    for token in _TOKEN.findall(text):
        if token != ";":
            words.append(token)
        elif words:
            yield words
            words = []
    if words:
        raise ValueError("it does not end")


def _grant(words: list[str], grantor: str) -> _Grant:
    """Return the meaning of ``GRANT a, b (c) ON TABLE s.t TO x WITH GRANT OPTION``."""
    is_revoked = words[0] == "REVOKE"
    on = words.index("ON")
    privileges = tuple(_privileges(words[1:on]))
    rest = words[on + 1 :]
    if rest[:1] in (["TABLE"], ["SEQUENCE"]):
        rest = rest[1:]
    if len(rest) < 5 or rest[1] != "." or rest[3] != ("FROM" if is_revoked else "TO"):
        raise ValueError(f"it is on {' '.join(rest)}")
    name = _name(rest[0]), _name(rest[2])
    to = rest[5:] if rest[4] == "GROUP" and len(rest) > 5 else rest[4:]
    option = to[1:] == ["WITH", "GRANT", "OPTION"]
    if to[1:] and not option:
        raise ValueError(f"it ends with {' '.join(to[1:])}")
    grantee = "" if to[0] == "PUBLIC" else _name(to[0])
    return _Grant(name, privileges, grantee, grantor, is_revoked, option)


def _privileges(words: list[str]) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(words):
        privilege, at = words[at], at + 1
        if not privilege.isalpha():
            raise ValueError(f"{privilege} is no privilege")
        if words[at : at + 1] == ["PRIVILEGES"]:
            at += 1
        if words[at : at + 1] == ["("]:
            end = words.index(")", at)
            yield from ((privilege, _name(word)) for word in words[at + 1 : end] if word != ",")
            at = end + 1
        else:
            yield privilege, ""
        if at < len(words) and words[at] != ",":
            raise ValueError(f"{words[at]} follows a privilege")
        at += 1


def _name(word: str) -> str:
    return word[1:-1].replace('""', '"') if word.startswith('"') else word
