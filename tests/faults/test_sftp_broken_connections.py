"""A connection to an SFTP server breaks at any byte: every call still does exactly what it says.

The worst case is a request that reaches the server when the client has long been back and gone on.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgsnap.errors import ObjectNotFound, StoreChanged
from pgsnap.stores.counting import Counts
from pgsnap.stores.pacing import Line
from pgsnap.stores.sftp import swap
from pgsnap.stores.sftp.store import SftpStore
from support.faults.breaking import Break, BreakingProxy, breaking
from support.running.breadth import times
from support.servers.sshd import Sshd, serving, use_home

pytest.importorskip("asyncssh")

# Places in a call where its connection breaks.
BREAKS = times(2, 60)

OLD, NEW, LATER = b"old", b"new" * 30, b"later"
NAME = "tags/a/b"


@dataclass
class Place:
    """A store behind a proxy, and another way into it."""

    proxy: BreakingProxy
    store: SftpStore
    beside: SftpStore


@pytest.fixture(scope="module")
def server() -> Iterator[Sshd]:
    with serving(Sshd) as made:
        yield made


@pytest.fixture
def place(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    use_home(tmp_path, monkeypatch)
    with breaking(server.port) as proxy:
        server.knows(tmp_path)
        server.knows(tmp_path, proxy.port)
        path = f"{tmp_path.name}"
        made = Place(
            proxy,
            SftpStore(server.address(path, port=proxy.port)),
            SftpStore(server.address(path)),
        )
        yield made
        made.store.close()
        made.beside.close()


def put(store: SftpStore) -> None:
    store.put(NAME, NEW)


def create(store: SftpStore) -> None:
    store.delete(NAME)
    store.create(NAME, NEW)


def delete(store: SftpStore) -> None:
    store.delete(NAME)


def swap_it(store: SftpStore) -> None:
    store.replace(NAME, NEW, OLD)


def swap_in(store: SftpStore) -> None:
    store.delete(NAME)
    store.replace(NAME, NEW, None)


def swap_out(store: SftpStore) -> None:
    store.replace(NAME, None, OLD)


CALLS: dict[Callable[[SftpStore], None], bytes | None] = {
    put: NEW,
    create: NEW,
    delete: None,
    swap_it: NEW,
    swap_in: NEW,
    swap_out: None,
}


def found(store: SftpStore) -> bytes | None:
    try:
        return store.get(NAME)
    except ObjectNotFound:
        return None


def places_in(place: Place, how: Break, call: Callable[[SftpStore], None]) -> range:
    """Return the numbers of bytes after which *call* is broken: over all that it sends, or gets,
    each call beginning at another place."""
    for _ in range(2):
        # The second one finds its folders made.
        place.beside.put(NAME, OLD)
        before = place.proxy.passed[how is Break.ANSWER_LOST]
        call(place.store)
    total = place.proxy.passed[how is Break.ANSWER_LOST] - before
    step = total // BREAKS
    return range(step * list(CALLS).index(call) // len(CALLS), total, step)


@pytest.mark.parametrize("how", Break, ids=lambda how: how.name.lower())
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_a_call_does_what_it_says_wherever_its_connection_breaks(
    place: Place, call: Callable[[SftpStore], None], how: Break
) -> None:
    """And nothing of it happens after it has returned."""
    breaks = 0
    for after in places_in(place, how, call):
        place.beside.put(NAME, OLD)
        list(place.store.list("tags/"))
        place.proxy.arm(how, after)
        call(place.store)
        place.proxy.disarm()
        assert found(place.beside) == CALLS[call], after
        place.beside.put(NAME, LATER)
        place.proxy.release()
        assert found(place.beside) == LATER, after
        breaks += place.proxy.has_broken.is_set()
    # Nobody waits for the last bytes.
    assert breaks >= BREAKS // 2
    assert [info.name for info in place.beside.list("tags/")] == [NAME]


@pytest.mark.parametrize("how", Break, ids=lambda how: how.name.lower())
def test_of_two_that_swap_one_wins_though_the_connection_of_one_breaks(
    place: Place, how: Break, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one takes the lock from it."""
    monkeypatch.setattr(swap, "SILENT_SECONDS", 0.3)
    for after in places_in(place, how, swap_it):
        place.beside.put(NAME, OLD)
        place.proxy.arm(how, after)
        wins: list[bytes] = []

        def swapped(store: SftpStore, data: bytes, wins: list[bytes] = wins) -> None:
            try:
                store.replace(NAME, data, OLD)
            except StoreChanged:
                return
            wins.append(data)

        first = threading.Thread(target=swapped, args=(place.store, NEW))
        first.start()
        place.proxy.has_broken.wait(0.5)
        swapped(place.beside, LATER)
        first.join()
        place.proxy.disarm()
        assert [found(place.beside)] == wins, after
        place.proxy.release()
        assert [found(place.beside)] == wins, after


def test_reads_and_listings_go_on_where_the_connection_breaks(place: Place) -> None:
    data = os.urandom(700_000)
    place.beside.put("packs/ab/one", data)
    place.store.get("packs/ab/one")
    for after in range(1_000, 900_000, 150_000):
        place.proxy.arm(Break.ANSWER_LOST, after)
        assert place.store.get("packs/ab/one") == data
        assert place.store.get("packs/ab/one", 300_000, 100_000) == data[300_000:400_000]
    assert place.proxy.has_broken.is_set()
    for after in range(0, 400, 80):
        place.proxy.arm(Break.ANSWER_LOST, after)
        assert [info.object_bytes for info in place.store.list("packs/")] == [len(data)]
        assert place.proxy.has_broken.is_set()


def test_many_threads_survive_a_break(place: Place) -> None:
    contents = {f"packs/{number % 4}/{number}": os.urandom(300_000) for number in range(12)}
    place.proxy.arm(Break.ANSWER_LOST, 2_000)
    threads = [
        threading.Thread(target=place.store.put, args=(name, data))
        for name, data in contents.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert place.proxy.has_broken.is_set()
    for name, data in contents.items():
        assert place.beside.get(name) == data


def test_requests_are_counted_repeated_ones_too(place: Place) -> None:
    place.store.put("packs/ab/one", b"x" * 1000)
    place.proxy.arm(Break.ANSWER_LOST, 20)
    place.store.put("packs/ab/two", b"x" * 500)
    place.store.get("packs/ab/one")
    list(place.store.list("packs/"))
    place.store.delete("packs/ab/one", "packs/ab/two")
    # Two levels of folders are two listings.
    assert place.store.counts() == Counts(
        put=3, list=2, get=1, delete=1, repeated=1, sent_bytes=2000, received_bytes=1000
    )


def test_all_requests_share_one_line(place: Place) -> None:
    line = place.store._traffic._line = Line(1e9, lambda: 0.0)
    data = bytes(300_000)
    place.store.put("packs/one", data)
    place.store.create("packs/two", b"two")
    assert place.store.get("packs/one", 10, 200_000) == data[:200_000]
    assert place.store.get("packs/one") == data
    counts = place.store.counts()
    assert round(line._free_at * 1e9) == counts.sent_bytes + counts.received_bytes == 800_003
    # What was sent in vain took the line too.
    place.proxy.arm(Break.ANSWER_LOST, 20)
    place.store.put("packs/three", data)
    counts = place.store.counts()
    assert counts.repeated == 1
    assert round(line._free_at * 1e9) == counts.sent_bytes + counts.received_bytes == 1_400_003
