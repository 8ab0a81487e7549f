"""Repositories that were stored once and must be read for ever.

`PYTHONPATH=src:tests python -m support.repositories.stored NAME` makes the one that the code at
hand writes; it never changes one that is there. Beside the repository lies what it must give back.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from blake3 import blake3

from pgsnap.dump.events import text_of as events_text
from pgsnap.dump.volatile import put_back
from pgsnap.format.manifest import decode_manifest
from pgsnap.format.pack import encode_pack
from pgsnap.format.recipe import encode_node
from pgsnap.format.roots import roots_of
from pgsnap.format.sections import pieces
from pgsnap.maintenance.keys import rotate_keys
from pgsnap.model import (
    ChunkKind,
    DumpEvent,
    Note,
    RecipeEntry,
    RecipeRoot,
    Section,
    SectionKind,
    SectionName,
    Segment,
    Snapshot,
    SnapshotId,
    VolatileKind,
    VolatileLine,
)
from pgsnap.repository.layout import pack_name
from pgsnap.repository.places.remote import RemotePlace
from pgsnap.repository.repository import Repository
from pgsnap.sealing.wrapping_keys import KeyFile
from pgsnap.stores.local import LocalStore
from pgsnap.workflows.commit import commit as commit_module
from pgsnap.workflows.commit.commit import commit
from pgsnap.workflows.history.tag import set_tag
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy
from support.documents import examples, values
from support.dumps.scripted import PREAMBLE, Dump, Part, ScriptedSource, dump, rows, table
from support.dumps.texts import as_events
from support.repositories.encrypted import index_folder, unlocker
from support.repositories.keys import FIRST
from support.repositories.made import day

FOLDER = Path(__file__).resolve().parents[2] / "data" / "repositories"
KEY = "storedKey"
ENCRYPTED = "v3-encrypted"
"""Opens with a key file; its key was rotated before the last snapshot."""
WITH_LEAVES = ("v4-leaves", "v4-leaves-encrypted")
"""The second one opens with a key file too."""
PUBLISHED = ("v5-published", "v5-published-encrypted")
"""As on a remote store, with the log of publications; the second one opens with a key file too."""


def shop(changed: bool) -> Dump:
    users = [rb"1" + b"\t" + rb"a\tb\\c\n\N", b"2\t\\N", "3\tgrößer".encode(), *rows(150, seed=3)]
    if changed:
        users[100] = b"100\tchanged"
    made = dump(
        table("public", "users", users),
        table("Sales é", "empty", []),
        globals_text=b"CREATE ROLE app;\n",
    )
    name = made.parts[0].name
    lines = (
        VolatileLine(name, len(PREAMBLE) - 1, VolatileKind.RESTRICT, b"\\restrict aKey\n"),
        VolatileLine(
            name, len(PREAMBLE) - 1, VolatileKind.VERSION, b"-- Dumped by pg_dump version 15.18\n"
        ),
        VolatileLine(made.parts[-2].name, 4, VolatileKind.UNRESTRICT, b"\\unrestrict aKey\n"),
    )
    return Dump(made.parts, lines, values.ORIGIN)


def large(changed: bool) -> Dump:
    """Return a dump that was read block by block, with a table of two leaves: few are so small."""
    lines = rows(120, seed=4, width=200)
    if changed:
        lines[50:55] = [b"50\tchanged"]
    made = shop(changed)
    parts = (
        *made.parts[:2],
        table("public", "large", lines, rows_in_block=13),
        table("public", "small", lines[:20], rows_in_block=13),
        *made.parts[2:],
    )
    return Dump(parts, made.volatile, made.origin, values.BASELINE)


def queue(moved: bool) -> Dump:
    """Return a dump with statistics in it, of a database with an extension that has a sequence."""
    made = shop(False)
    statistics = (b"a", b"b" if moved else b"c")
    parts = [
        *made.parts[:-2],
        *(
            Part(
                SectionName(SectionKind.STATISTICS, part=number),
                b"SELECT * FROM pg_catalog.pg_restore_relation_stats('relname', '%b');\n" % word,
            )
            for number, word in enumerate(statistics)
        ),
        made.parts[-2],
        Part(
            SectionName(SectionKind.EXTENSION_SEQUENCES),
            b"SELECT pg_catalog.setval('queue.batch_id_seq', %d, true);\n" % (42 if moved else 41),
        ),
        made.parts[-1],
    ]
    return Dump(tuple(parts), made.volatile, made.origin)


MADE_OF: dict[str, list[tuple[str, Dump]]] = {
    "v1-plain": [("shop", shop(False)), ("shop", shop(True)), ("blög", shop(True))],
    "v2-extensions": [("queue", queue(False)), ("queue", queue(True))],
    ENCRYPTED: [("shop", shop(False)), ("shop", shop(True)), ("blög", shop(True))],
    **{
        name: [("shop", large(False)), ("shop", large(True))] for name in (*WITH_LEAVES, *PUBLISHED)
    },
}


def place_of(name: str, path: Path) -> Path | RemotePlace:
    """Return where the stored repository of this *name* is, a copy of which is in *path*."""
    return RemotePlace(path.as_uri(), LocalStore(path)) if name in PUBLISHED else path


def opened_stored(
    name: str, path: Path, host: str = "", *, alone: bool = False, whole: bool = False
) -> Repository:
    """Open a copy of the stored repository of this *name*, as a *host* with its own index."""
    cache = index_folder(path) / host
    return Repository.open(
        place_of(name, path), unlock=unlocker(), index_folder=cache, alone=alone, whole=whole
    )


def make(name: str) -> None:
    """Make a stored repository, and what is expected of it."""
    # No stored file tells who made it, or where.
    commit_module._creator = lambda: "someone@somewhere snap 0.1.0"
    home = FOLDER / name
    path = home / "repository"
    is_encrypted = name in (ENCRYPTED, WITH_LEAVES[1], PUBLISHED[1])
    Repository.create(place_of(name, path), opener=KeyFile(FIRST) if is_encrypted else None)
    for number, (database, dumped) in enumerate(MADE_OF[name]):
        if name == ENCRYPTED and number == 2:
            with opened_stored(name, path, alone=True) as repo:
                rotate_keys(repo)
        with opened_stored(name, path) as repo:
            commit(
                repo,
                ScriptedSource(dumped),
                database=database,
                message=f"number {number}, größer",
                tags=(f"tag-{number}", "v/é"),
                force_tags=True,
                at=day(number + 1),
            )
    if name in PUBLISHED:
        publish_and_collect(name, path)
    with opened_stored(name, path) as repo:
        publish_deltas(repo)
        label = MADE_OF[name][0][0]
        repo.add_note(Note("swapped", label, day(5), repo.newest(label)[0], {"kept": "shop__x"}))
        expected = expectation(repo, name)
    for file in [
        *path.glob("index.sqlite*"),
        path / "lock",
        path / "cas.lock",
        path / ".gitignore",
    ]:
        # Derived, or empty, or it would keep the rest out of version control.
        file.unlink(missing_ok=True)
    shutil.rmtree(path / "tmp", ignore_errors=True)
    shutil.rmtree(index_folder(path), ignore_errors=True)
    text = json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=True)
    (home / "expected.json").write_text(text + "\n", "ascii")


def publish_and_collect(name: str, path: Path) -> None:
    """Add to the log what other hosts published: a snapshot that was forgotten again, and a gc that
    dropped it, marked its packs, and wrote an entry that lists all that there is."""
    with opened_stored(name, path, "another host") as repo:
        gone = commit(
            repo, ScriptedSource(queue(True)), database="queue", message="gone", at=day(3)
        ).snapshot_id
        set_tag(repo, "moved", gone)
    with opened_stored(name, path, "a third host", alone=True, whole=True) as repo:
        # Else its packs, which share nothing with others, would stay with it.
        repo.tags.delete("queue", "moved")
        repo.forget(gone, by="someone", reason="of no use")
        gc(repo, Policy(last=10), grace=timedelta(0))


def publish_deltas(repo: Repository, *before: Segment) -> SnapshotId:
    """Add a snapshot as a later version stores it: two segments after those of *before*, and chunks
    as deltas."""
    chunks = [examples.BASE_TEXT, examples.DELTA_TEXT, examples.DEEP_TEXT]
    name = repo.naming.name
    entries = [RecipeEntry(name(text), len(text), text.count(b"\n")) for text in chunks]
    node = encode_node(1, entries[1:])
    segments = (
        *before,
        Segment(RecipeRoot(entries[0].chunk, 0, entries[0].plain_bytes, entries[0].lines)),
        Segment(
            RecipeRoot(
                name(node),
                1,
                sum(entry.plain_bytes for entry in entries[1:]),
                sum(entry.lines for entry in entries[1:]),
            )
        ),
    )
    text = b"".join(chunks)
    section = Section(
        SectionName(SectionKind.DATA, "public", "deltas"),
        len(text),
        text.count(b"\n"),
        blake3(text).digest(),
        segments,
    )
    ((piece, count),) = pieces([section])
    ids = {blake3(plain).digest(): name(plain) for plain in (*chunks, node, piece)}
    frames = [
        examples.delta_frame(chunks[2], chunks[1], 2),
        examples.delta_frame(chunks[1], chunks[0], 1),
        examples.plain_frame(chunks[0]),
        examples.plain_frame(node, ChunkKind.RECIPE),
        examples.plain_frame(piece, ChunkKind.SECTIONS),
    ]
    pack, parts, _ = encode_pack(
        [
            (replace(frame, chunk=ids[frame.chunk], base=ids.get(frame.base or b"")), data)
            for frame, data in frames
        ],
        repo.chunks.scheme.packs,
    )
    repo.store.put(pack_name(pack), parts)
    made, _ = repo.publish(
        Snapshot(
            database="deltas",
            time=day(4),
            message="with deltas",
            parent=None,
            root=roots_of([section]).root,
            leaf_root=None,
            globals_root=None,
            sections_recipe=RecipeRoot(name(piece), 0, len(piece), count),
            section_count=1,
            table_count=1,
            plain_bytes=len(text),
            rows=0,
            stored_bytes=0,
            duration_ms=0,
            origin=values.ORIGIN,
        )
    )
    return made


def expectation(repo: Repository, name: str) -> dict[str, Any]:
    """Return what must come out, from what went in and not from what the repository says."""
    found = []
    for number, (database, dumped) in enumerate(MADE_OF[name]):
        found.append((database, f"number {number}, größer", text_of(dumped), day(number + 1)))
    deltas = examples.BASE_TEXT + examples.DELTA_TEXT + examples.DEEP_TEXT
    found.append(("deltas", "with deltas", deltas, day(4)))
    by_message = {}
    for snapshot_id in repo.newest(None):
        data = repo.index.manifest(snapshot_id)
        assert data is not None
        by_message[decode_manifest(data).message] = snapshot_id.hex()
    return {
        "snapshots": [
            {
                "id": by_message[message],
                "database": database,
                "message": message,
                "time": time.isoformat(),
                "bytes": len(text),
                "blake3": blake3(text).hexdigest(),
                "text": text.decode("utf-8"),
            }
            for database, message, text, time in found
        ],
        "tags": {f"{tag.database}/{tag.name}": tag.snapshot.hex() for tag in repo.tags.all()},
        "notes": {"swapped": [{"kept": "shop__x"}]},
    }


def text_of(dumped: Dump) -> bytes:
    """Return the whole text of a scripted dump, volatile lines put back with KEY."""
    events: list[DumpEvent] = []
    for part in dumped.parts:
        if part.name.kind not in (SectionKind.GLOBALS, SectionKind.EXTENSION_SEQUENCES):
            events += as_events(part.name, part.text)
    return b"".join(events_text(put_back(events, dumped.volatile, KEY)))


if __name__ == "__main__":
    make(sys.argv[1])
