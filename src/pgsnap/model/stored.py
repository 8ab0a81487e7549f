"""What is stored: chunks, frames, recipes, sections, snapshots, tags, notes, the config."""

from __future__ import annotations

import enum
from dataclasses import field
from datetime import datetime
from typing import Any, TypeAlias

from pgsnap.model.dump import SectionName, VolatileLine
from pgsnap.model.origin import Origin
from pgsnap.model.reading import Reading
from pgsnap.values import dataclass

ChunkId: TypeAlias = bytes
"""Name of a chunk's plaintext (`Naming`): its BLAKE3-256, keyed if it is encrypted."""
PackId: TypeAlias = bytes
"""BLAKE3-256 of a pack's bytes."""
SnapshotId: TypeAlias = bytes
"""Name of a manifest's bytes, likewise."""
Digest: TypeAlias = bytes
"""BLAKE3-256 of any other byte stream."""

HASH_BYTES = 32


class Codec(enum.IntEnum):
    """How a frame is decoded to a chunk. Stored: never change one."""

    RAW = 0
    ZSTD = 1
    ZSTD_DELTA = 2
    """zstd with the base chunk as raw-content prefix."""
    EDITS = 3
    """A list of edits of the base chunk. Version 0.1 does not know it."""


DELTAS = frozenset({Codec.ZSTD_DELTA, Codec.EDITS})
"""The codecs that need a base."""


class Cipher(enum.IntEnum):
    """How a frame is encrypted. Stored: never change one."""

    NONE = 0
    AES_256_GCM = 1


class ChunkKind(enum.IntEnum):
    """What a chunk is part of. Stored: never change one."""

    DATA = 0
    RECIPE = 1
    """A node of a recipe tree."""
    SECTIONS = 2
    """A piece of a snapshot's section table."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A chunk as stored, without its location.

    A delta (*base* is set) is decoded only against a frame of its base with a smaller *depth*.
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
class PackSeal:
    """What the key of a sealed pack is derived from, beside a secret: the number of the master key
    that was the newest, and a random salt of the pack's own."""

    epoch: int
    salt: bytes


@dataclass(frozen=True, slots=True)
class Location:
    """Where a frame is stored, and the frame itself. *seal* is its pack's, None if that is not
    sealed."""

    pack: PackId
    offset: int
    frame: Frame
    seal: PackSeal | None = None


@dataclass(frozen=True, slots=True)
class RecipeRoot:
    """The root of a tree of chunks.

    At *level* 0 *chunk* names the data chunk itself; above, a node whose children are one level
    lower. *plain_bytes* and *lines* (line ends) are the totals of the data under it. An empty
    recipe has no chunk.
    """

    chunk: ChunkId | None
    level: int
    plain_bytes: int
    lines: int


EMPTY_RECIPE = RecipeRoot(chunk=None, level=0, plain_bytes=0, lines=0)


@dataclass(frozen=True, slots=True)
class RecipeEntry:
    """One child of a recipe node. *sketch* serves to find similar chunks; empty if it has none."""

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

    *digest* is the BLAKE3 of its bytes, None if only the changed blocks of a table were read.
    *leaf_digest* is that of its tree of leaves (docs/format.md, "Leaf digests"), None in snapshots
    of older versions; they are equal if there is but one leaf. *rows* is None if they cannot be
    counted (not a COPY section). *head_bytes* and *tail_bytes* enclose the rows, see `SectionEnd`.

    The others are side streams, which the dump does not need: the list of leaves, the `BlockMap`,
    and (of the last section only) what was known about the server, for the next commit.
    """

    name: SectionName
    plain_bytes: int
    lines: int
    digest: Digest | None
    segments: tuple[Segment, ...]
    rows: int | None = None
    head_bytes: int = 0
    tail_bytes: int = 0
    leaf_digest: Digest | None = None
    leaves: RecipeRoot | None = None
    block_map: RecipeRoot | None = None
    baseline: RecipeRoot | None = None

    @property
    def any_digest(self) -> Digest:
        """The digest, or the leaf digest where there is no other."""
        found = self.digest if self.digest is not None else self.leaf_digest
        assert found is not None
        return found

    @property
    def recipes(self) -> list[RecipeRoot]:
        """The recipes of its bytes, which a restore needs."""
        return [segment.recipe for segment in self.segments]

    @property
    def side_streams(self) -> list[RecipeRoot]:
        return [one for one in (self.leaves, self.block_map, self.baseline) if one is not None]


@dataclass(frozen=True, slots=True)
class SnapshotHead:
    """The part of a manifest that lists of snapshots and retention need: without the origin and
    what only few commands need, so that tens of thousands are read in a second.

    *root* and *leaf_root* name the contents: equal ones mean equal contents (docs/format.md, "Root
    hashes"). At least one of them is there (`model.equality`).
    *sections_recipe* is the recipe of the section table. *stored_bytes* is by how much the packs
    grew. *stems_from* is the snapshot that a restore or an undo put back into the database since
    its *parent*, None if none did or that is not known; for a copy it is the original's.
    """

    database: str
    time: datetime
    message: str
    parent: SnapshotId | None
    root: Digest | None
    leaf_root: Digest | None
    sections_recipe: RecipeRoot
    table_count: int
    plain_bytes: int
    rows: int
    stored_bytes: int
    duration_ms: int
    stems_from: SnapshotId | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Snapshot(SnapshotHead):
    """An immutable record of a database's contents. Its id is the hash of its encoded bytes.

    The other roots name what *root* does not cover, None if the snapshot has no such contents.
    *wished_tags* are the tags that its commit requested, with a "+" before those to be moved.
    A copy from a repository with other keys has another id than its original: *alias* is the
    original's, and *alias_parent* is the parent that the original names, if that is not *parent*.
    *reading* is what its commit read, None where that was not recorded.
    """

    globals_root: Digest | None
    section_count: int
    origin: Origin
    volatile: tuple[VolatileLine, ...] = ()
    wished_tags: tuple[str, ...] = ()
    creator: str = ""
    extension_sequences_root: Digest | None = None
    statistics_root: Digest | None = None
    alias: SnapshotId | None = None
    alias_parent: SnapshotId | None = None
    reading: Reading | None = None


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
    "discarded", "put_back", "tables_put_back", "lost",
    "baseline", "shallow". *body* is JSON-like.
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
class Encryption:
    """How a repository is encrypted. *fingerprint* says with whose keys, and reveals none."""

    cipher: Cipher
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class RepositoryConfig:
    """What is fixed when a repository is created."""

    repository_id: str
    created: datetime
    chunker: ChunkerParams
    pack_bytes: int
    zstd_level: int
    encryption: Encryption | None = None
    """None: nothing is encrypted."""
    tag_generations: bool = False
    """Tags are objects that are only ever created, of which the newest counts."""
    one_writer: bool = False
    """The store honours too few conditions for several writers at a time."""
