"""Roles that a snapshot names and the server lacks, and the statements that create them.

A role's definition is read from the snapshot's globals section (pg_dumpall's text). Only missing
roles are created; existing ones are never changed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import field

from pgsnap.dump.definitions.statements import statements, trimmed, without_verifiers
from pgsnap.model import Snapshot
from pgsnap.patterns import regex
from pgsnap.sessions.base import Session, ident
from pgsnap.targets.properties.acl import parse_acl_item
from pgsnap.values import dataclass

_IDENT = r'("(?:[^"]|"")+"|[^\s";]+)'
ABOUT_ROLE = regex(rf"^(?:CREATE|ALTER|COMMENT ON) ROLE {_IDENT}", re.DOTALL)
MEMBERSHIP = regex(rf"^GRANT {_IDENT} TO {_IDENT}(.*?)(?: GRANTED BY {_IDENT})?$", re.DOTALL)
_LINE_END = regex(r"[\r\n]")
# pg_dumpall names every attribute. A new role lacks these, and only a role that has one may specify
# it for another.
_LACKS = frozenset({"NOSUPERUSER", "NOCREATEROLE", "NOCREATEDB", "NOREPLICATION", "NOBYPASSRLS"})
_ATTRIBUTES = regex(rf"^(ALTER ROLE {_IDENT} WITH)((?: [A-Z]+)*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class MissingRole:
    """A role to create. *statements* may contain a password verifier, *shown* never does."""

    name: str
    shown: tuple[str, ...]
    statements: tuple[str, ...] = field(repr=False)
    is_known: bool = True


def needed_roles(snapshot: Snapshot) -> frozenset[str]:
    """Return every role named in the snapshot's dump or its database's properties."""
    origin = snapshot.origin
    names = set(origin.owners)
    if origin.properties is not None:
        properties = origin.properties
        names.update(properties.roles)
        names.add(properties.owner)
        names.update(s.role for s in properties.settings if s.role is not None)
        for item in map(parse_acl_item, properties.acl or ()):
            names.update((item.grantee, item.grantor))
    return frozenset(name for name in names if name and not is_built_in(name))


def is_built_in(name: str) -> bool:
    """Return whether initdb creates this role: a server as new as the snapshot's has it."""
    return name.startswith("pg_")


def server_roles(session: Session) -> frozenset[str]:
    """Return the names of all roles on the server, also as in a dump's headers: with spaces for
    line ends."""
    rows = session.query("SELECT rolname FROM pg_catalog.pg_roles")
    names = {name for (name,) in rows if name is not None}
    return frozenset(names | {_LINE_END.sub(" ", name) for name in names})


def missing_roles(
    needed: Iterable[str], present: frozenset[str], globals_text: str
) -> tuple[MissingRole, ...]:
    """Return the roles that are needed and not present, with their definitions from the globals.

    A role that is not in the globals is created without LOGIN.
    """
    missing = sorted(set(needed) - present)
    about: dict[str, list[str]] = {name: [] for name in missing}
    there = present | frozenset(missing)
    for statement in split_statements(globals_text):
        found = ABOUT_ROLE.match(statement)
        if found is not None and unquoted(found.group(1)) in about:
            about[unquoted(found.group(1))].append(_ATTRIBUTES.sub(_without_lacks, statement))
            continue
        grant = MEMBERSHIP.match(statement)
        if grant is None:
            continue
        role, member = unquoted(grant.group(1)), unquoted(grant.group(2))
        newer = member if member in about else role
        if newer in about and {role, member} <= there:
            # Without GRANTED BY: that grantor may be missing, or lack the privilege here.
            words = f"GRANT {grant.group(1)} TO {grant.group(2)}{grant.group(3)}"
            about[newer].append(words)
    return tuple(_missing_role(name, about[name]) for name in missing)


def creation_order(roles: Sequence[MissingRole], owners: Collection[str] = ()) -> list[str]:
    """Return the statements that create all of *roles*: memberships after the roles themselves. We
    become a member of *owners* among them: otherwise only a superuser could give them ownership."""
    making = [statement for role in roles for statement in role.statements]
    making += [f"GRANT {ident(role.name)} TO CURRENT_USER" for role in roles if role.name in owners]
    return sorted(making, key=lambda statement: statement.startswith("GRANT "))


def split_statements(text: str) -> list[str]:
    """Return the statements of pg_dumpall's text, without comments and semicolons."""
    return [statement for tokens in statements(text) if (statement := trimmed(tokens))]


def unquoted(name: str) -> str:
    """Return the name that an SQL identifier stands for."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _without_lacks(match: re.Match[str]) -> str:
    words = [word for word in match[3].split() if word not in _LACKS]
    return " ".join((match[1], *words))


def _missing_role(name: str, about: list[str]) -> MissingRole:
    is_known = any(statement.startswith("CREATE ROLE") for statement in about)
    if not is_known:
        about = [f"CREATE ROLE {ident(name)} NOLOGIN"]
    shown = tuple(without_verifiers(text) + ";" for text in about)
    return MissingRole(name=name, shown=shown, statements=tuple(about), is_known=is_known)
