"""The index's place: on this host's own disk, whatever the repository lies on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgsnap.repository import layout
from pgsnap.repository.index import place as index_place
from pgsnap.repository.index.place import index_path, is_on_network
from pgsnap.repository.repository import Repository
from support.dumps.scripted import shop, texts
from support.repositories.made import make, record

TABLE = """\
25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 25 0:44 / {folder} rw shared:20 - nfs4 server:/export rw,vers=4.2
31 30 0:45 / {folder}/local rw - ext4 /dev/sdb1 rw
32 30 0:46 / {folder}/with\\040space rw - fuse.sshfs me@there:/ rw
33 25 0:47 / {folder}-beside rw - xfs /dev/sdc1 rw
34 25 0:48 / {folder}/hidden rw - 9p host rw
35 34 0:49 / {folder}/hidden rw - tmpfs tmpfs rw
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    file = tmp_path / "mountinfo"
    file.write_text(TABLE.format(folder=tmp_path / "srv"))
    return file


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("srv", True),
        ("srv/backups", True),
        ("srv/local/backups", False),
        ("srv/local2/backups", True),
        ("srv/with space/backups", True),
        ("srv-beside/backups", False),
        ("srv/hidden/backups", False),
        ("elsewhere", False),
    ],
)
def test_the_innermost_and_last_mount_decides(
    tmp_path: Path, mounts: Path, folder: str, expected: bool
) -> None:
    assert is_on_network(tmp_path / folder, mounts) is expected


def test_on_a_network_the_index_lies_in_the_users_cache_if_that_can_be_written(
    tmp_path: Path, mounts: Path
) -> None:
    cache = tmp_path / "cache"
    path = tmp_path / "srv" / "backups"
    found = index_path(path, "id", cache, writable=True, mounts=mounts)
    assert found is not None
    assert found.parent == cache
    nowhere = tmp_path / "mountinfo" / "no folder"
    for folder in (None, nowhere):
        found = index_path(path, "id", folder, writable=True, mounts=mounts)
        assert found == path / layout.INDEX_FILE
    assert index_path(path, "id", nowhere, writable=False, mounts=mounts) is None
    local = tmp_path / "here"
    assert index_path(local, "id", cache, writable=True, mounts=mounts) == local / layout.INDEX_FILE


def test_a_table_of_mounts_that_is_not_there_or_no_table_means_local(tmp_path: Path) -> None:
    assert not is_on_network(tmp_path, tmp_path / "nothing")
    (tmp_path / "odd").write_bytes(b"\n1 2 3\n\xff - nfs\n36 25 0:1 / / rw")
    assert not is_on_network(tmp_path, tmp_path / "odd")


def test_hosts_with_an_index_each_see_what_the_other_added_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk whose pack another host collected is stored again, never taken for known."""
    monkeypatch.setattr(index_place, "is_on_network", lambda *_: True)
    path = make(tmp_path / "srv")
    one, two = tmp_path / "one", tmp_path / "two"
    with Repository.open(path, index_folder=one) as repo:
        first = record(repo, shop(300)).snapshot_id
        packs = sorted(info.name for info in repo.store.list(layout.PACKS))
    assert list(one.glob("*.sqlite"))
    with Repository.open(path, index_folder=two, alone=True) as repo:
        assert texts(repo, first) == shop(300).texts
        # What the gc of the other host does to a snapshot that was forgotten.
        repo.store.delete(layout.snapshot_name(first))
        for name in packs:
            repo.store.delete(name)
    with Repository.open(path, index_folder=one) as repo:
        assert repo.newest("shop") == []
        again = record(repo, shop(300)).snapshot_id
        assert texts(repo, again) == shop(300).texts
    with Repository.open(path, index_folder=two) as repo:
        assert texts(repo, again) == shop(300).texts
        repo.check_present(repo.snapshot(again))
