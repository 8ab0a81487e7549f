"""The frozen values that rooms hand to each other. No I/O, no encoding, no policy.

Sizes are in bytes, times are aware datetimes in UTC, hashes are 32 raw bytes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

ChunkId: TypeAlias = bytes
"""BLAKE3-256 of a chunk's plaintext."""
PackId: TypeAlias = bytes
"""BLAKE3-256 of a pack's bytes."""
SnapshotId: TypeAlias = bytes
"""BLAKE3-256 of a manifest's bytes."""
Digest: TypeAlias = bytes
"""BLAKE3-256 of any other byte stream."""

HASH_BYTES = 32


class SectionKind(enum.StrEnum):
    """What a section holds. The values are stored: never change one."""

    PREAMBLE = "preamble"
    """What stands before the first entry of the dump: comments and SETs."""
    DATABASE = "database"
    """CREATE/DROP/ALTER DATABASE and ``\\connect`` (pg_dump -C). Never sent by a restore."""
    PRE_DATA = "pre-data"
    DATA = "data"
    """The rows of one table."""
    SEQUENCES = "sequences"
    LARGE_OBJECTS = "large-objects"
    POST_DATA = "post-data"
    TRAILER = "trailer"
    """The end mark of the dump."""
    GLOBALS = "globals"
    """Roles, memberships and tablespaces of the cluster, from pg_dumpall. Not part of the dump."""


@dataclass(frozen=True, slots=True, order=True)
class SectionName:
    """The name of a section: unique within a snapshot.

    *part* counts from 0 where a dump comes back to the same kind, schema and name.
    """

    kind: SectionKind
    schema: str = ""
    name: str = ""
    part: int = 0

    def __str__(self) -> str:
        words = str(self.kind)
        if self.name:
            words += f" {quote_ident(self.schema)}.{quote_ident(self.name)}"
        return f"{words} #{self.part + 1}" if self.part else words


def quote_ident(name: str) -> str:
    """Return *name* as PostgreSQL's quote_ident shows it, without its list of reserved words."""
    plain = name[:1].isalpha() or name[:1] == "_"
    if plain and name.isascii() and name.lower() == name and name.replace("_", "a").isalnum():
        return name
    return '"' + name.replace('"', '""') + '"'


# -- what a dump yields ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SectionStart:
    """The bytes that follow belong to this section."""

    name: SectionName


@dataclass(frozen=True, slots=True)
class SectionEnd:
    """The section that was started last is whole.

    For a section of COPY rows, *head_bytes* and *head_lines* count what stands before the first
    row (comment, COPY statement), *tail_bytes* and *tail_lines* what stands after the last row
    (the ``\\.`` line and blank lines). For all others *is_copy* is false and the four are 0.
    """

    is_copy: bool = False
    head_bytes: int = 0
    head_lines: int = 0
    tail_bytes: int = 0
    tail_lines: int = 0


DumpEvent: TypeAlias = "SectionStart | SectionEnd | bytes"
"""A dump is: (SectionStart, bytes..., SectionEnd)... in the order of its text."""


class VolatileKind(enum.StrEnum):
    """Why a line was taken out of a section's bytes. Stored: never change one."""

    RESTRICT = "restrict"
    """``\\restrict KEY``: put back with a fresh key."""
    UNRESTRICT = "unrestrict"
    """``\\unrestrict KEY``: put back with the same fresh key."""
    VERSION = "version"
    """``-- Dumped from/by ...``: put back as it was."""


@dataclass(frozen=True, slots=True)
class VolatileLine:
    """A line that differs between dumps of an unchanged database.

    *text* is the whole line with its line end; it stood in *section* before the byte at *offset*
    (counted in the section's stored bytes, so without any volatile line).
    """

    section: SectionName
    offset: int
    kind: VolatileKind
    text: bytes


# -- what is stored ----------------------------------------------------------------------------


class Codec(enum.IntEnum):
    """How a frame's bytes become a chunk's. Stored: never change one."""

    RAW = 0
    ZSTD = 1
    ZSTD_DELTA = 2
    """zstd with the base chunk as raw-content prefix (written by later versions, read by all)."""


class Cipher(enum.IntEnum):
    """How a frame is sealed. Stored: never change one."""

    NONE = 0


class ChunkKind(enum.IntEnum):
    """What a chunk is part of. Stored: never change one."""

    DATA = 0
    RECIPE = 1
    """A node of a recipe tree."""
    SECTIONS = 2
    """A piece of a snapshot's section table."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A chunk as stored, without where it lies.

    A delta (*base* is set) is decoded only through a frame of its base whose *depth* is smaller.
    """

    chunk: ChunkId
    kind: ChunkKind
    codec: Codec
    cipher: Cipher
    depth: int
    base: ChunkId | None
    frame_bytes: int
    chunk_bytes: int


