"""One table's part of a dump: extracting its definitions, and renaming them.

pg_dump writes every name with its schema, in definitions and in ``nextval('…'::regclass)``. So a
table, its sequences and statistics are renamed by replacing their qualified names, but not in
strings or in comments' texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from pgsnap.dump.definitions.ddl import DdlEntry, ddl_entries
from pgsnap.patterns import regex
from pgsnap.values import dataclass

TableName: TypeAlias = "tuple[str, str]"
"""Schema and name; also of a sequence or of statistics."""

# Letters, digits, "_", "$" and all that is not ASCII, said by what they are not: a set of so many
# characters takes long to compile.
_FIRST = r"[^\x00-\x40\x5b-\x5e\x60\x7b-\x7f]"
_FURTHER = r"[^\x00-\x23\x25-\x2f\x3a-\x40\x5b-\x5e\x60\x7b-\x7f]"
_WORD = rf'(?:"(?:[^"]|"")+"|{_FIRST}{_FURTHER}*)'
_CHAIN = rf"{_WORD}(?:\.{_WORD})*"
_TOKEN = regex(
    r"(?P<escaped>(?<![A-Za-z0-9_$])[eE]'(?:[^'\\]|\\.|'')*')"
    r"|(?P<text>'(?:[^']|'')*')(?P<cast>::(?:pg_catalog\.)?regclass\b)?"
    rf"|(?P<chain>{_CHAIN})",
    re.S,
)
_INHERITS = regex(r"^INHERITS \(", re.M)
_PARTITIONED = regex(r"^PARTITION BY (RANGE|LIST|HASH) \(", re.M)
# What a comment may be on, besides tables and columns, which the first two names identify.
_COMMENT_ON_PART = regex(
    rf"COMMENT ON (?:CONSTRAINT|TRIGGER|POLICY|RULE) {_WORD} ON ({_CHAIN}) IS "
)
_ABOUT_OWN = regex(
    rf"(?:COMMENT|SECURITY LABEL FOR {_WORD}) ON (?:INDEX|SEQUENCE|STATISTICS) ({_CHAIN}) IS "
)
_CREATE_INDEX = regex(rf"CREATE (?:UNIQUE )?INDEX ({_WORD}) ON ")
_CONSTRAINT = regex(rf"\s+ADD CONSTRAINT ({_WORD}) ")
_ON_SEQUENCE = regex(rf"(?:GRANT|REVOKE) [^\n]*? ON SEQUENCE ({_CHAIN}) (?:TO|FROM) ")
_REFERENCES = regex(rf" REFERENCES ({_CHAIN})\(")
_SEQUENCE_NAME = regex(rf"^\s+SEQUENCE NAME ({_CHAIN})$", re.M)
_OWNER = regex(r"^ALTER [A-Z ]+ \S.* OWNER TO .+;$", re.M)
_OWNED = regex(rf" OWNER TO ({_WORD});\s*\Z")
_TABLES = ("TABLE", "FOREIGN TABLE")
# Types of entries with a tablespace or an access method.
_PLACED = ("TABLE", "INDEX", "CONSTRAINT")
_AFTER_ROWS = (
    *("CONSTRAINT", "CHECK CONSTRAINT", "INDEX", "TRIGGER", "RULE", "POLICY", "ROW SECURITY"),
    *("STATISTICS", "ACL", "COMMENT", "SECURITY LABEL"),
)


# Types of entries for which it must be known whether they belong to a table.
_PARTS = frozenset((*_AFTER_ROWS, "DEFAULT", "FK CONSTRAINT")) - {
    *("ACL", "COMMENT", "SECURITY LABEL"),
}


@dataclass(frozen=True, slots=True)
class TableParts:
    """The definitions of one table, in the order in which they are to run.

    *first* are its own sequences, which other tables of the restore may use; *before* the rows come
    the table itself and its defaults, *after* them indexes, constraints, triggers, policies,
    comments and labels; *rights* are GRANTs and REVOKEs, *foreign_keys* its own. *owner* is "" if
    the dump does not say. *sequences* are those that belong to its columns, *statistics* its
    extended ones, *indexes* those of constraints too. A partition's *attach* attaches it to its
    parent, and *with_parent* is what else it has only as a partition; both are empty for other
    tables. *obstacle* says why it cannot be created without other tables, "" if it can.
    """

    table: TableName
    first: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    rights: tuple[str, ...]
    owner: str
    foreign_keys: tuple[str, ...]
    sequences: tuple[TableName, ...]
    statistics: tuple[TableName, ...]
    indexes: tuple[TableName, ...]
    attach: tuple[str, ...] = ()
    with_parent: tuple[str, ...] = ()
    obstacle: str = ""

    def holds_rows(self) -> bool:
        """Return whether it has rows of its own: a partitioned table has none."""
        return not any(map(is_partitioned, self.before))

    def is_partitioned_by_hash(self) -> bool:
        found = map(_PARTITIONED.search, self.before)
        return any(match is not None and match[1] == "HASH" for match in found)

    def schemas(self) -> dict[str, None]:
        """Return the schemas of all its named objects, the table's first."""
        return dict.fromkeys(name[0] for name in self._names())

    def names_in(self, staging: Mapping[str, str]) -> dict[TableName, TableName]:
        """Return the names of all its named objects, each with its name in *staging*'s schema."""
        return {name: (staging[name[0]], name[1]) for name in self._names()}

    def texts(self) -> tuple[str, ...]:
        """Return all texts to be run."""
        return (
            *(*self.first, *self.before, *self.attach, *self.after, *self.with_parent),
            *(*self.rights, *self.foreign_keys),
        )

    def _names(self) -> tuple[TableName, ...]:
        return (self.table, *self.sequences, *self.statistics, *self.indexes)


