"""What faults of an object store do: nothing is lost or wrong, and where the outcome of a write is
unknown it is found out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pgsnap.errors import (
    ObjectExists,
    ObjectNotFound,
    StoreChanged,
    StoreError,
    StoreFull,
    StoreRefused,
)
from pgsnap.stores.base import Store
from pgsnap.stores.objects.store import ObjectStore
from pgsnap.stores.opening import open_store
from pgsnap.stores.pacing import Line, Pace
from support.running.breadth import IS_LONG
from support.running.seeds import SEED
from support.servers.object_server import LATE, Fault, ObjectServer, Seen, always, nth
from support.servers.object_stores import aws_environ

# So many attempts that one gets through on a busy machine too, where half a second may be short.
PACE = Pace(
    attempts=30,
    first_pause_seconds=0.01,
    longest_pause_seconds=0.05,
    base_seconds=0.5,
    patience_seconds=60,
)
# After these a request is made again; the others would fail again.
PASSING = [
    Fault.DROP,
    Fault.LATE_DROP,
    Fault.HANG,
    Fault.LATE_HANG,
    Fault.DELAYED,
    Fault.SLOW_DOWN,
    Fault.LATE_SLOW_DOWN,
    Fault.INTERNAL,
    Fault.TOO_MANY,
    Fault.TIME_OUT,
    Fault.EXPIRED,
]
UNANSWERED = {Fault.HANG, Fault.LATE_HANG, Fault.DELAYED}
MANY = 2300
DATA = random.Random(1).randbytes(100_000)


class GoogleServer(ObjectServer):
    """The same, used as Google Cloud Storage: its conditions name generations."""


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[ObjectServer]:
    with getattr(request, "param", ObjectServer)() as made:
        yield made


each_provider = pytest.mark.parametrize("server", [ObjectServer, GoogleServer], indirect=True)

# The matrix of all operations and faults.
each_provider_if_long = pytest.mark.parametrize(
    "server", [ObjectServer, *([GoogleServer] if IS_LONG else [])], indirect=True
)


def opened(server: ObjectServer, pace: Pace = PACE, bucket: str = "bucket") -> ObjectStore:
    url, environ = f"s3://{bucket}/p", aws_environ(server.endpoint)
    if isinstance(server, GoogleServer):
        url = f"gs://{bucket}/p?endpoint={server.endpoint}"
        environ = {"GOOGLE_BEARER_TOKEN": "a-token"}
    store = open_store(url, environ, pace=pace)
    assert isinstance(store, ObjectStore)
    return store


def fill(server: ObjectServer) -> None:
    server.objects.clear()
    for name, data in [("config", b"config"), ("packs/old", DATA), ("tags/a", b"1")]:
        server.write(f"p/{name}", data, lambda _: 0)
    for number in range(MANY):
        server.write(f"p/notes/{number:05}", b"x", lambda _: 0)


def listed(store: Store) -> None:
    assert [info.name for info in store.list("notes/")] == [
        f"notes/{number:05}" for number in range(MANY)
    ]


def got(store: Store) -> None:
    assert store.get("packs/old") == DATA


def got_part(store: Store) -> None:
    assert store.get("packs/old", 1000, 5000) == DATA[1000:6000]


def absent(store: Store) -> None:
    with pytest.raises(ObjectNotFound):
        store.get("packs/never")


# Each operation, and what it leaves of the objects that it changes.
OPERATIONS: dict[str, tuple[Callable[[Store], None], dict[str, bytes | None]]] = {
    "put": (lambda store: store.put("packs/new", DATA), {"packs/new": DATA}),
    "put over": (lambda store: store.put("tags/a", b"2"), {"tags/a": b"2"}),
    "create": (lambda store: store.create("tags/b", b"mine"), {"tags/b": b"mine"}),
    "swap": (lambda store: store.replace("tags/a", b"2", b"1"), {"tags/a": b"2"}),
    "swap absent": (lambda store: store.replace("tags/b", b"2", None), {"tags/b": b"2"}),
    "swap away": (lambda store: store.replace("tags/a", None, b"1"), {"tags/a": None}),
    "delete": (lambda store: store.delete("tags/a"), {"tags/a": None}),
    "get": (got, {}),
    "get a part": (got_part, {}),
    "get nothing": (absent, {}),
    "list": (listed, {}),
}


def check(server: ObjectServer, after: dict[str, bytes | None]) -> None:
    found = server.data("p/")
    for name, data in after.items():
        assert found.get(name) == data, name


def has_effect(operation: str) -> bool:
    return not operation.startswith(("get", "list"))


@each_provider_if_long
@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        (operation, fault)
        for operation in OPERATIONS
        for fault in [*PASSING, Fault.CUT]
        if fault not in LATE or has_effect(operation)
    ],
)
def test_a_fault_at_any_request_of_an_operation_passes(
    server: ObjectServer, operation: str, fault: Fault
) -> None:
    task, after = OPERATIONS[operation]
    number = 0
    while True:
        fill(server)
        store = opened(server)
        server.plan = nth(number, fault)
        before = len(server.seen)
        task(store)
        server.plan = lambda seen: None
        server.settle()
        check(server, after)
        if len(server.seen) - before <= number:
            break
        number += 1
    assert number


@each_provider
@pytest.mark.parametrize("operation", ["put", "put over", "create", "swap", "swap absent"])
def test_a_conflict_that_stored_nothing_is_no_refusal(server: ObjectServer, operation: str) -> None:
    task, after = OPERATIONS[operation]
    fill(server)
    writes: list[Seen] = []

    def plan(seen: Seen) -> Fault | None:
        if seen.method != "PUT":
            return None
        writes.append(seen)
        return Fault.CONFLICT if len(writes) <= 2 else None

    server.plan = plan
    task(opened(server))
    check(server, after)
    assert len(writes) == 3


@each_provider_if_long
@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        (operation, fault)
        for operation in OPERATIONS
        for fault in [*PASSING, Fault.CUT, Fault.SKEWED, Fault.DENIED, Fault.FULL]
        # Answers to writes have no body that could be cut.
        if fault not in ({Fault.CUT} if has_effect(operation) else LATE)
    ],
)
def test_a_fault_that_does_not_pass_is_an_error_of_the_store(
    server: ObjectServer, operation: str, fault: Fault
) -> None:
    fill(server)
    server.plan = always(fault)
    # Where an answer comes it is waited for, also on a busy machine.
    seconds = 0.3 if fault in UNANSWERED else 30.0
    with pytest.raises(StoreError) as caught:
        OPERATIONS[operation][0](
            opened(server, Pace(attempts=2, first_pause_seconds=0.01, base_seconds=seconds))
        )
    kinds = {Fault.FULL: StoreFull, Fault.DENIED: StoreRefused}
    assert type(caught.value) is kinds.get(fault, StoreError)
    assert caught.value.exit_code == 50
    assert caught.value.detail


@each_provider
@pytest.mark.parametrize(
    "fault", [Fault.LATE_DROP, Fault.LATE_HANG, Fault.LATE_SLOW_DOWN, Fault.DELAYED]
)
@pytest.mark.parametrize("operation", ["create", "swap", "swap absent"])
def test_a_write_none_of_whose_answers_arrives_is_found_by_reading(
    server: ObjectServer, operation: str, fault: Fault
) -> None:
    task, after = OPERATIONS[operation]
    fill(server)
    server.plan = always(fault, "PUT")
    server.reads_settle = True
    task(opened(server, replace(PACE, attempts=3)))
    check(server, after)


@each_provider
@pytest.mark.parametrize("fault", [Fault.LATE_DROP, Fault.LATE_SLOW_DOWN])
def test_a_write_of_another_is_not_taken_for_ours(server: ObjectServer, fault: Fault) -> None:
    """The answer is lost, and what is read then is what another process wrote first."""
    fill(server)

    def plan(seen: Seen) -> Fault | None:
        if seen.method == "PUT" and len(server.data("p/tags/")) == 1:
            server.write("p/tags/b", b"theirs", lambda _: 0)
            return fault
        return None

    server.plan = plan
    with pytest.raises(ObjectExists):
        opened(server).create("tags/b", b"mine")
    assert server.data("p/tags/")["b"] == b"theirs"


@each_provider
def test_equal_bytes_of_another_are_not_ours_where_every_answer_arrived(
    server: ObjectServer,
) -> None:
    fill(server)
    store = opened(server)
    with pytest.raises(ObjectExists):
        store.create("tags/a", b"1")
    server.write("p/tags/a", b"2", lambda _: 0)
    with pytest.raises(StoreChanged):
        store.replace("tags/a", b"2", b"1")


@each_provider
def test_creates_that_race_under_faults_have_one_winner(server: ObjectServer) -> None:
    fill(server)
    chance = random.Random(SEED)
    faults = [Fault.DROP, Fault.LATE_DROP, Fault.SLOW_DOWN, Fault.LATE_SLOW_DOWN]

    def plan(seen: Seen) -> Fault | None:
        if chance.random() > 0.25:
            return None
        return chance.choice([*faults, Fault.CONFLICT] if seen.method == "PUT" else faults)

    server.plan = plan
    store = opened(server, Pace(attempts=20, first_pause_seconds=0.01, longest_pause_seconds=0.05))
    for number in range(20):

        def create(index: int, number: int = number) -> bool:
            try:
                store.create(f"tags/race{number}", b"%d by %d" % (number, index))
            except ObjectExists:
                return False
            return True

        with ThreadPoolExecutor(16) as pool:
            won = list(pool.map(create, range(16)))
        assert won.count(True) == 1
        stored = server.data("p/tags/")[f"race{number}"]
        assert stored == b"%d by %d" % (number, won.index(True))


@each_provider
def test_a_404_is_not_believed_while_the_repository_cannot_be_read(server: ObjectServer) -> None:
    fill(server)
    store = opened(server)
    server.plan = lambda seen: (
        Fault.ABSENT if seen.key == "p/packs/old" else Fault.DENIED if seen.key else None
    )
    with pytest.raises(StoreError) as caught:
        store.get("packs/old")
    assert type(caught.value) is StoreRefused


@each_provider
def test_a_repository_that_vanishes_is_no_missing_object(server: ObjectServer) -> None:
    fill(server)
    store = opened(server)
    with pytest.raises(ObjectNotFound):
        store.get("packs/never")
    server.objects.clear()
    with pytest.raises(StoreError) as caught:
        store.get("packs/old")
    assert type(caught.value) is StoreError
    assert "has vanished" in caught.value.message


@each_provider
def test_a_missing_bucket_is_named_by_every_call(server: ObjectServer) -> None:
    store = opened(server, bucket="other")
    for task in (
        lambda: store.get("config"),
        lambda: store.put("packs/new", b"x"),
        lambda: store.create("config", b"x"),
        lambda: store.replace("tags/a", b"x", None),
        lambda: store.replace("tags/a", b"x", b"y"),
    ):
        with pytest.raises(StoreError) as caught:
            task()
        assert 'there is no bucket "other"' in caught.value.message
    with pytest.raises(StoreError):
        list(store.list("packs/"))


@each_provider
def test_a_delayed_write_of_a_first_attempt_changes_nothing_later(server: ObjectServer) -> None:
    """It takes effect after the second attempt, and after another process's write."""
    fill(server)
    puts: list[Seen] = []

    def plan(seen: Seen) -> Fault | None:
        if seen.method == "PUT":
            puts.append(seen)
        return Fault.DELAYED if len(puts) == 1 and seen.method == "PUT" else None

    server.plan = plan
    server.delayed_until = lambda: server.data("p/tags/")["a"] == b"3"
    store = opened(server)
    store.replace("tags/a", b"2", b"1")
    assert server.came_late == 0
    store.replace("tags/a", b"3", b"2")
    server.settle()
    assert server.came_late == 1
    assert server.data("p/tags/")["a"] == b"3"


