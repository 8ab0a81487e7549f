"""Many versions of chunks are searched while each is decoded once, and none that is damaged counts
as searched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pgsnap.codecs.zstd import decompress
from pgsnap.errors import CorruptionError
from pgsnap.model import ChunkId, ChunkKind, Codec, Location
from pgsnap.repository.chunks.chunks import ChunkReader
from pgsnap.repository.chunks.lineages import Places, search
from pgsnap.repository.repository import Repository
from support.dumps.scripted import dump, rows, table
from support.repositories.encrypted import make_encrypted, opened
from support.repositories.made import day, make, record
from support.repositories.stores import RecordingStore

VERSIONS = 20
MARK, MARKED = b"-this one-", (10, 11)


@pytest.fixture(params=["plain", "encrypted"])
def repo(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Repository]:
    """A repository with versions of a table of several chunks, a few rows of each changed; in two
    of them, one after the other, a row has MARK."""
    path = tmp_path / "backups"
    made = make(path) if request.param == "plain" else make_encrypted(path)
    with opened(made) as repo:
        lines = rows(16_000, seed=5, width=200)
        for number in range(VERSIONS):
            for changed in range(number, len(lines), 997):
                lines[changed] = lines[changed][:-8] + b"%08d" % (changed * number)
            kept = lines[8000]
            if number in MARKED:
                lines[8000] += MARK
            record(repo, dump(table("public", "orders", lines)), at=day(number + 1))
            lines[8000] = kept
        yield repo


def chunks(repo: Repository) -> dict[ChunkId, int]:
    """Return all chunks with rows, and their sizes."""
    return dict(
        repo.index.query("SELECT id, chunk_bytes FROM chunks WHERE kind = ?", (ChunkKind.DATA,))
    )


def marked(repo: Repository) -> set[ChunkId]:
    return {chunk for chunk in chunks(repo) if MARK in repo.chunks.read(chunk)}


def has_mark(plain: bytes, places: Places | None) -> bool:
    if places is None:
        return MARK in plain
    return any(MARK in plain[start - len(MARK) : stop + len(MARK)] for start, stop in places)


def without(repo: Repository, wanted: dict[ChunkId, int]) -> set[ChunkId]:
    results = search(repo.chunk_store, wanted, has_mark)
    return {chunk for result in results for chunk in result.without}


def test_what_has_it_is_told_from_what_has_not(repo: Repository) -> None:
    wanted = chunks(repo)
    found = marked(repo)
    assert len(found) == len(MARKED)
    assert len(wanted) > 3 * VERSIONS
    assert without(repo, wanted) == wanted.keys() - found
    some = dict([*wanted.items()][::7])
    assert without(repo, some) == some.keys() - found


def test_each_is_decoded_once_and_most_are_searched_where_they_changed(repo: Repository) -> None:
    searched: Counter[bytes] = Counter()
    ranges = []

    def has(plain: bytes, places: Places | None) -> bool:
        searched[plain] += 1
        ranges.append(places)
        return False

    wanted = chunks(repo)
    store = RecordingStore(repo.store)
    reader = ChunkReader(store, repo.index, repo.chunks.scheme)
    chunk_store = replace(repo.chunk_store, store=store, reader=reader)
    read_bytes = sum(one.read_bytes for one in search(chunk_store, wanted, has))
    assert searched == Counter(repo.chunks.read(chunk) for chunk in wanted)
    assert read_bytes == sum(wanted.values())
    edited = [
        found
        for found in repo.index.locations([*wanted]).values()
        if found[0].frame.codec is Codec.EDITS
    ]
    assert len(edited) > VERSIONS
    assert sum(places is not None for places in ranges) == len(edited)
    # The deltas in each pack are read in one go, and so are neighbouring plain frames.
    assert len(store.names("get")) < 2 * VERSIONS


def decodes_to_another(repo: Repository, location: Location, data: bytes) -> bool:
    """Return whether a damaged frame can be decoded nevertheless."""
    frame = location.frame
    base = repo.chunks.read(frame.base) if frame.base is not None else None
    try:
        return decompress(frame.codec, data, frame.chunk_bytes, base) is not None
    except CorruptionError:
        return False


def damaged(repo: Repository, location: Location, is_decoded: bool) -> bool:
    """Change a byte of a frame that can be decoded nevertheless, or not; return whether there is
    such a byte. A sealed frame cannot be opened any more."""
    pack = repo.path / "packs" / location.pack.hex()[:2] / location.pack.hex()
    data = bytearray(pack.read_bytes())
    end = location.offset + location.frame.frame_bytes
    for place in range(end - 1, max(end - 200, location.offset), -1):
        data[place] ^= 0xFF
        frame = bytes(data[location.offset : end])
        if repo.chunks.scheme.packs or decodes_to_another(repo, location, frame) == is_decoded:
            pack.chmod(0o600)
            pack.write_bytes(data)
            return True
        data[place] ^= 0xFF
    return False


@pytest.mark.parametrize("is_decoded", [False, True])
def test_what_is_read_through_a_damaged_frame_was_not_searched(
    repo: Repository, is_decoded: bool
) -> None:
    wanted = chunks(repo)
    places = repo.index.locations([*wanted])
    bases = {places[chunk][0].frame.base for chunk in wanted} & wanted.keys()
    for base in sorted(bases, key=lambda one: -places[one][0].frame.depth):
        if damaged(repo, places[base][0], is_decoded):
            break
    else:
        raise AssertionError("no byte of any frame has this effect")
    through = {chunk for chunk in wanted if base in repo.index.chains([chunk])}
    assert base in through
    assert len(through) > 1
    sound = wanted.keys() - through
    assert without(repo, wanted) == {one for one in sound if MARK not in repo.chunks.read(one)}


def test_one_of_another_size_or_that_is_nowhere_was_not_searched(repo: Repository) -> None:
    wanted = chunks(repo)
    other = next(iter(wanted.keys() - marked(repo)))
    assert other in without(repo, wanted)
    assert other not in without(repo, wanted | {other: wanted[other] + 1})
    assert without(repo, {bytes(32): 9}) == set()
