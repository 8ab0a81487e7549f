"""A signal while a store does not answer: the program ends, and what cleans up still can."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.servers.object_server import Fault, ObjectServer, Seen, waits

TESTS = Path(__file__).parents[1]

# What it is asked for hangs; what cleans up afterwards passes.
PROGRAM = """
import sys, gc
sys.path.insert(0, sys.argv[1])
from concurrent.futures import ThreadPoolExecutor
from pgsnap import interrupts
from pgsnap.stores.opening import open_store
from support.servers.object_stores import aws_environ

def work(store):
    if sys.argv[3] == "main":
        {call}
    else:
        with ThreadPoolExecutor(2) as pool:
            interrupts.result(pool.submit(lambda: {call}))

interrupts.handle()
store = open_store("s3://bucket/p", aws_environ(sys.argv[2]))
try:
    work(store)
except KeyboardInterrupt:
    store.put("tags/cleaned", b"x")
    store.delete("tags/one", "tags/two")
    print("cleaned up", flush=True)
    gc.freeze()
    interrupts.end_at_once()
    sys.exit(130)
"""
CALLS = {
    "put": 'store.put("packs/hangs", b"x" * 100_000)',
    "create": 'store.create("packs/hangs", b"x")',
    "replace": 'store.replace("packs/hangs", b"x", None)',
    "get": 'store.get("packs/hangs")',
    "delete": 'store.delete("packs/hangs", "packs/hangs-too")',
    "list": 'list(store.list("packs"))',
}


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    def plan(seen: Seen) -> Fault | None:
        hangs = "hangs" in seen.key or "packs" in seen.query.get("prefix", "")
        return Fault.HANG if hangs else None

    with ObjectServer(plan=plan, hangs_seconds=300.0) as made:
        for name in ("config", "tags/one", "tags/two"):
            made.write(f"p/{name}", b"x", lambda _: 0)
        yield made


@pytest.mark.parametrize("thread", ["main", "pool"])
@pytest.mark.parametrize("call", CALLS)
def test_a_signal_ends_the_wait_for_a_request(server: ObjectServer, call: str, thread: str) -> None:
    program = PROGRAM.replace("{call}", CALLS[call])
    command = [sys.executable, "-c", program, str(TESTS), server.endpoint, thread]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert waits(lambda: len(server.seen) > 0, 60)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=50)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, errors.decode()
    assert output == b"cleaned up\n"
    assert set(server.data("p/tags/")) == {"cleaned"}


HOLDER = """
import sys, gc
sys.path.insert(0, sys.argv[1])
from pgsnap import interrupts
from pgsnap.repository.places import lease
from pgsnap.stores.opening import open_store
from support.servers.object_stores import aws_environ

lease.BEAT_SECONDS = 0.1
interrupts.handle()
store = open_store("s3://bucket/p", aws_environ(sys.argv[2]))
try:
    with lease.held_lease(store, 10):
        interrupts.sleep(300)
except KeyboardInterrupt:
    gc.freeze()
    interrupts.end_at_once()
    sys.exit(130)
"""


def test_a_signal_while_a_lease_is_renewed_ends_its_holder_without_a_traceback() -> None:
    renewals: list[Seen] = []

    def plan(seen: Seen) -> Fault | None:
        if seen.method == "PUT" and seen.key == "p/gc/lease":
            renewals.append(seen)
            return Fault.HANG if len(renewals) > 1 else None
        return None

    with ObjectServer(plan=plan, hangs_seconds=300.0) as server:
        server.write("p/config", b"x", lambda _: 0)
        command = [sys.executable, "-c", HOLDER, str(TESTS), server.endpoint]
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            assert waits(lambda: len(renewals) > 1, 60)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=50)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 130
    assert errors == b""
