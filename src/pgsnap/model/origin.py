"""Where a snapshot came from: the database with what no dump contains, the server, the tool."""

from __future__ import annotations

import enum

from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """One ``ALTER DATABASE … SET`` or ``ALTER ROLE … IN DATABASE … SET``; *role* None: for all."""

    name: str
    value: str
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Extension:
    name: str
    version: str
    schema: str


@dataclass(frozen=True, slots=True)
class ExtensionMember:
    """A table ("table") or sequence ("sequence") of an extension whose contents are in neither the
    dump nor the snapshot; if not *is_known*, it could not be read."""

    extension: str
    schema: str
    name: str
    kind: str
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class DatabaseProperties:
    """Properties of a database that are not in its dump, and what a restore must know.

    *acl* is the array of aclitem texts, None for the built-in default. *roles* are those that own
    or are granted something in the database. *lc_collate*, *lc_ctype*, *locale_provider* ("c", "i",
    "b"), *locale* and *icu_rules* are as pg_database names them; None if the server's version has
    no such column. *lacks_public*: the schema that each new database has was dropped, which no dump
    records.
    """

    name: str
    owner: str
    encoding: str
    lc_collate: str
    lc_ctype: str
    locale_provider: str = "c"
    locale: str | None = None
    icu_rules: str | None = None
    collation_version: str | None = None
    tablespace: str = "pg_default"
    connection_limit: int = -1
    is_template: bool = False
    comment: str | None = None
    acl: tuple[str, ...] | None = None
    settings: tuple[Setting, ...] = ()
    extensions: tuple[Extension, ...] = ()
    roles: tuple[str, ...] = ()
    size_bytes: int = 0
    lacks_public: bool = False


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A server and its position in its history. *version_num* is server_version_num: 150018."""

    version_num: int
    version: str
    system_identifier: str = ""
    timeline: int = 0
    wal_lsn: str = ""
    database_oid: int = 0
    in_recovery: bool = False

    @property
    def plain_identifier(self) -> str:
        """Return the system identifier in ASCII. It is digits; anything else that was written there
        must not break an index."""
        return self.system_identifier.encode("ascii", "backslashreplace").decode("ascii")

    @property
    def major(self) -> int:
        return self.version_num // 10000


class SourceKind(enum.StrEnum):
    """Where a snapshot came from. Stored: never change one."""

    POSTGRES = "postgres"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a snapshot came from.

    *tool* is pg_dump's version line ("pg_dump (PostgreSQL) 15.18"), or what the dump's header says,
    *is_pg_dump* whether it has one, *owners* the owners named by its entries. *globals_status* is
    "full", "without-passwords", or why there are none. *has_meta_commands*: psql commands beyond
    pg_dump's own. *excluded_table_data*, *only_schemas*: the patterns of a partial dump.
    *extension_members* hold what no dump contains. For a file, *part* is what it covers, judging by
    its text: "definitions", "rows", "some-rows", "some-tables", or ""; *lacks_rights*: it has
    functions and grants nothing, as pg_dump -x writes.
    """

    kind: SourceKind
    tool: str = ""
    server: ServerInfo | None = None
    properties: DatabaseProperties | None = None
    is_pg_dump: bool = True
    dump_version: str = ""
    dumped_from: str = ""
    owners: tuple[str, ...] = ()
    globals_status: str = "none"
    host: str = ""
    file_name: str = ""
    client_encoding: str = ""
    has_meta_commands: bool = False
    excluded_table_data: tuple[str, ...] = ()
    only_schemas: tuple[str, ...] = ()
    extension_members: tuple[ExtensionMember, ...] = ()
    part: str = ""
    lacks_rights: bool = False

    @property
    def system_identifier(self) -> str:
        """The identifier of the server it was taken from; empty if unknown."""
        return self.server.plain_identifier if self.server is not None else ""