@dataclass(frozen=True, slots=True)
class Definitions:
    """The definitions in a dump: entries before the rows, and those after."""

    pre: tuple[DdlEntry, ...]
    post: tuple[DdlEntry, ...]

    @classmethod
    def read(cls, pre_data: bytes, post_data: bytes, encoding: str) -> Definitions:
        """Return the entries of the sections of definitions."""
        places: dict[bytes, bytes] = {}
        return cls(
            tuple(ddl_entries(pre_data, encoding, places).values()),
            tuple(ddl_entries(post_data, encoding, places).values()),
        )


def is_partitioned(text: str) -> bool:
    """Return whether the definition of a table says that its rows are in partitions."""
    return _PARTITIONED.search(text) is not None


def tables_of(definitions: Definitions) -> tuple[TableName, ...]:
    """Return the tables that a dump creates, including foreign tables, in its order."""
    return tuple(e.table for e in definitions.pre if e.type in _TABLES and e.table is not None)


def table_parts(definitions: Definitions, table: TableName) -> TableParts | None:
    """Return the part of *definitions* for *table*, None if it is not in them."""
    pre, post = definitions.pre, definitions.post
    made = [e for e in pre if e.type in _TABLES and e.table == table]
    if not made:
        return None
    owned = [e for e in pre if e.type == "SEQUENCE OWNED BY" and _owner_in(e.text) == table]
    identity = [e for e in pre if e.type == "SEQUENCE" and _altered(e.text) == table]
    sequences = [_first_qualified(e.text) for e in owned]
    sequences += [_sequence_in(e.text) for e in identity]
    of_sequences = [
        e
        for e in pre
        if e.type == "SEQUENCE" and _first_qualified(e.text) in sequences and e not in identity
    ]
    defaults = [e for e in pre if e.type == "DEFAULT" and e.table == table]
    after = [
        e
        for e in post
        if e.type in _AFTER_ROWS and e.table == table and not _is_of_parents_trigger(e)
    ]
    statistics = tuple(_first_qualified(e.text) for e in after if e.type == "STATISTICS")
    indexes = [(table[0], name) for e in after for name in _index_names(e)]
    own = {*sequences, *statistics, *indexes}
    after += [e for e in (*pre, *post) if e not in after and _is_about(e, table, own)]
    keys = [e for e in post if e.type == "FK CONSTRAINT" and e.table == table]
    attach = [e for e in pre if e.type == "TABLE ATTACH" and attached(e) == table]
    with_parent = [
        e
        for e in post
        if (e.type == "INDEX ATTACH" and attached(e) in indexes)
        or (e.table == table and _is_of_parents_trigger(e))
    ]
    return TableParts(
        table=table,
        first=tuple(e.text for e in of_sequences),
        before=(
            *map(_in_place, (*made, *owned, *identity, *defaults)),
            *_owner_by_session(made[0]),
        ),
        after=tuple(_in_place(e) for e in after if e.type != "ACL"),
        rights=tuple(e.text for e in after if e.type == "ACL"),
        owner=_owner(made[0]),
        foreign_keys=tuple(e.text for e in keys),
        sequences=tuple(sequences),
        statistics=statistics,
        indexes=tuple(indexes),
        attach=tuple(e.text for e in attach),
        with_parent=tuple(e.text for e in with_parent),
        obstacle=_obstacle(made[0]) or _unclear(definitions, table),
    )


