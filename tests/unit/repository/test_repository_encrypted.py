"""What an encrypted repository stores: all of it reads back, and none of it can be read."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from blake3 import blake3

from pgsnap.errors import CorruptionError
from pgsnap.format.pack import encode_pack
from pgsnap.limits import KIB
from pgsnap.maintenance.keys import rotate_keys
from pgsnap.maintenance.verify.verify import verify
from pgsnap.model import ChunkerParams, ChunkKind, Cipher, Codec, Frame
from pgsnap.repository.chunks.recipes import walk
from pgsnap.repository.layout import pack_name
from pgsnap.repository.repository import Repository
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy
from support.dumps.scripted import Dump, dump, rows, shop, table, texts
from support.repositories.collecting import version
from support.repositories.encrypted import (
    index_folder,
    make_encrypted,
    opened,
    pack_files,
    stored_files,
)
from support.repositories.keys import FIRST, SECOND
from support.repositories.made import day, record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_encrypted(tmp_path / "backups")


def large(seed: int = 1) -> Dump:
    return dump(table("public", "large", rows(40_000, seed=seed, width=200)))


def use_small_chunks(repo: Repository) -> None:
    """Let *repo* cut so that there are many chunks, and packs."""
    repo.config = repo.config.__class__(
        repo.config.repository_id,
        repo.config.created,
        ChunkerParams(4 * KIB, 16 * KIB, 64 * KIB),
        128 * KIB,
        repo.config.zstd_level,
    )


def ids(repo: Repository) -> set[bytes]:
    return {chunk for (chunk,) in repo.index.query("SELECT id FROM chunks")}


def cuts(repo: Repository) -> set[int]:
    """Return where the chunks of the table's only snapshot end."""
    (made,) = repo.newest(None)
    found: set[int] = set()
    for section in repo.sections(repo.snapshot(made)):
        if section.name.name == "large":
            end = 0
            for entry in walk(section.segments[0].recipe, repo.chunks.read):
                end += entry.plain_bytes
                found.add(end)
            found.discard(end)
    return found


def rotate(path: Path) -> None:
    with opened(path, alone=True) as repo:
        rotate_keys(repo)


def test_what_was_committed_reads_back_in_every_way(path: Path) -> None:
    with opened(path) as repo:
        made = [record(repo, version(n), at=day(n + 1)).snapshot_id for n in range(4)]
        codecs = {codec for (codec,) in repo.index.query("SELECT codec FROM chunks")}
        ciphers = {cipher for (cipher,) in repo.index.query("SELECT cipher FROM chunks")}
        assert codecs & {Codec.ZSTD_DELTA, Codec.EDITS}
        assert ciphers == {Cipher.AES_256_GCM}
    shutil.rmtree(index_folder(path))
    with opened(path) as repo:
        for number, snapshot in enumerate(made):
            assert texts(repo, snapshot) == version(number).texts
            repo.check_present(repo.snapshot(snapshot))
        assert verify(repo, data=True).findings == ()


def test_what_did_not_change_is_not_stored_again(path: Path) -> None:
    with opened(path) as repo:
        record(repo, shop())
        before = ids(repo)
        again = record(repo, shop())
        assert again.stored_bytes == 0
        assert ids(repo) == before


def test_after_a_rotation_new_packs_have_the_new_key_and_nothing_is_stored_twice(
    path: Path,
) -> None:
    with opened(path) as repo:
        first = record(repo, shop()).snapshot_id
    rotate(path)
    with opened(path) as repo:
        assert record(repo, shop()).stored_bytes == 0
        second = record(repo, shop(seed=5)).snapshot_id
        epochs = {epoch for (epoch,) in repo.index.query("SELECT epoch FROM packs")}
        assert epochs == {1, 2}
        assert texts(repo, first) == shop().texts
        assert texts(repo, second) == shop(seed=5).texts


