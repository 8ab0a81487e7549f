"""Repositories that a stranger made by hand: every hash is right, and what they claim is false."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from blake3 import blake3

from pgsnap.format.manifest import encode_manifest, snapshot_id
from pgsnap.format.pack import encode_pack
from pgsnap.format.recipe import encode_node
from pgsnap.format.record import RecordWriter
from pgsnap.format.roots import roots_of
from pgsnap.format.sections import encode_section
from pgsnap.model import (
    ChunkKind,
    Frame,
    RecipeEntry,
    RecipeRoot,
    Section,
    SectionKind,
    SectionName,
    Segment,
    Snapshot,
)
from pgsnap.repository.layout import pack_name, snapshot_name
from support.documents.examples import plain_frame
from support.documents.values import TIME
from support.dumps.scripted import ORIGIN
from support.repositories.made import make
from support.running.commandline import SOURCE

MIB = 1024 * 1024


@dataclass
class Hostile:
    """Frames and one snapshot; `write` makes the repository, whatever it claims."""

    path: Path

    def __post_init__(self) -> None:
        make(self.path)
        self.frames: list[tuple[Frame, bytes]] = []

    def chunk(self, plain: bytes, kind: ChunkKind = ChunkKind.DATA) -> bytes:
        self.frames.append(plain_frame(plain, kind))
        return blake3(plain).digest()

    def node(self, level: int, entries: Sequence[RecipeEntry]) -> bytes:
        return self.chunk(encode_node(level, entries), ChunkKind.RECIPE)

    def section(self, root: RecipeRoot, name: str = "orders") -> Section:
        return Section(
            SectionName(SectionKind.DATA, "public", name),
            root.plain_bytes,
            root.lines,
            blake3(b"some text").digest(),
            (Segment(root),),
            rows=0,
        )

    def write(self, sections: Sequence[Section], table: RecipeRoot | None = None) -> Snapshot:
        """Store a snapshot of *sections*, whose table is *table* where that is given."""
        if table is None:
            text = b"".join(map(encode_section, sections))
            table = RecipeRoot(self.chunk(text, ChunkKind.SECTIONS), 0, len(text), len(sections))
        snapshot = Snapshot(
            database="shop",
            time=TIME,
            message="by a stranger",
            parent=None,
            root=roots_of(sections).root,
            leaf_root=None,
            globals_root=None,
            sections_recipe=table,
            section_count=len(sections),
            table_count=len(sections),
            plain_bytes=sum(section.plain_bytes for section in sections),
            rows=0,
            stored_bytes=0,
            duration_ms=0,
            origin=ORIGIN,
        )
        self.write_packs()
        self.write_manifest(encode_manifest(snapshot))
        return snapshot

    def write_packs(self) -> None:
        pack, parts, _ = encode_pack(self.frames)
        self._write(pack_name(pack), b"".join(parts))

    def write_manifest(self, data: bytes) -> None:
        self._write(snapshot_name(snapshot_id(data)), data)

    def _write(self, name: str, data: bytes) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


@dataclass(frozen=True)
class Run:
    code: int
    err: str
    mib: int
    """The most memory that it held."""


def run_measured(path: Path, *arguments: str, seconds: float = 60) -> Run:
    """Run snap on a repository in a process of its own, whose output is thrown away."""
    script = (
        "import sys\n"
        "from pgsnap.cli import main\n"
        "code = main(sys.argv[1:])\n"
        # Not ru_maxrss: that begins with what the parent had.
        "peak = int(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0]) // 1024\n"
        "print(f'\\npeak {peak}', file=sys.stderr, flush=True)\n"
        "sys.exit(code)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", script, "--repo", str(path), *arguments],
        env={"PYTHONPATH": str(SOURCE), "HOME": str(path.parent), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=seconds,
        check=False,
        # A run that takes what it is told to would else take the machine's.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)),
    )
    err, _, peak = child.stderr.rpartition("\npeak ")
    return Run(child.returncode, err, int(peak) if peak else -1)


def record(**fields: bytes) -> bytes:
    """Return a record of fields f1, f2, ... with these values."""
    writer = RecordWriter()
    for name, value in fields.items():
        writer.raw(int(name[1:]), value)
    return writer.to_bytes()


__all__ = ["MIB", "Hostile", "Run", "record", "replace", "run_measured"]
