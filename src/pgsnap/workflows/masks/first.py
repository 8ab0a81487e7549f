"""A first file of masks for a snapshot: every table and column, with suggestions by their names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from pgsnap.dump.definitions.table_parts import TableName
from pgsnap.masking.catalog import Catalog, Column, Family
from pgsnap.masking.events import Masking
from pgsnap.masking.masks import Masks
from pgsnap.model import SnapshotId
from pgsnap.patterns import regex
from pgsnap.repository.repository import Repository
from pgsnap.workflows.contents.table_names import read_definitions, shown
from pgsnap.workflows.contents.trust import snapshot_to_run
from pgsnap.workflows.masks.plan import columns_of_rows

# What separates the words of a name, as in "Full Name" and fullName.
_BETWEEN = regex(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
# The first that fits is taken.
_FAKES = tuple(
    (regex(rf"(?:^|_)(?:{words})(?:_|$)"), sort)
    for words, sort in (
        ("e_?mail|mail", "email"),
        ("phone|mobile|cell|tel|telephone|fax", "phone"),
        ("first_?name|given_?name|forename|vorname", "first name"),
        ("last_?name|sur_?name|family_?name|nachname", "last name"),
        ("user_?name|login|nick|nick_?name", "username"),
        ("street|address_?line_?\\d?|address_?\\d", "street"),
        ("address|addr|anschrift", "address"),
        ("city|town|ort", "city"),
        ("zip|zip_?code|post_?code|postal_?code|plz", "postcode"),
        ("company|organi[sz]ation|employer", "company"),
        ("name|full_?name|display_?name|contact", "name"),
    )
)
_SECRET = regex(
    r"(?:^|_)(?:token|secret|api_?key|key_?hash|session|session_?id|iban|bic|card|card_?number|ssn"
    r"|tax_?id|vat_?id|passport|licen[cs]e|account_?number|ip|ip_?address|fingerprint)(?:_|$)"
)
_PASSWORD = regex(r"(?:^|_)(?:pass(?:word|wd|phrase)?|pwd|pin|otp|salt)(?:_|$)")
_BIRTH = regex(r"(?:^|_)(?:birth|birthday|birth_?date|date_of_birth|dob|born)(?:_|$)")
_FREE = regex(
    r"(?:^|_)(?:notes?|comments?|remarks?|message|body|text|description|bio|subject|content)(?:_|$)"
)
_MAY_HOLD_ANYTHING = regex(r"(?:jsonb?|xml|bytea|text|.*\..*)(?:\[\])*")
_UNIQUE = {"email", "username"}
_HEAD = """\
# Masks for copies of {label}: what becomes of each column of each table.
#
#     snap mask check {revision} {file}
#     snap restore {revision} --to NEW --mask {file}
#
# Look at every line: these are guesses by the names of columns.
#   "keep"                        as it is
#   "null"                        NULL
#   {{ fixed = "x" }}               the same value for all
#   "hash"                        text, integers, uuid: equal values stay equal, keys still fit
#   {{ fake = "email" }}            made up; also name, phone, address, city, company and others
#   {{ shift = 180, by = "id" }}    dates, by up to so many days, the same for equal values of by
#   {{ json = {{ "a.b" = "null" }} }} values in documents, by their path
#   {{ truncate = 3 }}              the first characters; of dates: "year", "month", "day"

