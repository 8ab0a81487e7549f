"""Every repository that was ever released is opened, logged and read byte for byte."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from pgsnap.chunking.leaves import LeafCutter
from pgsnap.errors import WrongKey
from pgsnap.format.baseline import encode_baseline
from pgsnap.maintenance.verify.verify import verify
from pgsnap.repository.chunks.stream import snapshot_stream
from pgsnap.repository.repository import Repository
from pgsnap.repository.sections.leaf_lists import leaves_of
from pgsnap.repository.sections.side_streams import read_baseline, read_block_map
from pgsnap.workflows.history.cat import cat
from pgsnap.workflows.history.log import log, show
from pgsnap.workflows.retention.gc import gc
from pgsnap.workflows.retention.policy import Policy
from support.documents.values import BASELINE
from support.dumps.scripted import shop, texts
from support.repositories.collecting import AT_ONCE
from support.repositories.encrypted import opened
from support.repositories.made import record
from support.repositories.stored import (
    ENCRYPTED,
    FOLDER,
    KEY,
    PUBLISHED,
    WITH_LEAVES,
    large,
    opened_stored,
    queue,
    text_of,
)
from support.repositories.stored import shop as shop_of_version_1

VERSIONS = ["v1-plain", "v2-extensions", ENCRYPTED, *WITH_LEAVES, *PUBLISHED]


@pytest.fixture(params=VERSIONS)
def home(request: pytest.FixtureRequest) -> Path:
    return FOLDER / str(request.param)


@pytest.fixture
def expected(home: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((home / "expected.json").read_bytes())
    return loaded


@pytest.fixture
def repo(home: Path, tmp_path: Path) -> Iterator[Repository]:
    shutil.copytree(home / "repository", tmp_path / "repository")
    with opened_stored(home.name, tmp_path / "repository") as repo:
        yield repo


def test_every_stored_repository_is_tested() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == VERSIONS


def test_its_log_is_what_it_was(repo: Repository, expected: dict[str, Any]) -> None:
    entries = reversed(log(repo, database=None))
    assert [
        (
            entry.snapshot_id.hex(),
            entry.snapshot.database,
            entry.snapshot.message,
            entry.snapshot.time.isoformat(),
        )
        for entry in entries
    ] == [
        (found["id"], found["database"], found["message"], found["time"])
        for found in expected["snapshots"]
    ]


def test_its_dumps_are_read_byte_for_byte(repo: Repository, expected: dict[str, Any]) -> None:
    assert expected["snapshots"]
    for found in expected["snapshots"]:
        snapshot = repo.snapshot(bytes.fromhex(found["id"]))
        text = b"".join(snapshot_stream(repo, snapshot, restrict_key=KEY))
        assert text.decode("utf-8") == found["text"]
        assert blake3(text).hexdigest() == found["blake3"]
        assert len(text) == found["bytes"]
        assert show(repo, bytes.fromhex(found["id"])).sections
        repo.check_present(snapshot)


def test_its_tags_and_notes_are_what_they_were(repo: Repository, expected: dict[str, Any]) -> None:
    tags = {f"{tag.database}/{tag.name}": tag.snapshot.hex() for tag in repo.tags.all()}
    assert tags == expected["tags"]
    for kind, bodies in expected["notes"].items():
        assert [note.body for note in repo.notes(kind)] == bodies


def test_it_takes_new_snapshots(repo: Repository, expected: dict[str, Any]) -> None:
    made = record(repo, shop(50), database=expected["snapshots"][0]["database"])
    assert made.snapshot.parent is not None
    assert texts(repo, made.snapshot_id) == shop(50).texts
    assert len(repo.newest(None)) == len(expected["snapshots"]) + 1


def test_extension_sequences_stand_before_the_end_mark_and_only_where_they_are_asked_for(
    tmp_path: Path,
) -> None:
    shutil.copytree(FOLDER / "v2-extensions" / "repository", tmp_path / "repository")
    with Repository.open(tmp_path / "repository") as repo:
        newest = repo.newest("queue")[0]
        plain = b"".join(cat(repo, newest))
        more = b"".join(cat(repo, newest, with_extension_sequences=True))
        alone = b"".join(cat(repo, newest, sections=["extension-sequences"]))
        assert not verify(repo, snapshots=[newest], data=True).findings
    assert plain == without_key(text_of(queue(True)), plain)
    assert alone == b"SELECT pg_catalog.setval('queue.batch_id_seq', 42, true);\n"
    assert without_key(more.replace(alone, b""), plain) == plain
    assert more.index(alone) < more.index(b" PostgreSQL database dump complete")


def without_key(text: bytes, like: bytes) -> bytes:
    """Return *text* with the key of \\restrict that *like* has: each output has another."""
    keys = [re.search(rb"^\\restrict (\S+)$", one, re.M) for one in (text, like)]
    assert keys[0]
    assert keys[1]
    return text.replace(keys[0][1], keys[1][1])


@pytest.mark.parametrize("name", [*WITH_LEAVES, *PUBLISHED])
def test_its_leaves_block_maps_and_baselines_are_what_was_stored(name: str, tmp_path: Path) -> None:
    shutil.copytree(FOLDER / name / "repository", tmp_path / "repository")
    with opened_stored(name, tmp_path / "repository") as repo:
        assert verify(repo, data=True).findings == ()
        for snapshot_id, changed in zip(repo.newest("shop"), (True, False), strict=True):
            snapshot = repo.snapshot(snapshot_id)
            assert read_baseline(repo.chunks, snapshot) == encode_baseline(BASELINE)
            sections = {section.name: section for section in repo.sections(snapshot)}
            for part in large(changed).parts:
                section = sections[part.name]
                cutter = LeafCutter()
                leaves = cutter.feed(part.text) + cutter.finish()
                assert list(leaves_of(repo.chunks, section)) == leaves
                assert (section.leaves is not None) == (part.name.name == "large")
                assert read_block_map(repo.chunks, section) == part.end.block_map
        # The same contents again: nothing is recorded.
        again = record(repo, large(True), skip_unchanged=True)
        assert (again.recorded, again.stored_bytes < 20_000) == (False, True)


def test_a_snapshot_of_the_first_version_that_did_not_change_is_not_recorded_again(
    tmp_path: Path,
) -> None:
    shutil.copytree(FOLDER / "v1-plain" / "repository", tmp_path / "repository")
    with opened(tmp_path / "repository") as repo:
        before = repo.snapshot(repo.newest("shop")[0])
        assert before.leaf_root is None
        again = record(repo, shop_of_version_1(True), skip_unchanged=True)
        assert not again.recorded
        changed = record(repo, shop_of_version_1(False), skip_unchanged=True)
        assert (changed.recorded, changed.unchanged) == (True, False)
        assert changed.snapshot.leaf_root is not None


def test_reading_it_changes_no_object(home: Path, tmp_path: Path, repo: Repository) -> None:
    for snapshot in repo.newest(None):
        texts(repo, snapshot)
    for file in (home / "repository").rglob("*"):
        if file.is_file():
            copy = tmp_path / "repository" / file.relative_to(home / "repository")
            assert copy.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", PUBLISHED)
def test_its_log_of_publications_is_whole_and_goes_on(name: str, tmp_path: Path) -> None:
    path = tmp_path / "repository"
    shutil.copytree(FOLDER / name / "repository", path)
    with opened_stored(name, path, whole=True) as repo:
        chain = repo.chain()
        assert chain is not None
        assert (chain.faults, chain.differences) == ((), ())
        assert chain.head is not None
        assert chain.head.number == 8
        assert chain.snapshots == set(repo.newest(None))
        assert verify(repo, data=True).findings == ()
        before = repo.newest(None)
        (gone,) = [note.snapshot for note in repo.notes("forgotten")]
    with opened_stored(name, path, "another host") as repo:
        record(repo, shop(50), message="one more")
    with opened_stored(name, path) as repo:
        assert len(repo.newest(None)) == len(before) + 1
    # The round that was announced is ended, and what it marked is needed by nothing.
    (marked,) = path.glob("gc/00000001-*")
    with opened_stored(name, path, "a collector", alone=True, whole=True) as repo:
        report = gc(repo, Policy(last=10), grace=AT_ONCE, pack_grace=AT_ONCE)
    assert report.packs_deleted == 1
    assert marked.name == "00000001-1"
    assert {file.name for file in path.glob("gc/00000001-*")} > {marked.name}
    with opened_stored(name, path, "another host") as repo:
        assert gone not in repo.newest(None)
        assert set(before) < set(repo.newest(None))
        assert verify(repo, data=True).findings == ()


def test_the_encrypted_one_was_sealed_with_two_keys_and_all_of_it_is(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / ENCRYPTED / "repository", tmp_path / "repository")
    with opened(tmp_path / "repository") as repo:
        assert verify(repo, data=True).findings == ()
        assert {epoch for (epoch,) in repo.index.query("SELECT epoch FROM packs")} == {1, 2}
        assert {code for (code,) in repo.index.query("SELECT codec FROM chunks")} >= {1, 2}
    for file in (FOLDER / ENCRYPTED / "repository").rglob("*"):
        if file.is_file():
            kind = file.read_bytes()[:8]
            assert kind[:5] == b"\x89snap"
            assert kind[5:6] in b"CK" or kind[5:] in (b"S\x01\x01", b"P\x01\x01")


def test_a_stored_encrypted_repository_needs_its_key(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / ENCRYPTED / "repository", tmp_path / "repository")
    with pytest.raises(WrongKey) as caught:
        opened(tmp_path / "repository", bytes(32))
    assert caught.value.exit_code == 12
    with pytest.raises(WrongKey):
        Repository.open(tmp_path / "repository")
