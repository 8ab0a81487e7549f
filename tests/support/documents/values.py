"""The values of the examples of stored forms, and others that tests begin with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from blake3 import blake3

from pgsnap.model import (
    ChangeWay,
    DatabaseProperties,
    Extension,
    FullRead,
    Origin,
    Reading,
    ReadMode,
    RecipeRoot,
    Section,
    SectionKind,
    SectionName,
    Segment,
    ServerInfo,
    Setting,
    Snapshot,
    SourceKind,
    VolatileKind,
    VolatileLine,
)
from pgsnap.model.baseline import Baseline, Mark, TableState

TIME = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def a_hash(word: str) -> bytes:
    return blake3(word.encode()).digest()


BASELINE = Baseline(
    system_identifier="7123456789012345678",
    timeline=2,
    version_num=170011,
    database_oid=16384,
    base=0x1_0000_0028,
    boundary=0x1_0000_1000,
    marks=(Mark(0x1_0000_0028, 742), Mark(0x1_0000_0F00, 2**32 + 760)),
    proof=((2**32 + 770, True), (2**32 + 771, False)),
    settings=a_hash("settings")[:16],
    fingerprint=a_hash("fingerprint")[:16],
    globals_fingerprint=a_hash("globals")[:16],
    tables=(
        TableState(16385, "Sales é", "o", 16390, 1663, 44_252, bytes(16), a_hash("t")[:16]),
        TableState(16391, "public", "", 16391, 1663, 0, bytes(16), bytes(16), "it is unlogged"),
    ),
)

NAME = SectionName(SectionKind.DATA, "Sales é", "order.items", 2)

SECTION = Section(
    name=NAME,
    plain_bytes=70_000,
    lines=702,
    digest=a_hash("section"),
    segments=(
        Segment(RecipeRoot(a_hash("one"), 0, 30_000, 300)),
        Segment(RecipeRoot(a_hash("two"), 1, 40_000, 402)),
    ),
    rows=698,
    head_bytes=80,
    tail_bytes=5,
)
SECTION_3 = replace(
    SECTION,
    leaf_digest=a_hash("leaves"),
    leaves=RecipeRoot(a_hash("list of leaves"), 0, 120, 1),
    block_map=RecipeRoot(a_hash("block map"), 1, 8_000_000, 40),
    baseline=RecipeRoot(a_hash("baseline"), 0, 900, 0),
)
PRE_DATA = Section(
    SectionName(SectionKind.PRE_DATA), 12, 1, a_hash("pre"), (Segment(RecipeRoot(None, 0, 0, 0)),)
)

ORIGIN = Origin(
    kind=SourceKind.POSTGRES,
    tool="pg_dump (PostgreSQL) 15.18",
    server=ServerInfo(150018, "15.18 (Debian)", "7300000000000000001", 3, "0/1A2B3C", 16384),
    properties=DatabaseProperties(
        name="shop",
        owner="app",
        encoding="UTF8",
        lc_collate="C.UTF-8",
        lc_ctype="C.UTF-8",
        comment="Ünïcode \udcff",
        acl=("app=CTc/app", "=Tc/app"),
        settings=(Setting("work_mem", "64MB"), Setting("search_path", "a, b", "app")),
        extensions=(Extension("pgcrypto", "1.3", "public"),),
        roles=("app", "read only"),
        size_bytes=123_456_789,
    ),
    owners=("app",),
    globals_status="full",
    host="db.example",
    client_encoding="UTF8",
)

SNAPSHOT = Snapshot(
    database="shop",
    time=TIME,
    message="before the migration – größer",
    parent=a_hash("parent"),
    root=a_hash("root"),
    leaf_root=None,
    globals_root=a_hash("globals"),
    sections_recipe=RecipeRoot(a_hash("sections"), 0, 1234, 9),
    section_count=9,
    table_count=4,
    plain_bytes=123_456,
    rows=1_000,
    stored_bytes=4_321,
    duration_ms=1_500,
    origin=ORIGIN,
    volatile=(
        VolatileLine(
            SectionName(SectionKind.PREAMBLE), 7, VolatileKind.RESTRICT, b"\\restrict aKey\n"
        ),
        VolatileLine(NAME, 0, VolatileKind.VERSION, b"-- Dumped by pg_dump version 15.18\n"),
    ),
    wished_tags=("pre-migration", "+release"),
    creator="me@here snap 0.1.0",
)

SNAPSHOT_2 = replace(
    SNAPSHOT,
    extension_sequences_root=a_hash("extension sequences"),
    statistics_root=a_hash("statistics"),
)

READING = Reading(
    ReadMode.CHANGED,
    ChangeWay.SUMMARIES,
    120,
    44_252,
    (FullRead("public", "orders", "its file was replaced"),),
    1,
)
SNAPSHOT_3 = replace(
    SNAPSHOT_2,
    alias=a_hash("alias"),
    alias_parent=a_hash("its parent"),
    leaf_root=a_hash("leaf root"),
    reading=READING,
)
SNAPSHOT_STEMS = replace(SNAPSHOT_3, stems_from=a_hash("put back"))
