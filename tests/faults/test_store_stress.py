"""Committers, collectors, readers and a verifier, each a process, at one repository at once."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pgsnap.errors import UnknownRevision
from pgsnap.repository.chunks.stream import snapshot_stream
from pgsnap.repository.repository import Repository
from support.dumps.scripted import Dump, texts
from support.repositories.made import in_child, record
from support.running.commandline import CommandLine
from support.store_model.states import CHANGES, dump_of, first_state
from support.store_model.world import make_small

SECONDS = 3.0
KEPT = 2


def dumped(label: str, number: int) -> Dump:
    """Return what a database holds at its n-th commit."""
    chance = random.Random(f"{label} {number // 8}")
    state = first_state(chance.randrange(100))
    for step in range(number % 8):
        CHANGES[(number // 8 + step) % len(CHANGES)](state, chance)
    return dump_of(state)


def commit_until(path: Path, label: str, end: float) -> None:
    """Commit again and again; write down which commits returned."""
    number = 0
    with path.with_name(f"done-{label}").open("w") as done:
        while number <= KEPT or time.monotonic() < end:
            with Repository.open(path, lock_timeout_seconds=60) as repo:
                tag = "held" if number == 1 else "moving"
                made = record(
                    repo,
                    dumped(label, number),
                    database=label,
                    message=str(number),
                    tags=(tag,),
                    force_tags=True,
                )
            done.write(json.dumps([number, made.snapshot_id.hex()]) + "\n")
            done.flush()
            number += 1


def read_until(path: Path, end: float) -> None:
    """Read what is there, whole: while it is open nobody takes it away."""
    while time.monotonic() < end:
        with Repository.open(path, lock_timeout_seconds=60) as repo:
            for snapshot in repo.newest(None, 4):
                made = repo.snapshot(snapshot)
                read = b"".join(snapshot_stream(repo, made, restrict_key=None))
                expected = dumped(made.database, int(made.message))
                assert read == b"".join(text for _, text in expected.texts)


def test_committers_collectors_and_readers_at_once_lose_nothing(
    snap: CommandLine, tmp_path: Path
) -> None:
    path = make_small(tmp_path / "backups")
    end = time.monotonic() + SECONDS
    codes: list[tuple[str, int, str]] = []

    def repeat(*words: str) -> None:
        while True:
            run = snap.process(*words, "--repo", str(path), "--no-progress")
            codes.append((words[0], run.code, run.err))
            if time.monotonic() >= end:
                return

    def child(task: Callable[[], None]) -> None:
        codes.append(("a child", in_child(task), ""))

    labels = ["shop", "blög", "shop-staging"]
    tasks = [partial(child, partial(commit_until, path, label, end)) for label in labels]
    tasks.append(partial(child, partial(read_until, path, end)))
    tasks += [partial(repeat, "gc", "--keep-last", str(KEPT), "--grace", "0s")] * 2
    tasks.append(partial(repeat, "verify", "--data"))
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [code for code in codes if code[1]] == []

    last = snap.process("gc", "--keep-last", str(KEPT), "--grace", "0s", "--repo", str(path))
    assert last.code == 0, last.err
    with Repository.open(path) as repo:
        for label in labels:
            lines = path.with_name(f"done-{label}").read_text().splitlines()
            done = {number: bytes.fromhex(name) for number, name in map(json.loads, lines)}
            kept = repo.newest(label)
            assert kept[:KEPT] == [done[max(done)], done[max(done) - 1]]
            assert done[1] in kept, "it has a tag"
            for number, snapshot in done.items():
                if snapshot in kept:
                    assert texts(repo, snapshot) == dumped(label, number).texts
                else:
                    with pytest.raises(UnknownRevision):
                        repo.snapshot(snapshot)
    found = snap.process("verify", "--data", "--repo", str(path))
    assert found.code == 0, found.out + found.err