@pytest.mark.parametrize("is_rotated", [False, True])
def test_gc_moves_and_encodes_again_and_everything_left_reads_back(
    path: Path, is_rotated: bool
) -> None:
    with opened(path) as repo:
        for number in range(12):
            record(repo, version(number), message=str(number), at=day(number + 1))
        before = {seal for (seal,) in repo.index.query("SELECT salt FROM packs")}
    if is_rotated:
        rotate(path)
    with opened(path, alone=True) as repo:
        report = gc(repo, Policy(last=2), grace=timedelta(0))
        assert report.packs_rewritten + report.packs_deleted > 0
        after = [seal for (seal,) in repo.index.query("SELECT salt FROM packs")]
        # Packs are filled at random: in a few runs out of a hundred, none is worth rewriting.
        assert bool(set(after) - before) == (report.packs_rewritten > 0)
        assert len(set(after)) == len(after)
        for snapshot in repo.newest(None):
            number = int(repo.snapshot(snapshot).message)
            assert texts(repo, snapshot) == version(number).texts
        assert len(repo.newest(None)) == 2
        assert verify(repo, data=True).findings == ()


# -- nothing can be read -------------------------------------------------------------------------


def test_two_repositories_of_the_same_data_have_nothing_in_common(tmp_path: Path) -> None:
    found: list[tuple[set[bytes], set[int], set[bytes]]] = []
    for name, secret in (("one", FIRST), ("other", SECOND)):
        made = make_encrypted(tmp_path / name, secret)
        with opened(made, secret) as repo:
            use_small_chunks(repo)
            record(repo, large())
            found.append((ids(repo), cuts(repo), set(repo.index.packs())))
    (one, one_cuts, one_packs), (other, other_cuts, other_packs) = found
    assert not one & other
    assert not one_packs & other_packs
    by_chance = len(one_cuts) * len(other_cuts) / 40_000
    assert len(one_cuts) > 200
    assert len(one_cuts & other_cuts) < by_chance + 5 * by_chance**0.5 + 5


def test_no_file_shows_a_row_or_a_name_or_the_hash_of_anything(path: Path) -> None:
    content = shop()
    with opened(path) as repo:
        made = record(repo, content, message="secret message", tags=("secret-tag",)).snapshot_id
        manifest = repo.index.manifest(made)
        assert manifest is not None
        digests = [section.digest for section in repo.sections(repo.snapshot(made))]
        digests.append(blake3(manifest).digest())
        plain = [
            repo.chunks.read(entry.chunk)
            for section in repo.sections(repo.snapshot(made))
            for segment in section.segments
            for entry in walk(segment.recipe, repo.chunks.read)
        ]
        keyed = ids(repo)
    files = list(stored_files(path))
    stored = b"".join(file.read_bytes() for file in files)
    stored += b"".join(str(file.relative_to(path)).encode() for file in files)
    for digest in digests:
        assert digest[:8] not in stored
        assert digest.hex()[:16].encode() not in stored
    lines = [line for _, text in content.texts for line in text.splitlines() if len(line) > 8]
    # A shorter word may stand in random bytes by chance.
    for word in (b"public", b"orders", b"secret", b"SET statement", b"COPY public"):
        assert word not in stored
    assert not any("shop" in str(file.relative_to(path)) for file in files)
    for line in lines[::50]:
        assert line[:12] not in stored
        assert blake3(line).digest()[:8] not in stored
    for chunk in plain:
        assert blake3(chunk).digest()[:8] not in stored
        assert blake3(chunk).digest() not in keyed
    # An id is known to who has the key only.
    assert not any(chunk[:8] in stored for chunk in keyed)


def test_chunks_that_follow_each_other_lie_in_either_of_two_packs(path: Path) -> None:
    with opened(path) as repo:
        use_small_chunks(repo)
        made = record(repo, large()).snapshot_id
        packs = []
        for section in repo.sections(repo.snapshot(made)):
            if section.name.name == "large":
                entries = list(walk(section.segments[0].recipe, repo.chunks.read))
                located = repo.index.locations([entry.chunk for entry in entries])
                packs = [located[entry.chunk][0].pack for entry in entries]
    pairs = Counter(a == b for a, b in itertools.pairwise(packs))
    # A fair coin, less the pairs between which a pack was full.
    assert 0.3 < pairs[True] / pairs.total() < 0.6


def test_a_small_commit_makes_one_pack(path: Path) -> None:
    with opened(path) as repo:
        record(repo, shop(200))
        assert len(pack_files(path)) == 1


