"""The privileges of a database: parses and formats aclitem text, and generates GRANTs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pgsnap.patterns import regex
from pgsnap.sessions.base import ident
from pgsnap.values import dataclass

DATABASE = "\0"
"""Placeholder for the database's quoted name in statements: no name or value can contain it."""

PRIVILEGES = {"C": "CREATE", "T": "TEMPORARY", "c": "CONNECT"}
_NAME = r'(?:"(?:[^"]|"")*"|[^"=/]*)'
_ITEM = regex(rf"^(?:group )?({_NAME})=((?:[A-Za-z]\*?)*)/({_NAME})$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class AclItem:
    """What *grantor* granted to *grantee* ("" is PUBLIC): letters, and those with grant option."""

    grantee: str
    grantor: str
    privileges: frozenset[str]
    grantable: frozenset[str]


def parse_acl_item(text: str) -> AclItem:
    """Return the parsed ``grantee=privileges/grantor``. Raises ValueError."""
    found = _ITEM.match(text)
    if found is None:
        raise ValueError(f"not an aclitem: {text!r}")
    letters = re.findall(r"([A-Za-z])(\*?)", found.group(2))
    return AclItem(
        grantee=_name(found.group(1)),
        grantor=_name(found.group(3)),
        privileges=frozenset(letter for letter, _ in letters),
        grantable=frozenset(letter for letter, star in letters if star),
    )


def format_acl_item(item: AclItem) -> str:
    """Return *item* as aclitem text."""
    letters = "".join(
        letter + ("*" if letter in item.grantable else "") for letter in sorted(item.privileges)
    )
    return f"{_quoted(item.grantee)}={letters}/{_quoted(item.grantor)}"


def acl_statements(owner: str | None, items: Sequence[AclItem]) -> tuple[str, ...]:
    """Return the statements after which a database of *owner* has exactly *items*.

    The owner's grants come first, then those of others as they get their grant options. A grant by
    a role other than the owner needs SET ROLE, which ends with the transaction.
    """
    statements = [f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC"]
    if owner is not None:
        statements.append(f"REVOKE ALL ON DATABASE {DATABASE} FROM {ident(owner)}")
    for item in _in_order(owner, items):
        grants = _grants(item)
        if owner is None or item.grantor == owner:
            statements.extend(grants)
        else:
            statements.append(f"SET LOCAL ROLE {ident(item.grantor)}")
            statements.extend(grants)
            statements.append("RESET ROLE")
    return tuple(statements)


def _grants(item: AclItem) -> list[str]:
    grantee = ident(item.grantee) if item.grantee else "PUBLIC"
    found = []
    for letters, option in (
        (item.privileges - item.grantable, ""),
        (item.grantable, " WITH GRANT OPTION"),
    ):
        # Other letters are unknown database privileges; what is then missing is reported.
        words = ", ".join(PRIVILEGES[letter] for letter in sorted(letters) if letter in PRIVILEGES)
        if words:
            found.append(f"GRANT {words} ON DATABASE {DATABASE} TO {grantee}{option}")
    return found


def _in_order(owner: str | None, items: Iterable[AclItem]) -> list[AclItem]:
    """Return *items* with each grant after the one that entitles its grantor."""
    ordered = [item for item in items if owner is None or item.grantor == owner]
    waiting = [item for item in items if item not in ordered]
    while waiting:
        able = {item.grantee for item in ordered if item.grantable}
        ready = [item for item in waiting if item.grantor in able] or waiting
        ordered.extend(ready)
        waiting = [item for item in waiting if item not in ready]
    return ordered


def _name(text: str) -> str:
    return text[1:-1].replace('""', '"') if text.startswith('"') else text


def _quoted(name: str) -> str:
    plain = all(char.isalnum() or char == "_" for char in name)
    return name if plain else '"' + name.replace('"', '""') + '"'