def attached(entry: DdlEntry) -> TableName:
    """Return the table or index that an entry attaches as a partition."""
    names = qualified_names(entry.text)
    return names[1] if len(names) > 1 else (entry.schema, entry.name)


def with_names(text: str, names: Mapping[TableName, TableName]) -> str:
    """Return *text* with the qualified names *names* replaced, but not in strings or comments."""

    def replaced(match: re.Match[str]) -> str:
        if match["chain"]:
            return _renamed(match["chain"], names)
        if match["text"] and match["cast"]:
            inner = match["text"][1:-1].replace("''", "'")
            return "'" + _renamed(inner, names).replace("'", "''") + "'" + match["cast"]
        return match[0]

    return _TOKEN.sub(replaced, text)


def quoted(name: TableName) -> str:
    """Return a qualified name as SQL, always in quotes."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name)


def parse_name(text: str) -> TableName | None:
    """Return the table that a user names as ``schema.table`` or ``table`` (then in public), by
    PostgreSQL's rules for quotes and case; None if it is not a name."""
    if re.fullmatch(_CHAIN, text) is None:
        return None
    words = [
        word if raw.startswith('"') else word.lower()
        for raw, word in zip(re.findall(_WORD, text), _words(text), strict=True)
    ]
    if len(words) > 2:
        return None
    return (words[0], words[1]) if len(words) == 2 else ("public", words[0])


def qualified_names(text: str) -> list[TableName]:
    """Return the qualified names in SQL, but not those in strings or comments."""
    return [(words[0], words[1]) for words in _qualified(text)]


def without_owner(text: str) -> str:
    """Return the text of an entry without the ``ALTER … OWNER TO`` at its end."""
    last = text.rstrip().rpartition("\n")[2]
    if _OWNER.fullmatch(last) is None:
        return text
    return text.rstrip().removesuffix(last)


def _owner(made: DdlEntry) -> str:
    """Return a table's owner; not from the header, where names have spaces for line ends."""
    match = _OWNED.search(made.text)
    return _words(match[1])[0] if match is not None else made.owner


def _owner_by_session(made: DdlEntry) -> tuple[str, ...]:
    """Return the statement that sets a table's owner if the dump creates it in a session of the
    owner (--use-set-session-authorization) instead of altering the owner afterwards."""
    if not made.owner or made.table is None or _OWNED.search(made.text) is not None:
        return ()
    kind = "FOREIGN TABLE" if made.type == "FOREIGN TABLE" else "TABLE"
    owner = '"' + made.owner.replace('"', '""') + '"'
    return (f"ALTER {kind} {quoted(made.table)} OWNER TO {owner};",)


