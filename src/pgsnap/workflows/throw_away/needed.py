"""Finds out which tables a query reads, from its words alone, before anything is loaded.

A query can name a table only by its name. So each table whose name is among the query's words, or
among those of a view that it names, is needed; some too many do no harm. What may read a table
without naming it makes all of them needed: functions, operators and casts of the database and of
its extensions, and built-in functions that run SQL or look at the storage.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pgsnap.dump.definitions.ddl import DdlEntry
from pgsnap.dump.definitions.table_parts import Definitions, TableName, tables_of
from pgsnap.errors import QueryFailed
from pgsnap.model import SectionKind, Snapshot
from pgsnap.patterns import regex
from pgsnap.repository.repository import Repository
from pgsnap.sessions.base import Session
from pgsnap.values import dataclass
from pgsnap.workflows.contents.table_names import read_definitions

# Words as PostgreSQL reads them, but also in strings and comments.
_WORD = regex(
    r"[^\x00-\x40\x5b-\x5e\x60\x7b-\x7f][^\x00-\x23\x25-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]*"
)
_CALLED = regex(rf'({_WORD.pattern}|")\s*\(')
_VIEWS = ("VIEW", "MATERIALIZED VIEW")
# Each of these may run any SQL, or is called by what does not name it.
_CODE = ("FUNCTION", "PROCEDURE", "AGGREGATE", "DOMAIN")
_UNNAMED_CODE = ("OPERATOR", "CAST")
# Built-in functions that are given a query or a table as a text, and large objects.
_READ_ANYTHING = regex(
    r"(?:query|table|schema|database|cursor)_to_xml.*|ts_stat|ts_rewrite|lo_.*|loread|lowrite"
)
# The catalogs, which say how many rows and pages there are, and functions that look at the same.
_CATALOGS = regex(r"pg_.*|information_schema")
_HARMLESS = frozenset({"pg_catalog", "pg_typeof"})
_EVERYWHERE = "plpgsql"


@dataclass(frozen=True, slots=True)
class Needed:
    """The tables that a query reads; empty: all of them, for the reason *why_all*."""

    tables: tuple[TableName, ...]
    why_all: str = ""


def needed_tables(repo: Repository, snapshot: Snapshot, session: Session, sql: str) -> Needed:
    """Return which tables of *snapshot* the query *sql* needs. *session* is one of any server of
    its version, which knows the built-in functions."""
    definitions = read_definitions(repo, snapshot)
    words = _Words(sql)
    texts = [words, *_views_named(definitions, words)]
    for each in texts:
        if why := _in_doubt(definitions, each, session):
            return Needed((), why)
    sizes: dict[TableName, int] = dict.fromkeys(tables_of(definitions), 0)
    for section in repo.sections(snapshot):
        if section.name.kind is SectionKind.DATA:
            table = section.name.schema, section.name.name
            sizes[table] = sizes.get(table, 0) + section.plain_bytes
    found = [table for table in sizes if any(each.has(table[1]) for each in texts)]
    if not found and sizes:
        # No table at all is needed; the least that can be loaded is the smallest.
        found = [min(sizes, key=lambda table: sizes[table])]
    return Needed(tuple(found))


def read_besides(session: Session, sql: str, loaded: Iterable[TableName]) -> tuple[TableName, ...]:
    """Return the tables that the server would read for *sql*, without those *loaded*, according to
    its plan. *session* is connected to the loaded database."""
    # A second statement in *sql*, or a function that the planner calls, must change nothing.
    session.execute("SET default_transaction_read_only = on")
    try:
        # With the search path that the database gives its sessions.
        rows = session.query(f"RESET search_path; EXPLAIN (VERBOSE, FORMAT JSON) {sql}")
        plan = json.loads("\n".join(row[0] or "" for row in rows))
    except (QueryFailed, ValueError):
        # It is the query's own error, or no statement that has a plan.
        return ()
    return tuple(sorted(set(_relations(plan)) - set(loaded)))


def _relations(plan: Any) -> Iterator[TableName]:
    if isinstance(plan, dict):
        if "Relation Name" in plan:
            yield str(plan.get("Schema")), str(plan["Relation Name"])
        plan = list(plan.values())
    if isinstance(plan, list):
        for part in plan:
            yield from _relations(part)


class _Words:
    """A text of SQL, by the words in it."""

    def __init__(self, text: str) -> None:
        self._text = text.lower()
        self.all = frozenset(_WORD.findall(self._text))
        self.called = frozenset(word.strip() for word in _CALLED.findall(self._text))

    def has(self, name: str) -> bool:
        """Return whether something named *name* may be meant."""
        name = name.lower()
        if _WORD.fullmatch(name):
            return name in self.all
        return name.replace('"', '""') in self._text

    @property
    def has_escapes(self) -> bool:
        return 'u&"' in self._text


def _views_named(definitions: Definitions, words: _Words) -> list[_Words]:
    """Return the texts of the views that *words* name, and of those that these name."""
    left = [entry for entry in definitions.pre if entry.type in _VIEWS]
    found: list[_Words] = []
    at = [words]
    while at:
        named = [entry for entry in left if any(each.has(entry.name) for each in at)]
        left = [entry for entry in left if entry not in named]
        at = [_Words(entry.text) for entry in named]
        found += at
    return found


def _in_doubt(definitions: Definitions, words: _Words, session: Session) -> str:
    """Return why the tables of a text cannot be known from its words, "" if they can."""
    if words.has_escapes:
        return "it writes a name with escapes"
    for word in sorted(words.all):
        if _READ_ANYTHING.fullmatch(word):
            return f"{word} may read any of them"
        if _CATALOGS.fullmatch(word) and word not in _HARMLESS:
            return f"{word} looks at all of them"
    for entry in (*definitions.pre, *definitions.post):
        if entry.type in _CODE and words.has(_plain_name(entry)):
            return f"{entry.type.lower()} {entry.schema}.{_plain_name(entry)} may read any of them"
        if entry.type in _UNNAMED_CODE:
            return f"the database has {entry.type.lower()}s of its own, which may read any of them"
        if entry.type == "RULE" and entry.name.endswith(" _RETURN"):
            return "the database has views that depend on each other"
    extensions = {entry.name for entry in definitions.pre if entry.type == "EXTENSION"}
    if extensions - {_EVERYWHERE}:
        for word in sorted(words.called - _built_in(session)):
            return f"{word} may be a function of an extension, which may read any of them"
    return ""


def _plain_name(entry: DdlEntry) -> str:
    """Return the name of a function without its arguments."""
    return entry.name.partition("(")[0]


def _built_in(session: Session) -> frozenset[str]:
    """Return the words that may precede a parenthesis on any server of this version."""
    rows = session.query(
        "SELECT proname FROM pg_catalog.pg_proc WHERE oid < 16384"
        " UNION SELECT typname FROM pg_catalog.pg_type WHERE oid < 16384"
        " UNION SELECT word FROM pg_catalog.pg_get_keywords()"
    )
    return frozenset(name or "" for (name,) in rows)
