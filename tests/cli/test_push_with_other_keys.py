"""A plain repository here and an encrypted one on an S3 server: pushed, cut short, pulled back."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgsnap.repository.repository import Repository
from support.repositories.collecting import commit_versions
from support.repositories.made import make
from support.running.commandline import CommandLine, Result
from support.servers.object_server import BUCKET, Fault, ObjectServer, Seen
from support.servers.object_stores import aws_environ

# Of an open remote and a push, whatever is sent: what is looked at, and what is written last.
REQUESTS_BEYOND_PACKS = 20


@pytest.fixture
def server(snap: CommandLine) -> Iterator[ObjectServer]:
    with ObjectServer() as server:
        for name, value in aws_environ(server.endpoint).items():
            snap.setenv(name, value)
        yield server


@pytest.fixture
def url(snap: CommandLine, server: ObjectServer) -> str:
    """The URL of an encrypted repository, a remote of the one in `backups`, which is plain."""
    key = snap.work / "key"
    key.write_bytes(b"thirty-two bytes of a key, or so")
    key.chmod(0o600)
    url = f"s3://{BUCKET}/shop?endpoint={server.endpoint}"
    make(snap.work / "backups")
    (snap.work / "snap.toml").write_text('repository = "backups"\ndatabase = "shop"\n')
    snap.ok("init", url, "--encrypt", "--key-file", "key")
    snap.ok("remote", "add", "offsite", url)
    with (snap.work / "snap.toml").open("a") as toml:
        toml.write('key_file = "key"\n')
    return url


def commit(snap: CommandLine, *numbers: int) -> list[str]:
    with Repository.open(snap.work / "backups") as repo:
        return [one.hex() for one in commit_versions(repo, numbers)]


def there(snap: CommandLine, url: str, *arguments: str) -> Result:
    return snap.ok(*arguments, "--repo", url, "--key-file", "key")


def test_one_more_snapshot_costs_what_it_stored_and_few_requests(
    snap: CommandLine, server: ObjectServer, url: str
) -> None:
    commit(snap, 0, 1)
    snap.ok("push")
    (new,) = commit(snap, 2)
    with Repository.open(snap.work / "backups") as repo:
        stored = repo.snapshot(bytes.fromhex(new)).stored_bytes
    server.seen.clear()
    report = snap.ok("push", "--json").json["remotes"][0]
    assert report["snapshots"] == [new]
    assert report["sent_bytes"] <= stored * 1.1 + 256
    sent = sum(seen.sent_bytes for seen in server.seen if seen.key.startswith("shop/packs/"))
    assert sent == report["sent_bytes"]
    # Nothing is read of what is there.
    asked = [seen for seen in server.seen if not seen.key.startswith("shop/packs/")]
    assert len(asked) <= REQUESTS_BEYOND_PACKS
    assert not [seen for seen in server.seen if seen.method == "GET" and "/packs/" in seen.key]


def test_both_sides_print_the_same_text_for_either_id_and_a_clone_has_the_first_ids(
    snap: CommandLine, url: str
) -> None:
    made = commit(snap, 0, 1, 2)
    snap.ok("tag", "release", "latest~1")
    snap.ok("push")
    text = {one: snap.ok("cat", one).out for one in made}
    assert all(there(snap, url, "cat", one).out == text[one] for one in made)
    ids = [entry["id"] for entry in there(snap, url, "log", "--json").json]
    assert not set(ids) & set(made)
    assert there(snap, url, "cat", ids[0]).out == text[made[-1]]
    assert there(snap, url, "cat", f"{made[2]}~2").out == text[made[0]]
    assert there(snap, url, "cat", "release").out == text[made[1]]
    assert snap.ok("verify", "--data").code == there(snap, url, "verify", "--data").code == 0
    snap.ok("clone", url, "again", "--key-file", "key")
    cloned = snap.ok("log", "--json", "--repo", "again").json
    assert [entry["id"] for entry in cloned] == made[::-1]
    assert snap.ok("cat", made[0], "--repo", "again").out == text[made[0]]
    assert snap.ok("verify", "--data", "--repo", "again").code == 0


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_push_killed_at_a_write_is_completed_by_the_next_one(
    snap: CommandLine, server: ObjectServer, url: str, after: int
) -> None:
    made = commit(snap, 0, 1, 2)
    child = snap.popen("push")
    left = after

    def plan(seen: Seen) -> Fault | None:
        nonlocal left
        left -= seen.method == "PUT"
        if left == 0:
            child.send_signal(signal.SIGKILL)
        return None

    server.plan = plan
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    server.plan = lambda seen: None
    # What can be seen is whole.
    for entry in there(snap, url, "log", "--json").json:
        there(snap, url, "cat", entry["id"])
    snap.ok("push")
    assert len(there(snap, url, "log", "--json").json) == len(made)
    assert there(snap, url, "verify", "--data").code == 0


def test_gc_on_both_sides_leaves_what_stays_and_the_next_push_goes_on(
    snap: CommandLine, url: str
) -> None:
    made = commit(snap, *range(5))
    snap.ok("push")
    snap.ok("gc", "--keep-last", "2", "--grace", "0s")
    there(snap, url, "gc", "--keep-last", "3", "--grace", "0s")
    made += commit(snap, 5)
    report = snap.ok("push", "--json").json["remotes"][0]
    assert report["snapshots"] == made[-1:]
    assert snap.ok("verify", "--data").code == there(snap, url, "verify", "--data").code == 0
    assert len(there(snap, url, "log", "--json").json) == 4
    assert there(snap, url, "cat", made[3]).out == snap.ok("cat", made[3]).out


def test_a_lost_cache_costs_reading_and_sends_nothing_twice(snap: CommandLine, url: str) -> None:
    commit(snap, 0, 1)
    snap.ok("push")
    caches = list(Path(snap.folder / "home").rglob("*.sqlite"))
    assert caches
    shutil.rmtree(caches[0].parent)
    (new,) = commit(snap, 2)
    with Repository.open(snap.work / "backups") as repo:
        stored = repo.snapshot(bytes.fromhex(new)).stored_bytes
    report = snap.ok("push", "--json").json["remotes"][0]
    assert report["snapshots"] == [new]
    assert report["sent_bytes"] <= stored * 1.1 + 256
    assert there(snap, url, "verify", "--data").code == 0