@dataclass(frozen=True, slots=True)
class Location:
    """Where a frame lies, and what it is."""

    pack: PackId
    offset: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class RecipeRoot:
    """The root of a tree of chunks.

    At *level* 0 *chunk* names the data chunk itself; at level n a node whose children have level
    n - 1. *plain_bytes* and *lines* (line ends) are the totals of the data under it. The recipe of
    nothing has no chunk.
    """

    chunk: ChunkId | None
    level: int
    plain_bytes: int
    lines: int


EMPTY_RECIPE = RecipeRoot(chunk=None, level=0, plain_bytes=0, lines=0)


@dataclass(frozen=True, slots=True)
class RecipeEntry:
    """One child of a recipe node. *sketch* finds chunks like it; empty where there is none."""

    chunk: ChunkId
    plain_bytes: int
    lines: int
    sketch: bytes = b""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a section that was read in one go. A streamed section has exactly one."""

    recipe: RecipeRoot


@dataclass(frozen=True, slots=True)
class Section:
    """One named byte stream of a snapshot: the concatenation of its segments.

    *digest* is the BLAKE3 of its bytes. *rows* is None where they cannot be counted (it is no
    COPY section). *head_bytes* and *tail_bytes* enclose the rows, see `SectionEnd`.
    """

    name: SectionName
    plain_bytes: int
    lines: int
    digest: Digest
    segments: tuple[Segment, ...]
    rows: int | None = None
    head_bytes: int = 0
    tail_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Setting:
    """One ``ALTER DATABASE … SET`` or ``ALTER ROLE … IN DATABASE … SET``; no role: for all."""

    name: str
    value: str
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Extension:
    name: str
    version: str
    schema: str


@dataclass(frozen=True, slots=True)
class DatabaseProperties:
    """What belongs to a database but is not in its dump, and what a restore must know.

    *acl* is the array of aclitem texts, None for the built-in default. *roles* are those that own
    or are granted something in the database. *lc_collate*, *lc_ctype*, *locale_provider* ("c",
    "i", "b"), *locale* and *icu_rules* are as pg_database names them; None where the server's
    version has no such column.
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


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """Which server, and where in its life. *version_num* is as server_version_num: 150018."""

    version_num: int
    version: str
    system_identifier: str = ""
    timeline: int = 0
    wal_lsn: str = ""
    database_oid: int = 0
    in_recovery: bool = False

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
    *is_pg_dump* whether there was one, *owners* those that its entries name. *globals_status* is
    "full", "without-passwords", or why there are none. *has_meta_commands*: psql commands beyond
    pg_dump's own. *excluded_table_data*, *only_schemas*: the patterns of a dump of a part.
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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An immutable record of a database's contents. Its id is the hash of its encoded bytes.

    *root* names the contents: equal roots mean equal contents (docs/format.md, "Root hash").
    *sections_recipe* is the recipe of the section table. *stored_bytes* is what the packs grew by.
    *wished_tags* are the tags that its commit asked for, with a "+" before those to be moved.
    """

    database: str
    time: datetime
    message: str
    parent: SnapshotId | None
    root: Digest
    globals_root: Digest | None
    sections_recipe: RecipeRoot
    section_count: int
    table_count: int
    plain_bytes: int
    rows: int
    stored_bytes: int
    duration_ms: int
    origin: Origin
    volatile: tuple[VolatileLine, ...] = ()
    wished_tags: tuple[str, ...] = ()
    creator: str = ""


@dataclass(frozen=True, slots=True)
class Tag:
    """A mutable name for a snapshot, within a database label."""

    database: str
    name: str
    snapshot: SnapshotId
    time: datetime


@dataclass(frozen=True, slots=True)
class Note:
    """A small append-only object about a snapshot or a database.

    *kind* is one of "forgotten", "unforgotten", "verdict", "mismatch", "acknowledged", "swapped",
    "discarded". *body* is JSON-like.
    """

    kind: str
    database: str
    time: datetime
    snapshot: SnapshotId | None = None
    body: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChunkerParams:
    """Bounds of data chunks, in bytes. Part of the repository's config."""

    min_bytes: int
    avg_bytes: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class RepositoryConfig:
    """What is fixed when a repository is made."""

    repository_id: str
    created: datetime
    chunker: ChunkerParams
    pack_bytes: int
    zstd_level: int
