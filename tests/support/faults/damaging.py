"""A small repository of two databases, and the ways to damage each object of it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pgsnap.maintenance.verify.verify import verify
from pgsnap.repository.repository import Repository
from pgsnap.sources.file import FileSource
from pgsnap.workflows.commit.commit import commit
from support.dumps.scripted import all_chunks, rows

PLACES = {"pack": "packs", "manifest": "snapshots", "note": "notes", "tag": "tags"}
HEAD = "--\n-- PostgreSQL database dump\n--\n\n-- Dumped by pg_dump version 15.0\n\n"
TAIL = "--\n-- PostgreSQL database dump complete\n--\n\n"


def entry(table: str, count: int, seed: int) -> str:
    body = b"".join(row + b"\n" for row in rows(count, seed=seed, width=400)).decode()
    return (
        f"--\n-- Data for Name: {table}; Type: TABLE DATA; Schema: public; Owner: u\n--\n\n"
        f"COPY public.{table} (id, value) FROM stdin;\n{body}\\.\n\n\n"
    )


DUMPS = {
    "shop-1": HEAD + entry("users", 3000, 1) + entry("orders", 400, 2) + TAIL,
    "shop-2": HEAD + entry("users", 3000, 1) + entry("orders", 500, 3) + TAIL,
    "blog-1": HEAD + entry("posts", 2000, 4) + TAIL,
}


@dataclass(frozen=True)
class Sound:
    """A sound repository: never damage it, damage copies."""

    path: Path
    dumps: Path
    snapshots: tuple[str, ...]
    first_pack: str
    hit: frozenset[str]
    hit_snapshots: frozenset[str]


def make_sound(folder: Path) -> Sound:
    """Make it: three snapshots, a tag each, a verdict each, and a pack or more for each commit.

    *hit* are the sections that need *first_pack*, which two snapshots do.
    """
    path, dumps = folder / "sound", folder / "dumps"
    dumps.mkdir()
    Repository.create(path)
    made = []
    with Repository.open(path) as repo:
        for name, text in DUMPS.items():
            file = dumps / f"{name}.sql"
            file.write_text(text)
            database = name.partition("-")[0]
            done = commit(
                repo, FileSource(file), database=database, message=name, tags=(f"t-{name}",)
            )
            made.append(done.snapshot_id)
            if len(made) == 1:
                (pack,) = repo.index.packs()
        verify(repo, data=True)
        sections, snapshots = set(), set()
        for snapshot in made:
            for section in repo.sections(repo.snapshot(snapshot)):
                found = repo.index.locations(list(all_chunks(repo, section)))
                if any(where[0].pack == pack for where in found.values()):
                    sections.add(str(section.name))
                    snapshots.add(snapshot.hex())
    return Sound(
        path,
        dumps,
        tuple(snapshot.hex() for snapshot in made),
        pack.hex(),
        frozenset(sections),
        frozenset(snapshots),
    )


def objects(path: Path, sound: Sound, kind: str) -> tuple[Path, Path]:
    """Return the object to damage and another of its kind."""
    if kind in ("config", "index"):
        name = "config" if kind == "config" else "index.sqlite"
        return path / name, path.parent / "stranger" / name
    files = sorted(file for file in (path / PLACES[kind]).rglob("*") if file.is_file())
    # The first snapshot, the first pack; nothing that the newest alone needs.
    wanted = {"pack": sound.first_pack, "manifest": sound.snapshots[0], "tag": "t-shop-1"}
    first = next((file for file in files if file.name == wanted.get(kind)), files[0])
    return first, next(file for file in files if file != first)


def flip(file: Path, position: int) -> None:
    data = bytearray(file.read_bytes())
    data[position] ^= 0x04
    file.write_bytes(data)


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def flip_in_row(file: Path, _: Path) -> None:
    with sqlite3.connect(file) as index:
        index.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (chunk,) = index.execute("SELECT id FROM chunks WHERE kind = 0 LIMIT 1").fetchone()
    index.close()
    flip(file, file.read_bytes().index(chunk) + 31)


def lose_with_index(file: Path, _: Path) -> None:
    flip(file, 40)
    for index in file.parents[1].glob("index.sqlite*"):
        index.unlink()


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "deleted": lambda file, _: file.unlink(),
    "cut": lambda file, _: file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3]),
    "a bit flipped": lambda file, _: flip(file, file.stat().st_size // 2),
    "a bit flipped in a frame": lambda file, _: flip(file, file.stat().st_size // 2),
    "a bit flipped in its table": lambda file, _: flip(file, file.stat().st_size - 60),
    "a bit flipped in a row": flip_in_row,
    "a byte appended": lambda file, _: file.write_bytes(file.read_bytes() + b"x"),
    "swapped with another": swap,
    "swapped with another repository's": lambda file, other: shutil.copyfile(other, file),
    "renamed": lambda file, _: file.rename(file.parents[1] / "somewhere"),
    "duplicated under another name": lambda file, _: shutil.copyfile(
        file, file.with_name("0" * 64)
    ),
    "damaged, the index gone": lose_with_index,
}
