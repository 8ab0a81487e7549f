"""Explains why a definition cannot be loaded, and what helps; only verified facts are stated.

Errors are classified by their SQLSTATE and the entry in which they occur, names in messages are
recognized by their quotes: so it works in every server language.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from pgsnap.errors import SnapError
from pgsnap.model import SectionKind
from pgsnap.patterns import regex
from pgsnap.sessions.base import ident
from pgsnap.sessions.server import Server
from pgsnap.targets.checks.preflight import connected_role
from pgsnap.targets.checks.roles import server_roles
from pgsnap.targets.load.places import Place
from pgsnap.targets.load.psql_messages import Help, PsqlFailure
from pgsnap.values import dataclass

# Quotation marks in PostgreSQL's translations.
_QUOTED = regex(r"[\"«„“‚‘「『»]([^\"«»„“”‘’」』]+)[\"»“”’」』«]")
_CALLED = regex(r'((?:"(?:[^"]|"")+"|[\w$.])+)\(')
_RIGHTS = frozenset({"ACL", "DEFAULT ACL"})
_OF_ROWS = frozenset({"INDEX", "CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT"})
_PLACES = ("default_tablespace", "default_table_access_method")


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts about the server after an error: whether we are a superuser, and its roles."""

    is_superuser: bool
    roles: frozenset[str]


def look_up(server: Server) -> Facts:
    """Return the facts of *server*. Raises ConnectionFailed, QueryFailed."""
    with server.connect(server.maintenance_database()) as session:
        return Facts(connected_role(session).is_superuser, server_roles(session))


def help_for(
    failure: PsqlFailure, place: Place, facts: Callable[[], Facts] | None, *, masks: str = ""
) -> Help:
    """Return the help for *failure* at *place*. *facts* is called only if needed; if it fails,
    nothing that depends on it is stated. *masks* names the file that says how rows were masked."""
    state = failure.sqlstate
    if masks and (state[:2] == "23" or (state[:2] == "22" and _is_of_rows(place))):
        return _masked(masks)
    # A type or a dictionary: the dump's own statements are qualified, a function's may not be.
    if state in ("42883", "42P01") or (state == "42704" and failure.context):
        return _undefined(failure)
    if (state, place.type) in (("22023", "SEQUENCE"), ("22003", "SEQUENCE SET")):
        return _narrow_sequence()
    if state == "22023":
        return _wrong_value(failure, place)
    if state == "53100":
        return Help(hint="Free space where the server keeps its data, then run the restore again.")
    if state in ("58P01", "0A000"):
        return _not_installed(state, place)
    if state[:2] == "23":
        return _broken_rule(failure, place)
    if state not in ("42501", "42704") or facts is None:
        return Help()
    with suppress(SnapError):
        known = facts()
        explain = _no_right if state == "42501" else _no_role
        return explain(failure, place, known)
    return Help()


def _undefined(failure: PsqlFailure) -> Help:
    """Explain an unqualified name: pg_dump qualifies every name, so this one is in a function's
    body."""
    found = (_CALLED if failure.sqlstate == "42883" else _QUOTED).search(failure.message)
    if found is None:
        return Help()
    if "." not in found[1]:
        return Help(
            hint="A dump is loaded with an empty search_path, so a function that names another"
            " function, a table or a type without its schema fails in an index, a constraint or a"
            " view. In the source database give the function its own path (ALTER FUNCTION ... SET"
            " search_path = ...), or, where it belongs to an extension, use a function of your own"
            " that has one and calls it; then commit again."
        )
    if not failure.context:
        return Help()
    return Help(
        detail="A function that is called here names it in its body. pg_dump does not look into"
        " bodies, so it may well make it later.",
        hint="In the source database let that function need no other object (a trigger or a default"
        " may), then commit again, and prove it: snap drill",
    )


