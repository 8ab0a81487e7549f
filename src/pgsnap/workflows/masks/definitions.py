"""What of the values of masked columns the definitions hold, which are not masked."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from pgsnap.dump.definitions.ddl import DdlEntry
from pgsnap.dump.definitions.statements import Kind as TokenKind
from pgsnap.dump.definitions.statements import Token, statements
from pgsnap.dump.definitions.table_columns import listed_items
from pgsnap.dump.definitions.table_parts import Definitions, TableName, attached
from pgsnap.masking.events import Masking
from pgsnap.masking.masks import Kind
from pgsnap.model import quote_ident
from pgsnap.patterns import regex
from pgsnap.targets.checks.preflight import Findings, Problem
from pgsnap.words import nearest, some
from pgsnap.workflows.contents.table_names import shown

Masked = dict[TableName, frozenset[str]]
"""The tables with masked columns, and these."""

_NAMED = {
    "VIEW": "views",
    "MATERIALIZED VIEW": "materialized views",
    "RULE": "rules",
    "POLICY": "policies",
    "TRIGGER": "triggers",
    "INDEX": "indexes",
    "STATISTICS": "extended statistics",
    "FUNCTION": "functions",
    "PROCEDURE": "procedures",
    "CONSTRAINT": "exclusion constraints",
    "PUBLICATION TABLE": "publications",
}
_CODE = ("FUNCTION", "PROCEDURE")
# What stands before a body, the names of a library and its function, and the values of settings.
_BEFORE_NO_VALUE = ("AS", "TO", ",")
# What begins and ends a body.
_BODY = regex(r"\A(?:'|\$\w*\$)|(?:'|\$\w*\$)\Z")


def check_definitions(masking: Masking, definitions: Definitions) -> Findings:
    """Return where definitions hold values of masked columns: the bounds of a partition by list and
    the labels of an enum are such values, and forbid the masks; what else there may be is named."""
    masked = _masked(masking)
    findings = _bounds(masking, definitions, masked)
    findings += _labels(masking, masked)
    about = _about(masking, definitions, masked)
    return findings + Findings(warnings=tuple(about))


def _masked(masking: Masking) -> Masked:
    found = {}
    for table, columns in masking.catalog.tables.items():
        rules = masking.rules(table) or {}
        names = {name for name in columns if name in rules and rules[name].kind is not Kind.KEEP}
        if names:
            found[table] = frozenset(names)
    return found


def _bounds(masking: Masking, definitions: Definitions, masked: Masked) -> Findings:
    lists: dict[TableName, list[TableName]] = defaultdict(list)
    ranges: dict[TableName, list[TableName]] = defaultdict(list)
    for entry in definitions.pre:
        if entry.type != "TABLE ATTACH" or entry.table is None:
            continue
        keys = masking.catalog.partition_keys.get(entry.table, frozenset())
        if not keys & masked.get(entry.table, frozenset()):
            continue
        words = [token.text for token in _significant(entry.text)]
        if "VALUES" in words:
            kind = words[words.index("VALUES") + 1]
            kinds = {"IN": lists, "FROM": ranges}
            if kind in kinds:
                kinds[kind][entry.table].append(attached(entry))
    problems, warnings = [], []
    for table, partitions in sorted(lists.items()):
        names = ", ".join(sorted(masking.catalog.partition_keys[table] & masked[table]))
        problems.append(
            Problem(
                f"masked values of {names} of {shown(table)} are in the bounds of partitions:"
                f" {some(list(map(shown, partitions)))}",
                detail="Definitions are not masked: the bounds of a partition by list are values of"
                " the column.",
                hint=f'If they may be seen, write "keep" for {names}.',
            )
        )
    for table, partitions in sorted(ranges.items()):
        names = ", ".join(sorted(masking.catalog.partition_keys[table] & masked[table]))
        warnings.append(
            f"{names} of {shown(table)} is masked, and the bounds of its partitions stay as they"
            f" are: {some(list(map(shown, partitions)))}"
        )
    return Findings(tuple(problems), tuple(warnings))


def _about(masking: Masking, definitions: Definitions, masked: Masked) -> Iterator[str]:
    """Yield what definitions may say about the values of masked columns."""
    defaults, checks, generated = list[str](), list[str](), list[str]()
    kinds = {"DEFAULT": defaults, "CHECK": checks, "GENERATED": generated}
    # Partitions repeat what their table says.
    masked = {t: names for t, names in masked.items() if t not in masking.catalog.parents}
    for entry in definitions.pre:
        if entry.type == "TABLE" and entry.table in masked:
            for column, kind in _literals_in(entry.text, masked[entry.table]):
                kinds[kind].append(f"{column} of {shown(entry.table)}")
    for entry in (*definitions.pre, *definitions.post):
        names = masked.get(entry.table, frozenset()) if entry.table is not None else frozenset()
        if entry.type == "DEFAULT" and entry.table is not None and names:
            column = entry.name.split(" ")[-1]
            if column in names and _has_string(_significant(entry.text)):
                defaults.append(f"{column} of {shown(entry.table)}")
        elif entry.type == "CHECK CONSTRAINT" and entry.table is not None:
            tokens = _significant(entry.text)
            if _has_string(tokens):
                checks += (f"{n} of {shown(entry.table)}" for n in sorted(_words(tokens) & names))
    if defaults:
        yield f"defaults of masked columns stay as they are: {some(_once(defaults))}"
    if checks:
        yield f"CHECK constraints with texts about masked columns stay: {some(_once(checks))}"
    if generated:
        yield f"generated columns with texts about masked columns stay: {some(_once(generated))}"
    if domains := _domains(masking, definitions, masked):
        yield f"domains of masked columns hold texts, which stay: {some(domains)}"
    yield from _objects(definitions, masked)


def _objects(definitions: Definitions, masked: Masked) -> Iterator[str]:
    """Yield the views, functions and others with a text in them that name a masked column."""
    names = frozenset[str]().union(*masked.values())
    found: dict[str, list[str]] = defaultdict(list)
    comments = []
    for entry in (*definitions.pre, *definitions.post):
        if entry.type in _NAMED:
            tokens = _significant(entry.text)
            if _names_with_string(entry, tokens, names):
                found[_NAMED[entry.type]].append(entry.title.removeprefix(f"{entry.type} "))
        elif entry.type == "COMMENT" and entry.name.startswith("COLUMN "):
            words = _significant(entry.text)
            if names & _words(words[: next(_strings_at(words), 0)]):
                comments.append(entry.name.removeprefix("COLUMN "))
    for what, titles in found.items():
        yield f"{what} that name masked columns hold texts, which stay: {some(titles)}"
    if comments:
        yield f"comments on masked columns stay as they are: {some(comments)}"


def _names_with_string(entry: DdlEntry, tokens: list[Token], names: frozenset[str]) -> bool:
    if entry.type in _CODE:
        # The body is a text itself, with texts in it, or follows as it is.
        bodies = [_BODY.sub("", token.text) for token in tokens if token.kind is TokenKind.STRING]
        words = _words([*tokens, *(inner for body in bodies for inner in _significant(body))])
        is_in_body = any("'" in body for body in bodies)
        # As in defaults of parameters, and in bodies that are not texts.
        is_outside = any(
            token.kind is TokenKind.STRING and before.text not in _BEFORE_NO_VALUE
            for before, token in pairwise(tokens)
        )
        return bool(names & words) and (is_in_body or is_outside)
    return bool(names & _words(tokens)) and _has_string(tokens)


def _labels(masking: Masking, masked: Masked) -> Findings:
    """Return the enums of masked columns: all that such a column may hold is in the definition."""
    visible, where = masking.masks.visible_labels, masking.masks.where
    columns: dict[TableName, list[str]] = defaultdict(list)
    for table, names in sorted(masked.items()):
        for name in sorted(names):
            for enum in masking.column(table, name).type.enums:
                columns[enum].append(f"{name} of {shown(table)}")
    told = {enum: f"{shown(enum)} ({some(about)})" for enum, about in sorted(columns.items())}
    refused = [enum for enum in told if enum not in visible]
    problems = []
    if refused:
        accepted = ", ".join(json.dumps(shown(one), ensure_ascii=False) for one in refused)
        problems.append(
            Problem(
                "values of masked columns are the labels of enums:"
                f" {some([told[one] for one in refused])}",
                detail="Definitions are not masked: all that such a column may hold is in them.",
                hint=f"If these may be seen, add them in {where}: visible_labels = [{accepted}]",
            )
        )
    known = {
        enum
        for found in masking.catalog.tables.values()
        for c in found.values()
        for enum in c.type.enums
    }
    for enum in sorted(visible - known):
        guess = nearest(shown(enum), map(shown, sorted(known)))
        problems.append(
            Problem(
                f"{shown(enum)} is in visible_labels, and no column has such an enum",
                hint=f"Was it renamed to {guess}?" if guess else f"Take it out of {where}.",
            )
        )
    seen = [told[one] for one in told if one in visible]
    warnings = [f"the labels of the enums of masked columns stay: {some(seen)}"] if seen else []
    return Findings(tuple(problems), tuple(warnings))


def _domains(masking: Masking, definitions: Definitions, masked: Masked) -> list[str]:
    """Return the domains with texts in their defaults or CHECK constraints that are the types of
    masked columns."""
    columns = [(table, name) for table, names in sorted(masked.items()) for name in sorted(names)]
    types = [masking.column(*one).type.shown.removesuffix("[]") for one in columns]
    found = []
    for entry in definitions.pre:
        domain = f"{quote_ident(entry.schema)}.{quote_ident(entry.name)}"
        if entry.type == "DOMAIN" and domain in types and _has_string(_significant(entry.text)):
            table, name = columns[types.index(domain)]
            found.append(f"{domain} ({name} of {shown(table)})")
    return found


def _literals_in(text: str, names: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield the masked columns with texts in what CREATE TABLE says of them, and whether that is
    their DEFAULT, a CHECK, or how a column is GENERATED."""
    for item in listed_items(text):
        tokens = [token for token in item if token.kind is not TokenKind.SPACE]
        if not tokens or not _has_string(tokens):
            continue
        texts = [token.text for token in tokens]
        first = _name(tokens[0])
        if first in names and "DEFAULT" in texts:
            yield first, "DEFAULT"
            continue
        kind = next((word for word in ("CHECK", "GENERATED") if word in texts), None)
        if kind is not None:
            yield from ((name, kind) for name in sorted(_words(tokens) & names))


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _significant(text: str) -> list[Token]:
    return [t for tokens in statements(text) for t in tokens if t.kind is not TokenKind.SPACE]


def _words(tokens: Iterable[Token]) -> frozenset[str]:
    return frozenset(_name(t) for t in tokens if t.kind in (TokenKind.WORD, TokenKind.NAME))


def _name(token: Token) -> str:
    text = token.text
    return text[1:-1].replace('""', '"') if token.kind is TokenKind.NAME else text


def _has_string(tokens: Iterable[Token]) -> bool:
    return any(True for _ in _strings_at(tokens))


def _strings_at(tokens: Iterable[Token]) -> Iterator[int]:
    for at, token in enumerate(tokens):
        if token.kind is TokenKind.STRING and token.text not in ("''", "'*'"):
            yield at