def test_packs_that_gc_writes_become_durable_in_the_order_of_their_frames(path: Path) -> None:
    heard: list[bytes] = []
    with opened(path) as repo:
        use_small_chunks(repo)
        with repo.chunk_store.writer(
            lambda frames: heard.extend(frame.chunk for frame in frames)
        ) as writer:
            names = [blake3(b"%d" % n).digest() for n in range(100)]
            for name in names:
                frame = Frame(
                    name, ChunkKind.DATA, Codec.RAW, Cipher.NONE, 0, None, 5 * KIB, 5 * KIB
                )
                writer.add(frame, bytes(5 * KIB))
    assert heard == names


# -- what is not what was stored -----------------------------------------------------------------


def put_pack(path: Path, data: bytes, name: bytes | None = None) -> Path:
    """Store *data* as a pack under its own name, or another."""
    file = path / pack_name(name or blake3(data).digest())
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def problems(repo: Repository) -> list[str]:
    return [one.problem for one in verify(repo, data=True).findings if one.kind == "pack"]


def test_frames_that_changed_places_are_found_though_the_pack_has_the_right_name(
    path: Path,
) -> None:
    with opened(path) as repo:
        with repo.chunk_store.writer() as writer:
            for text in (b"one of two", b"two of two"):
                name = repo.naming.name(text)
                frame = Frame(
                    name, ChunkKind.DATA, Codec.RAW, Cipher.NONE, 0, None, len(text), len(text)
                )
                writer.add(frame, text)
        first, second = (
            repo.index.locations([repo.naming.name(text)])[repo.naming.name(text)][0]
            for text in (b"one of two", b"two of two")
        )
    (file,) = pack_files(path)
    data = file.read_bytes()
    size = first.frame.frame_bytes
    swapped = data[: first.offset] + data[second.offset :][:size] + data[first.offset :][:size]
    swapped += data[second.offset + size :]
    file.unlink()
    put_pack(path, swapped)
    with opened(path) as repo:
        assert problems(repo) == [
            "2 of its 2 frames are damaged. 2 of them lie in the place of another."
        ]
        with pytest.raises(CorruptionError) as caught:
            repo.chunks.read(first.frame.chunk)
        assert "does not open" in caught.value.detail


def test_an_older_pack_in_the_place_of_another_is_found(path: Path) -> None:
    with opened(path) as repo:
        record(repo, shop(300))
        (old,) = pack_files(path)
        record(repo, shop(300, seed=9))
    (new,) = set(pack_files(path)) - {old}
    new.write_bytes(old.read_bytes())
    with opened(path) as repo:
        assert problems(repo) == ["Its bytes do not hash to its name."]


def test_a_plain_pack_is_not_read_and_does_not_close_the_repository(path: Path) -> None:
    text = b"forged"
    frame = Frame(blake3(text).digest(), ChunkKind.DATA, Codec.RAW, Cipher.NONE, 0, None, 6, 6)
    with opened(path) as repo:
        made = record(repo, shop(300)).snapshot_id
    put_pack(path, b"".join(encode_pack([(frame, text)])[1]))
    with opened(path) as repo:
        assert texts(repo, made) == shop(300).texts
        assert problems(repo) == ["It is not sealed, as all packs of an encrypted repository are."]
        with pytest.raises(CorruptionError, match="is missing"):
            repo.chunks.read(frame.chunk)


def test_packs_of_another_repository_do_not_open(path: Path, tmp_path: Path) -> None:
    other = make_encrypted(tmp_path / "other")
    with opened(other) as repo:
        record(repo, shop(300, seed=3))
    with opened(path) as repo:
        made = record(repo, shop(300)).snapshot_id
    (file,) = pack_files(other)
    put_pack(path, file.read_bytes())
    with opened(path) as repo:
        assert texts(repo, made) == shop(300).texts
        (problem,) = problems(repo)
        assert "another repository" in problem


def test_a_byte_that_changed_in_a_frame_is_found_before_it_is_decoded(path: Path) -> None:
    with opened(path) as repo:
        made = record(repo, shop(300)).snapshot_id
    (file,) = pack_files(path)
    data = bytearray(file.read_bytes())
    data[100] ^= 1
    file.write_bytes(data)
    with opened(path) as repo:
        with pytest.raises(CorruptionError) as caught:
            texts(repo, made)
        assert "does not open" in caught.value.detail
        assert problems(repo)[0].startswith("1 of its")