def _wrong_value(failure: PsqlFailure, place: Place) -> Help:
    if place.type == "SECURITY LABEL":
        return Help(
            hint="Let the server load the provider of the labels (shared_preload_libraries or"
            " session_preload_libraries)."
        )
    names = _QUOTED.findall(failure.message)
    if names[:1] == ["default_tablespace"]:
        return Help(hint="Make the tablespace; snap cat REV --section globals shows it.")
    return Help()


def _not_installed(state: str, place: Place) -> Help:
    if place.type == "EXTENSION":
        return Help(hint="Install the extension's files on the server, then run the restore again.")
    if state == "58P01" and place.type in ("FUNCTION", "PROCEDURE"):
        return Help(hint="Install that library on the server, then run the restore again.")
    return Help()


def _broken_rule(failure: PsqlFailure, place: Place) -> Help:
    """Explain rows that violate a rule, though the source database held them."""
    if _is_of_rows(place):
        if failure.sqlstate != "23514":
            return Help()
        # A check constraint is named after its table; a partition's bounds have no name.
        if place.section and _QUOTED.findall(failure.message) == [place.section.name]:
            return Help(
                detail="What is hashed or compared to find a row's partition comes out otherwise"
                " on this server: it depends on its version, its locales or an extension.",
                hint="Let the partitioned table find the partition, and restore that snapshot:"
                " pg_dump --load-via-partition-root | snap commit -m TEXT --file -",
            )
        return Help(
            detail="The row was let in once. A check may look at its own row alone: other tables"
            " are loaded one after another, and time goes on.",
            hint="In the source database add that constraint again as NOT VALID (so it is loaded"
            " behind the rows), or make it a trigger; then commit again.",
        )
    if place.type not in _OF_ROWS:
        return Help()
    return Help(
        detail="The snapshot's own rows break it: the source database holds them all the same"
        " (triggers were off as they were written, an index is damaged, or the order of text has"
        " changed).",
        hint="In the source database drop what is named here and make it again: it fails there"
        " too and names the rows. Mend them, then commit again.",
    )


def _is_of_rows(place: Place) -> bool:
    return place.section is not None and place.section.kind is SectionKind.DATA


def _masked(masks: str) -> Help:
    return Help(
        detail="The rows were masked: values that took the place of others may not be let in.",
        hint=f"Look at what {masks} says of the columns that are named here.",
    )


def _no_right(failure: PsqlFailure, place: Place, facts: Facts) -> Help:
    if not facts.is_superuser:
        return Help(
            hint="Connect as a superuser. Any other role must be a member of every owner in the"
            " snapshot, and these must be members of the owners of their schemas (docs/roles.md)."
        )
    if not place.grantor or place.type not in _RIGHTS:
        return Help()
    told = f"{place.grantor} granted this right, and may not any more:"
    if place.schema and place.schema in failure.message:
        return Help(
            detail=f"{told} it has lost USAGE on the schema {place.schema}.",
            hint=f"In the source database: GRANT USAGE ON SCHEMA {ident(place.schema)} TO"
            f" {place.grantor}; then commit again. Or let the owner grant it instead.",
        )
    return Help(
        detail=f"{told} it has lost a right that it needs for that.",
        hint="In the source database let the owner grant it instead, then commit again.",
    )


def _no_role(failure: PsqlFailure, place: Place, facts: Facts) -> Help:
    """Explain a missing role: 42704 is also raised for types, collations and more, but at a GRANT
    everything except the roles already exists."""
    missing = [name for name in _QUOTED.findall(failure.message) if name not in facts.roles]
    if place.type not in _RIGHTS or not missing:
        return Help()
    return Help(hint=f"Make the role first: CREATE ROLE {ident(missing[0])};")


def _narrow_sequence() -> Help:
    return Help(
        detail="In the source database the sequence has a wider type than its identity column,"
        " which pg_dump does not say.",
        hint="In the source database give the two the same type (ALTER TABLE ... ALTER COLUMN ..."
        " TYPE integer, or ALTER SEQUENCE ... AS smallint), then commit again.",
    )