def test_no_more_than_asked_for_is_in_flight_and_everything_is_counted(
    server: ObjectServer,
) -> None:
    fill(server)
    server.plan = nth(1, Fault.SLOW_DOWN)
    store = opened(server)
    store.put("packs/new", DATA)
    store.put("packs/newer", DATA)
    assert store.get("packs/new", 10, 20) == DATA[10:30]
    listed(store)
    store.delete("packs/new")
    counts = store.counts()
    assert (counts.put, counts.get, counts.list, counts.delete) == (3, 1, 4, 1)
    assert (counts.repeated, counts.sent_bytes) == (1, 3 * len(DATA))
    assert counts.received_bytes == 20


def test_all_requests_share_one_line(server: ObjectServer) -> None:
    """Reads and writes from many threads, those that are made again, and those whose size nobody
    knew before."""
    fill(server)
    store = opened(server)
    line = store._requests.traffic._line = Line(1e9, lambda: 0.0)

    def passed() -> int:
        return round(line._free_at * 1e9)

    def counted() -> int:
        return store.counts().sent_bytes + store.counts().received_bytes

    def work(number: int) -> None:
        store.put(f"packs/{number}", DATA)
        store.create(f"tags/{number}", b"some")
        store.replace(f"tags/{number}", b"other", b"some")
        assert store.get(f"packs/{number}", 100, 70_000) == DATA[100:70_100]
        assert store.get(f"packs/{number}") == DATA

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(8)))
    assert passed() == counted() > 8 * 2 * len(DATA)
    # What was sent in vain took the line too.
    server.plan = nth(0, Fault.SLOW_DOWN)
    before = passed()
    store.put("packs/again", DATA)
    assert passed() - before == 2 * len(DATA)
    assert passed() == counted()
