"""What a stranger's repository claims costs neither memory nor time: only what it holds does."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from pgsnap.format import pack as pack_format
from pgsnap.format.by_name.origin import encode_origin
from pgsnap.format.envelope import ObjectKind, checksum, head, wrap
from pgsnap.format.manifest import encode_manifest
from pgsnap.format.sections import encode_section
from pgsnap.model import ChunkKind, RecipeEntry, RecipeRoot
from pgsnap.repository.layout import pack_name
from support.faults.hostile import MIB, Hostile, run_measured

# What Python, the modules and the buffers of a sound repository take is some 100 MiB.
PEAK_MIB_MAX = 256
READERS = [("cat", "latest"), ("verify",), ("verify", "--data"), ("diff", "latest", "latest")]


@pytest.fixture
def hostile(tmp_path: Path) -> Hostile:
    return Hostile(tmp_path / "repo")


def refused(path: Path, *command: str, codes: tuple[int, ...] = (60,)) -> None:
    run = run_measured(path, *command)
    assert run.code in codes, run.err[-2000:]
    assert any(word in run.err for word in ("damage", "size", "no snapshots", "not be mended"))
    assert 0 < run.mib <= PEAK_MIB_MAX


@pytest.mark.parametrize("command", READERS[:3], ids=" ".join)
@pytest.mark.parametrize("claimed", [0, 1, 1000])
def test_entries_of_a_recipe_that_claim_to_be_small_are_damage(
    hostile: Hostile, command: tuple[str, ...], claimed: int
) -> None:
    entries = []
    for number in range(60):
        large = bytes([number % 256, number // 256]) * (8 * MIB)
        entries.append(RecipeEntry(hostile.chunk(large), claimed, 0))
    root = RecipeRoot(hostile.node(1, entries), 1, claimed * len(entries), 0)
    hostile.write([hostile.section(root)])
    # Of a manifest that claims too much there is no snapshot.
    refused(hostile.path, *command, codes=(20, 60) if command[0] == "cat" else (60,))


@pytest.mark.parametrize("command", READERS[:3], ids=" ".join)
@pytest.mark.parametrize(("width", "size"), [(64, 1), (1000, 1), (16, 100), (64, 0)])
def test_a_recipe_that_lists_itself_often_ends_as_damage(
    hostile: Hostile, command: tuple[str, ...], width: int, size: int
) -> None:
    plain = b"x" * max(size, 1)
    entry = RecipeEntry(hostile.chunk(plain), size, 0)
    level = 0
    while level < 8 and entry.plain_bytes * width < 2**62:
        level += 1
        node = hostile.node(level, [entry] * width)
        entry = RecipeEntry(node, entry.plain_bytes * width, 0)
    root = RecipeRoot(entry.chunk, level, entry.plain_bytes, 0)
    hostile.write([hostile.section(root)])
    # Of a manifest that claims too much there is no snapshot.
    refused(hostile.path, *command, codes=(20, 60) if command[0] == "cat" else (60,))


@pytest.mark.parametrize("command", [*READERS[:3], ("repair",)], ids=" ".join)
def test_a_recipe_that_lists_a_missing_chunk_often_ends_as_damage(
    hostile: Hostile, command: tuple[str, ...]
) -> None:
    entry = RecipeEntry(blake3(b"nowhere").digest(), 4096, 0)
    for level in range(1, 7):
        entry = RecipeEntry(hostile.node(level, [entry] * 60), entry.plain_bytes * 60, 0)
    root = RecipeRoot(entry.chunk, 6, entry.plain_bytes, 0)
    hostile.write([hostile.section(root)])
    # Of a manifest that claims too much there is no snapshot.
    refused(hostile.path, *command, codes=(20, 60) if command[0] == "cat" else (60,))


@pytest.mark.parametrize("command", [("log",), ("show", "latest"), *READERS], ids=" ".join)
def test_a_section_table_that_lists_a_piece_often_is_damage(
    hostile: Hostile, command: tuple[str, ...]
) -> None:
    section = hostile.section(RecipeRoot(None, 0, 0, 0))
    names = [replace(section.name, name=f"t{number}") for number in range(5000)]
    sections = [replace(section, name=name) for name in names]
    text = b"".join(map(encode_section, sections))
    piece = RecipeEntry(hostile.chunk(text, ChunkKind.SECTIONS), len(text), len(sections))
    node = hostile.node(1, [piece] * 400)
    table = RecipeRoot(node, 1, 400 * len(text), 400 * len(sections))
    hostile.write(sections, table)
    run = run_measured(hostile.path, *command)
    assert run.code == (0 if command[0] == "log" else 60), run.err[-2000:]
    assert run.mib <= PEAK_MIB_MAX


def test_a_pack_table_of_millions_of_frames_is_damage(hostile: Hostile) -> None:
    count = 1_500_000
    table = b"".join(
        struct.pack("<HI", number, len(value)) + value
        for number, value in (
            (1, struct.pack("<q", count)),
            (2, bytes(32 * count)),
            (3, bytes(4 * count)),
            (4, bytes(4 * count)),
            (5, bytes(count)),
            (6, bytes(count)),
            (7, bytes(count)),
            (8, bytes(count)),
        )
    )
    start = head(ObjectKind.PACK)
    trailer = pack_format.TRAILER.pack(len(table), checksum(start, table), pack_format.END_MARK)
    data = start + table + trailer
    file = hostile.path / pack_name(blake3(data).digest())
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    refused(hostile.path, "verify")


def manifest_with(hostile: Hostile, origin: bytes) -> None:
    """Store a snapshot whose origin is *origin*."""
    snapshot = hostile.write([hostile.section(RecipeRoot(None, 0, 0, 0))])
    for file in (hostile.path / "snapshots").iterdir():
        file.unlink()
    whole = encode_manifest(snapshot)
    before = encode_origin(snapshot.origin)
    changed = whole[8:-16].replace(
        struct.pack("<HI", 14, len(before)) + before, struct.pack("<HI", 14, len(origin)) + origin
    )
    hostile.write_manifest(wrap(ObjectKind.MANIFEST, changed))


@pytest.mark.parametrize("command", [("log",), ("verify",), ("show", "latest")], ids=" ".join)
@pytest.mark.parametrize("mib", [12, 50])
def test_a_manifest_of_many_values_is_damage(
    hostile: Hostile, command: tuple[str, ...], mib: int
) -> None:
    owners = b'"ab",' * (mib * MIB // 5) + b'"ab"'
    manifest_with(hostile, b'{"kind":"file","owners":[' + owners + b"]}")
    run = run_measured(hostile.path, *command)
    assert run.code in (0, 20, 60), run.err[-2000:]
    assert run.mib <= PEAK_MIB_MAX


@pytest.mark.parametrize("name", ["config", "tags/shop/large", "snapshots/" + "ab" * 32])
def test_a_small_object_of_gigabytes_is_not_read(hostile: Hostile, name: str) -> None:
    hostile.write([hostile.section(RecipeRoot(None, 0, 0, 0))])
    file = hostile.path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as sparse:
        os.truncate(sparse.fileno(), 3 << 30)
    run = run_measured(hostile.path, "verify")
    assert run.code == 60, run.err[-2000:]
    assert run.mib <= PEAK_MIB_MAX


@pytest.mark.parametrize("kind", ["no line end", "many lines", "many values"])
def test_an_audit_log_of_any_size_is_read_in_pieces(hostile: Hostile, kind: str) -> None:
    hostile.write([hostile.section(RecipeRoot(None, 0, 0, 0))])
    line = json.dumps({"time": "2026-01-01T00:00:00+00:00", "command": "log"}).encode()
    text = {
        "no line end": b"[" * (200 * MIB),
        "many lines": (line + b"\n") * 2_000_000,
        "many values": (line[:-1] + b', "x": [' + b"[]," * 200_000 + b"0]}\n") * 60,
    }[kind]
    for number in range(1, 4):
        (hostile.path / f"audit.jsonl.{number}").write_bytes(text[: 200 * MIB])
    run = run_measured(hostile.path, "audit")
    assert run.code == 0, run.err[-2000:]
    assert run.mib <= PEAK_MIB_MAX
