"""An SFTP server that is restarted, full, or honours only a half; and writers that are killed."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest

from pgsnap.errors import RepositoryError, StoreChanged, StoreError, StoreFull, StoreRefused
from pgsnap.maintenance.verify.verify import verify
from pgsnap.repository.repository import Repository
from pgsnap.stores.base import Store
from pgsnap.stores.probe import Use, probe
from pgsnap.stores.sftp import swap
from pgsnap.stores.sftp.store import SftpStore
from pgsnap.workflows.sync.transfer import transfer
from support.dumps.scripted import shop, texts
from support.repositories.made import make, record
from support.running.seeds import SEED
from support.servers.sshd import (
    AsyncsshServer,
    Server,
    Sshd,
    folder_for,
    serving,
    use_home,
    wait_for_port,
)

pytest.importorskip("asyncssh")

KILLS = int(os.environ.get("SNAP_KILLS", "5"))


@pytest.fixture(scope="module")
def server() -> Iterator[Sshd]:
    with serving(Sshd) as made:
        yield made


@pytest.fixture
def home(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_home(tmp_path, monkeypatch)
    server.knows(tmp_path)
    return tmp_path


def content(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest() * 8000


def write_for_ever(store: Store, began: Event) -> None:
    for number in range(1_000_000):
        name = f"packs/{number % 3}/{os.getpid()}-{number}"
        store.put(name, content(name))
        store.create(f"{name}-new", content(f"{name}-new"))
        began.set()
        # As long as its holder lives, each swap meets what the one before wrote.
        with contextlib.suppress(StoreChanged):
            seen = store.get("tags/a")
            store.replace("tags/a", b"%d" % (int(seen) + 1), seen)


def killed_after(seconds: float, store: Store) -> None:
    """Kill a writer so many seconds after it has written something."""
    fork = multiprocessing.get_context("fork")
    began = fork.Event()
    process = fork.Process(target=write_for_ever, args=(store, began))
    process.start()
    assert began.wait(60)
    time.sleep(seconds)
    process.kill()
    process.join()


def test_a_killed_writer_leaves_whole_objects_and_a_lock_that_is_taken_over(
    server: Sshd, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "SILENT_SECONDS", 0.5)
    address = server.address(home.name)
    store = SftpStore(address)
    store.put("tags/a", b"0")
    chance = random.Random(SEED)
    for _ in range(KILLS):
        killed_after(chance.uniform(0.0, 0.9), SftpStore(address))
        seen = store.get("tags/a")
        store.replace("tags/a", b"%d" % (int(seen) + 1), seen)
    names = [info.name for info in store.list("packs/")]
    assert names
    for name in names:
        assert store.get(name) == content(name), name
    store.close()


def test_what_killed_writers_left_is_removed_after_a_day(server: Sshd, home: Path) -> None:
    address = server.address(home.name)
    living = SftpStore(address)
    living.put("a", b"x")
    killed_after(0.0, SftpStore(address))
    temporary = server.data / home.name / "tmp"
    killed = [path for path in temporary.iterdir() if path.is_dir()]
    assert len(killed) == 2
    with_files = temporary / ("0" * 16)
    with_files.mkdir()
    (with_files / "left").write_bytes(b"x")
    # A name that snap does not give.
    others = temporary / "thesis"
    others.write_bytes(b"x")
    long_ago = time.time() - 2 * 24 * 60 * 60
    shutil.chown(with_files, server.user)
    for path in (with_files, others):
        os.utime(path, (long_ago, long_ago))
    later = SftpStore(address)
    later.put("b", b"x")
    later.close()
    assert sorted(temporary.iterdir()) == sorted([*killed, others])
    # One whose folder was taken away while it slept makes another.
    calls = (
        lambda: living.put("c", b"x"),
        lambda: living.create("d", b"x"),
        lambda: living.replace("d", b"y", b"x"),
        lambda: living.replace("e", b"x", None),
        lambda: living.delete("c"),
    )
    for call in calls:
        for path in temporary.iterdir():
            shutil.rmtree(path, ignore_errors=True)
        call()
    assert [living.get("d"), living.get("e")] == [b"y", b"x"]
    living.close()
    assert [path for path in temporary.iterdir() if path.is_dir()] == []


def test_writing_goes_on_when_the_server_is_started_again(server: Sshd, home: Path) -> None:
    with serving(Sshd) as other:
        other.knows(home)
        store = SftpStore(other.address())
        names = [f"packs/{number % 3}/{number}" for number in range(40)]

        def written() -> None:
            for name in names:
                store.put(name, content(name))

        writer = threading.Thread(target=written)
        writer.start()
        for _ in range(3):
            time.sleep(0.4)
            sessions = other.sessions()
            other.stop()
            for pid in sessions:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
            other.start()
        writer.join()
        assert [store.get(name) == content(name) for name in names] == [True] * len(names)
        store.close()


@pytest.mark.parametrize("kind", [Sshd, AsyncsshServer])
def test_the_probe_finds_a_whole_server_fit(
    kind: type[Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_home(tmp_path, monkeypatch)
    with serving(kind) as server:
        server.knows(tmp_path)
        store = SftpStore(server.address())
        assert probe(store).use is Use.FULL
        store.close()


def test_a_server_that_honours_a_half_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rclone's overwrites where it may only create, and makes nothing durable."""
    rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if rclone is None:
        pytest.skip("needs rclone")
    use_home(tmp_path, monkeypatch)
    with folder_for(Server) as folder:
        server = Server(folder)
        server.user = "anybody"
        server.knows(tmp_path)
        command = [rclone, "serve", "sftp", "--addr", f"127.0.0.1:{server.port}"]
        command += ["--key", str(folder / "host_key"), str(server.data)]
        command += ["--authorized-keys", str(folder / "client_key.pub")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for_port(server.port, (folder / "log").read_text)
            store = SftpStore(server.address("store"))
            with pytest.raises(StoreError, match="lacks what a repository needs"):
                probe(store)
            store.close()
        finally:
            process.terminate()
            process.wait()


def test_a_repository_lives_on_an_sftp_server(server: Sshd, home: Path) -> None:
    url = str(server.address(home.name))
    Repository.create(url)
    with Repository.open(url, index_folder=home / "cache") as repo:
        made = record(repo, shop(300), tags=["first"])
        again = record(repo, shop(310), tags=["second"])
    with Repository.open(url) as repo:
        assert texts(repo, made.snapshot_id) == shop(300).texts
        assert texts(repo, again.snapshot_id) == shop(310).texts
        assert not verify(repo, data=True).findings
    folder = server.data / home.name
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_dir()} == {0o700}