def _in_place(entry: DdlEntry) -> str:
    """Return the text of an entry, preceded by its tablespace and access method settings."""
    if not entry.place or entry.type not in _PLACED:
        return entry.text
    return f"{entry.place}\n{entry.text}"


def _renamed(chain: str, names: Mapping[TableName, TableName]) -> str:
    words = _words(chain)
    new = names.get((words[0], words[1])) if len(words) > 1 else None
    if new is None:
        return chain
    rest = re.findall(_WORD, chain)[2:]
    return ".".join((quoted(new), *rest))


def _words(chain: str) -> list[str]:
    return [
        word[1:-1].replace('""', '"') if word.startswith('"') else word
        for word in re.findall(_WORD, chain)
    ]


def _qualified(text: str) -> Iterator[list[str]]:
    for match in _TOKEN.finditer(text):
        words = _words(match["chain"]) if match["chain"] else []
        if len(words) > 1:
            yield words


def _first_qualified(text: str) -> TableName:
    for words in _qualified(text):
        return words[0], words[1]
    return "", ""


def _sequence_in(text: str) -> TableName:
    """Return the sequence of an identity column."""
    match = _SEQUENCE_NAME.search(text)
    return _first_qualified(match[1]) if match is not None else ("", "")


def _owner_in(text: str) -> TableName:
    """Return the table in ``ALTER SEQUENCE s.q OWNED BY s.t.c``."""
    for words in _qualified(text):
        if len(words) == 3:
            return words[0], words[1]
    return "", ""


def _altered(text: str) -> TableName:
    return _first_qualified(text) if text.startswith("ALTER TABLE ") else ("", "")


def _index_names(entry: DdlEntry) -> Iterator[str]:
    pattern = {"INDEX": _CREATE_INDEX, "CONSTRAINT": _CONSTRAINT}.get(entry.type)
    match = pattern.search(entry.text) if pattern is not None else None
    if match is not None:
        yield _words(match[1])[0]


def _is_about(entry: DdlEntry, table: TableName, own: set[TableName]) -> bool:
    """Return whether a comment, label or right is about a part of the table."""
    if entry.type == "ACL":
        match = _ON_SEQUENCE.match(entry.text)
        return match is not None and _first_qualified(match[1]) in own
    if entry.type not in ("COMMENT", "SECURITY LABEL"):
        return False
    if entry.table == table:
        return True
    if (match := _COMMENT_ON_PART.match(entry.text)) is not None:
        return _first_qualified(match[1]) == table
    match = _ABOUT_OWN.match(entry.text)
    return match is not None and _first_qualified(match[1]) in own


def _is_of_parents_trigger(entry: DdlEntry) -> bool:
    """Return whether a partition's entry only enables or disables its parent's trigger."""
    return entry.type == "TRIGGER" and entry.text.startswith("ALTER TABLE ")


def _obstacle(made: DdlEntry) -> str:
    if made.type == "FOREIGN TABLE":
        return "it is a foreign table: its rows are elsewhere"
    if _INHERITS.search(made.text):
        return "it inherits from another table"
    return ""


def _unclear(definitions: Definitions, table: TableName) -> str:
    """Return a phrase for an entry of which it is unclear whether it is part of the table, else
    ""."""
    for entry in (*definitions.pre, *definitions.post):
        if entry.type in _PARTS and entry.table is None and table in qualified_names(entry.text):
            return f"it cannot be known whether {entry.title} belongs to it"
    return ""


def altered_table(text: str) -> TableName:
    """Return the table of an ALTER TABLE, ("", "") if there is no qualified name in it."""
    return _first_qualified(text)


def foreign_key_ends(text: str) -> tuple[TableName, ...]:
    """Return the table of a foreign key and the table it references."""
    match = _REFERENCES.search(text)
    if match is None:
        return ()
    return _first_qualified(text[text.index("ALTER TABLE ") :]), _first_qualified(match[1])