default = "refuse"
# The secret that hash, fake and shift depend on. Not in the repository, not beside the copies.
key_file = {key_file}
large_objects = "leave out"
# Tables that come without rows.
without_rows = []
# Enums whose labels may be seen, though a masked column has them: they are in the definitions.
visible_labels = []
"""


def first_masks(
    repo: Repository, snapshot_id: SnapshotId, revision: str, file: str, key_file: str
) -> str:
    """Return the text of a file of masks for a snapshot. Raises UsageError if its rows cannot be
    masked, CorruptionError, StoreError."""
    snapshot = snapshot_to_run(repo, snapshot_id)
    catalog = Catalog.read(read_definitions(repo, snapshot))
    tables, _ = columns_of_rows(repo, snapshot, catalog)
    first = _First(catalog)
    parts = [
        _HEAD.format(
            label=" ".join(snapshot.database.split()),
            revision=revision,
            file=file,
            key_file=json.dumps(key_file),
        )
    ]
    roots = dict.fromkeys(_listed(catalog, table) for table in tables)
    for table in roots:
        columns = tables.get(table) or tuple(
            column.name for column in catalog.tables[table].values() if not column.is_generated
        )
        parts.append(f"\n[tables.{json.dumps(shown(table), ensure_ascii=False)}]\n")
        parts += first.lines(table, columns)
    return "".join(parts)


def _listed(catalog: Catalog, table: TableName) -> TableName:
    """Return the table that lists the columns of *table*: of a partition the topmost one."""
    return catalog.root(table)


class _First:
    """What is suggested for each column."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._masking = Masking(Masks("", {}), catalog, "")
        self._unique = {
            (key.table, key.columns[0]) for key in catalog.unique if len(key.columns) == 1
        }
        self._bound = _bound(catalog)
        # A suggestion for one column of those that refer to each other is one for all.
        self._hashed = {
            one
            for one, group in self._bound.items()
            if any(self._is_about_people(self._column(*each)) for each in group)
        }

    def lines(self, table: TableName, columns: Iterable[str]) -> Iterator[str]:
        for name in columns:
            column = self._column(table, name)
            mask, why = self._suggested(table, column)
            comment = "  # " + ", ".join(filter(None, (column.type.shown, why)))
            yield f"{json.dumps(name, ensure_ascii=False)} = {mask}{comment.rstrip(' #,')}\n"

    def _column(self, table: TableName, name: str) -> Column:
        return self._masking.column(table, name)

    def _is_about_people(self, column: Column) -> bool:
        name = _words(column.name)
        fits = any(pattern.search(name) for pattern, _ in _FAKES) or _SECRET.search(name)
        return column.type.family is Family.TEXT and bool(fits)

    def _suggested(self, table: TableName, column: Column) -> tuple[str, str]:
        """Return a mask, and what is to be said of it."""
        name, family = _words(column.name), column.type.family
        if (table, column.name) in self._bound:
            if (table, column.name) in self._hashed:
                return '"hash"', "foreign key: the same on both sides"
            return '"keep"', ""
        if family is Family.TEXT:
            return self._of_text(table, column, name)
        if family in (Family.DATE, Family.TIMESTAMP) and _BIRTH.search(name):
            by = next(iter(self._catalog.primary.get(table, ())), column.name)
            return f"{{ shift = 180, by = {json.dumps(by, ensure_ascii=False)} }}", ""
        if family in (Family.INTEGER, Family.UUID) and _SECRET.search(name):
            return '"hash"', ""
        if column.type.enums:
            # Whatever becomes of it, all its values are in the definitions.
            return '"keep"', ""
        if _PASSWORD.search(name) or _SECRET.search(name):
            return ('"keep"', "secret by its name") if column.is_not_null else ('"null"', "")
        is_open = _MAY_HOLD_ANYTHING.fullmatch(column.type.shown) is not None
        return '"keep"', "may hold anything" if is_open else ""

    def _of_text(self, table: TableName, column: Column, name: str) -> tuple[str, str]:
        is_unique = (table, column.name) in self._unique
        if _PASSWORD.search(name):
            return ('"hash"' if is_unique else '{ fixed = "*" }'), ""
        if _SECRET.search(name):
            return '"hash"', ""
        for pattern, sort in _FAKES:
            if pattern.search(name):
                is_long = column.type.width == 0 or column.type.width >= 48
                fits = not is_unique or (sort in _UNIQUE and is_long)
                return (f'{{ fake = "{sort}" }}' if fits else '"hash"'), ""
        return '"keep"', "free text: may hold anything" if _FREE.search(name) else ""


def _words(name: str) -> str:
    """Return the words of a name in lower case, with underscores between them."""
    return _BETWEEN.sub("_", name).lower()


def _bound(catalog: Catalog) -> dict[tuple[TableName, str], set[tuple[TableName, str]]]:
    """Return the columns of foreign keys, each with all that must be masked as it is."""
    groups: dict[tuple[TableName, str], set[tuple[TableName, str]]] = {}
    for key in catalog.foreign:
        for own, other in zip(key.columns, key.referred_columns, strict=False):
            ends = [
                (catalog.root(key.table), own),
                (catalog.root(key.referred), other),
            ]
            joined = {*ends}.union(*(groups.get(end, ()) for end in ends))
            for each in joined:
                groups[each] = joined
    return groups