def test_what_was_made_in_a_folder_is_only_read_by_sftp(server: Sshd, home: Path) -> None:
    folder = server.data / home.name
    with Repository.open(make(folder)) as repo:
        made = record(repo, shop(300))
    owner = server.data.stat()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    url = str(server.address(home.name))
    before = {path for path in folder.rglob("*") if path.is_file()}
    with Repository.open(url, index_folder=home / "cache") as repo:
        assert texts(repo, made.snapshot_id) == shop(300).texts
        with Repository.open(make(home / "here")) as source:
            record(source, shop(310))
            with pytest.raises(RepositoryError, match="was made in a folder of that host"):
                transfer(source, repo)
        with pytest.raises(RepositoryError, match="was made in a folder of that host"):
            record(repo, shop(300), message="the same rows")
    with pytest.raises(RepositoryError, match="was made in a folder of that host"):
        Repository.open(url, index_folder=home / "cache", alone=True)
    left = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    assert "gc" not in left
    assert {path for path in before if path.parent.name == "snapshots"} == set(
        (folder / "snapshots").iterdir()
    )


def test_a_key_that_can_only_read_reads(home: Path) -> None:
    with serving(Sshd) as server:
        server.knows(home)
        store = SftpStore(server.address())
        store.put("packs/ab/one", b"x")
        store.close()
        keys = server.folder / "client_key.pub"
        keys.write_text(f'restrict,command="internal-sftp -R" {keys.read_text()}')
        reader = SftpStore(server.address())
        assert reader.get("packs/ab/one") == b"x"
        assert [info.name for info in reader.list("packs/")] == ["packs/ab/one"]
        reader.settle(["packs/ab/one"])
        for call in (reader.put, reader.create):
            with pytest.raises(StoreError, match="cannot access") as caught:
                call("packs/ab/two", b"x")
            assert "Permission denied" in caught.value.detail
        # A gc goes on after that.
        with pytest.raises(StoreRefused):
            reader.delete("packs/ab/one")
        assert reader.get("packs/ab/one") == b"x"
        reader.close()


@pytest.mark.system
def test_a_full_disk_is_reported_and_deleting_helps(home: Path) -> None:
    with serving(Sshd) as server:
        server.knows(home)
        mount: list[Any] = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=777", "none", server.data]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("needs the right to mount a tmpfs")
        try:
            store = SftpStore(server.address())
            store.put("packs/a", b"x" * 1_000_000)
            with pytest.raises(StoreFull) as caught:
                store.put("packs/b", b"y" * 3_000_000)
            assert "no space left" in caught.value.message
            # What was written of it is removed.
            store.close()
            assert [path for path in server.data.rglob("*") if path.is_file()] == [
                server.data / "store/packs/a"
            ]
            with contextlib.suppress(OSError), (server.data / "fill").open("wb") as file:
                while True:
                    file.write(b"x" * 4096)
                    file.flush()
            with pytest.raises(StoreFull):
                store.create("packs/c", b"z" * 100_000)
            assert store.get("packs/a") == b"x" * 1_000_000
            store.delete("packs/a")
            store.put("packs/d", b"z" * 100_000)
            assert [info.name for info in store.list("packs/")] == ["packs/d"]
            store.close()
        finally:
            subprocess.run(["umount", str(server.data)], check=True)
