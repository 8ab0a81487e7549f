"""Roles on the server that differ from the snapshot: reported before a restore, never changed.

The snapshot's side is read from its globals section (pg_dumpall's text). Passwords are neither
compared nor shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pgsnap.dump.definitions.statements import significant, statements
from pgsnap.patterns import regex
from pgsnap.sessions.base import Session, literal
from pgsnap.targets.checks.roles import MEMBERSHIP, split_statements, unquoted

# Maps pg_roles' columns to the keywords of CREATE ROLE, which are prefixed by NO if false.
_ATTRIBUTES = {
    "rolsuper": "SUPERUSER",
    "rolinherit": "INHERIT",
    "rolcreaterole": "CREATEROLE",
    "rolcreatedb": "CREATEDB",
    "rolcanlogin": "LOGIN",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}
_LIMIT = regex(r"-?\d+")


def role_differences(session: Session, needed: Iterable[str], globals_text: str) -> tuple[str, ...]:
    """Return one phrase for each role of *needed* that differs between the server and the snapshot:
    attributes, connection limit, memberships. Roles that either side lacks are left out."""
    wanted = set(needed)
    was: dict[str, tuple[set[str], int]] = {}
    members: set[tuple[str, str]] = set()
    for statement in split_statements(globals_text):
        words = [token.text for token in significant(next(statements(statement)))]
        if words[:2] == ["ALTER", "ROLE"] and words[3:4] == ["WITH"]:
            was[unquoted(words[2])] = _attributes(words[4:])
        grant = MEMBERSHIP.match(statement)
        if grant is not None:
            members.add((unquoted(grant.group(1)), unquoted(grant.group(2))))
    there = _on_server(session)
    found: dict[str, list[str]] = {}
    for name in sorted(wanted & was.keys() & there.keys()):
        words = [*_changed(was[name], there[name])]
        is_member = {role for role, member in members if member == name and role in there}
        now = _memberships(session, name)
        words += [f"is no member of {role}" for role in sorted(is_member - now)]
        words += [f"is a member of {role} now" for role in sorted(now - is_member)]
        if words:
            found[name] = words
    return tuple(
        f"the role {name} differs from the snapshot's and stays as it is: {', '.join(words)}"
        for name, words in found.items()
    )


def _attributes(words: Sequence[str]) -> tuple[set[str], int]:
    """Return the attributes and the connection limit that follow WITH. Strings are quoted, so none
    can be mistaken for a keyword."""
    # A minus sign is a token of its own.
    limit = "".join(words[words.index("LIMIT") + 1 :][:2]) if "LIMIT" in words else ""
    found = _LIMIT.match(limit)
    return set(words), int(found.group()) if found is not None else -1


def _changed(was: tuple[set[str], int], now: tuple[set[str], int]) -> Iterable[str]:
    for word in _ATTRIBUTES.values():
        before = next((w for w in (word, f"NO{word}") if w in was[0]), None)
        after = word if word in now[0] else f"NO{word}"
        if before is not None and before != after:
            yield f"{after} (was {before})"
    if was[1] != now[1]:
        yield f"CONNECTION LIMIT {now[1]} (was {was[1]})"


def _on_server(session: Session) -> dict[str, tuple[set[str], int]]:
    rows = session.query(
        f"SELECT rolname, rolconnlimit, {', '.join(_ATTRIBUTES)} FROM pg_catalog.pg_roles"
    )
    return {
        name or "": (
            {
                word
                for word, value in zip(_ATTRIBUTES.values(), values, strict=True)
                if value == "t"
            },
            int(limit or "-1"),
        )
        for name, limit, *values in rows
    }


def _memberships(session: Session, name: str) -> set[str]:
    rows = session.query(
        "SELECT r.rolname FROM pg_catalog.pg_auth_members m"
        " JOIN pg_catalog.pg_roles r ON r.oid = m.roleid"
        " JOIN pg_catalog.pg_roles u ON u.oid = m.member"
        f" WHERE u.rolname = {literal(name)}"
    )
    return {role or "" for (role,) in rows}
