"""The tables and the goals of bench_storage.py."""

from __future__ import annotations

import statistics

from bench_commit import PYTHON, memory_goal
from history import History
from measure import Series
from report import Goal, Table, goal_at_least, goal_at_most, megabytes, mib, ratio, seconds
from stores import PATCH, SNAP, ZSTD
from workshop import Order

# After so many versions the sizes are shown, and after the last.
MARKS = (1, 7)
PEERS = ("restic", "borg")
RATE_MIN = 200.0
APPLICATION = "app"

Histories = dict[str, History]


def size(bytes_: float) -> str:
    """Return kB or MB, with two digits where one more snapshot would else look like nothing."""
    return f"{bytes_ / 1e6:.2f} MB" if 1e5 <= abs(bytes_) < 1e7 else megabytes(bytes_)


def marks(versions: int) -> list[int]:
    return sorted({number for number in MARKS if number < versions} | {versions})


def tables(
    order: Order, histories: Histories, read: dict[str, Series], sizes: dict[int, int]
) -> tuple[Table, ...]:
    """Return the tables of one data set; *sizes* are those of its dumps."""
    made = [_stored_table(order, histories, sizes), _time_table(order, histories, sizes)]
    if SNAP in histories:
        made.append(_parts_table(order, histories[SNAP]))
    made.append(_read_table(order, read, sizes))
    return tuple(made)


def _stored_table(order: Order, histories: Histories, sizes: dict[int, int]) -> Table:
    after = marks(order.versions)
    snap = histories.get(SNAP)
    rows = []
    for name, one in histories.items():
        smaller = f"{one.mean_one_more / snap.mean_one_more:.2f}" if snap else "-"
        rows.append(
            (
                f"`{name}`",
                *(size(one.total(number)) for number in after),
                size(one.mean_one_more),
                size(statistics.median(one.one_more)),
                size(one.one(order.versions)),
                smaller,
            )
        )
    header = (
        "store",
        *(f"after {number}" for number in after),
        "one more, mean",
        "median",
        "the last",
        "mean, x snap's",
    )
    notes = [f"The data: {order.data_set.what}."]
    notes += [
        f"`{name}` was given versions {', '.join(map(str, sorted(one.stored)))} only; the sizes in "
        "between are interpolated linearly."
        for name, one in histories.items()
        if one.interpolated
    ]
    notes.append(f"`{PATCH}` is the floor: each dump as a whole against the one before, -3 --long.")
    first, last = sizes[1] / 1e6, sizes[order.versions] / 1e6
    title = (
        f"Stored, {order.data_set.name}: {order.versions} versions, {first:.0f} to {last:.0f} MB"
    )
    return Table(title, header, tuple(rows), tuple(notes))


def _time_table(order: Order, histories: Histories, sizes: dict[int, int]) -> Table:
    others = statistics.mean(size for number, size in sizes.items() if number > 1)
    rows = []
    for name, one in histories.items():
        peaks = [run.own_peak_bytes for run in one.runs.values() if run.own_peak_bytes]
        rows.append(
            (
                f"`{name}`",
                seconds(one.first_seconds),
                f"{sizes[1] / 1e6 / one.first_seconds:.0f}",
                seconds(one.mean_other_seconds),
                f"{others / 1e6 / one.mean_other_seconds:.0f}",
                mib(max(peaks, default=None)),
            )
        )
    header = ("store", "first, s", "MB/s", "others, mean s", "MB/s", "own peak MiB")
    note = "From a file in the page cache. snap, restic and borg fsync what they write."
    return Table(f"Commit, {order.data_set.name}", header, tuple(rows), (note,))


def _parts_table(order: Order, snap: History) -> Table:
    rows = []
    for number in marks(order.versions):
        parts = snap.stored[number]
        names = ("packs", "index", "other", "total")
        rows.append((f"after {number}", *(size(parts[name]) for name in names)))
    header = ("snap's repository", "packs", "index", "other", "total")
    return Table(f"Of what snap stores, {order.data_set.name}", header, tuple(rows))


def read_name(store: str, number: int) -> str:
    return f"{store}, version {number}"


def _read_table(order: Order, read: dict[str, Series], sizes: dict[int, int]) -> Table:
    rows = []
    for name, one in read.items():
        number = name.rpartition(" version ")[2]
        floor = read.get(read_name(ZSTD, int(number))) if number.isdigit() else None
        floor = floor or read.get(read_name(ZSTD, order.versions))
        rate = f"{sizes[int(number)] / 1e6 / one.wall_seconds:.0f}" if number.isdigit() else "-"
        rows.append(
            (
                f"`{name}`",
                seconds(one.wall_seconds, 3),
                rate,
                ratio(one, floor) if floor else "-",
                mib(one.own_peak_bytes),
            )
        )
    header = ("read back", "seconds", "MB/s", "x `zstd -d`", "own peak MiB")
    notes = (
        "Medians. Each was compared once with the dump, but for the lines that pg_dump itself "
        "writes differently each time.",
        "zstd decompresses on one thread; restic also decrypts; snap, restic and borg verify.",
    )
    return Table(f"Read back, {order.data_set.name}", header, tuple(rows), notes)


# -- goals -------------------------------------------------------------------------------------


def goals(
    order: Order, histories: Histories, read: dict[str, Series], sizes: dict[int, int]
) -> tuple[Goal, ...]:
    if SNAP not in histories:
        return ()
    if order.data_set.name == APPLICATION:
        return (
            *_application_goals(order, histories),
            *_reading_goals(order, histories, read, sizes),
        )
    return _no_worse_goals(order, histories)


def _application_goals(order: Order, histories: Histories) -> list[Goal]:
    snap, versions = histories[SNAP], order.versions
    found = []
    for name in PEERS:
        if peer := histories.get(name):
            smaller = peer.mean_one_more / snap.mean_one_more
            wished = f"one more snapshot: 15 times smaller than {name}'s"
            found.append(goal_at_least(wished, smaller, 15.0, " x"))
    if floor := histories.get(PATCH):
        larger = snap.mean_one_more / floor.mean_one_more
        wished = f"one more snapshot: at most 1.5 x `{PATCH}`"
        found.append(goal_at_most(wished, larger, 1.5, " x"))
    for name in PEERS:
        if peer := histories.get(name):
            share = snap.total(versions) / peer.total(versions)
            wished = f"all after {versions}: under a fifth of {name}'s"
            found.append(goal_at_most(wished, share, 0.2, " x"))
            for which, mine, theirs in (
                ("first commit", snap.first_seconds, peer.first_seconds),
                ("later commits", snap.mean_other_seconds, peer.mean_other_seconds),
            ):
                wished = f"{which}: no slower than {name}'s"
                found.append(goal_at_most(wished, mine / theirs, 1.0, " x"))
    return found


def _reading_goals(
    order: Order, histories: Histories, read: dict[str, Series], sizes: dict[int, int]
) -> list[Goal]:
    start = read[PYTHON].wall_seconds
    found = []
    for number, size in sorted(sizes.items()):
        if one := read.get(read_name(SNAP, number)):
            rate = size / 1e6 / one.wall_seconds
            wished = (
                f"version {number} read back: {RATE_MIN:.0f} MB/s (python's start: {start:.3f} s)"
            )
            found.append(goal_at_least(wished, rate, RATE_MIN, " MB/s"))
    found.append(memory_goal("snap commit --file", histories[SNAP].series(order.data_set.name)))
    return found


def _no_worse_goals(order: Order, histories: Histories) -> tuple[Goal, ...]:
    snap, restic = histories[SNAP], histories.get("restic")
    if restic is None:
        return ()
    pairs = (
        (f"all after {order.versions}", snap.total(order.versions), restic.total(order.versions)),
        ("one more, mean", snap.mean_one_more, restic.mean_one_more),
        ("the last", snap.one(order.versions), restic.one(order.versions)),
    )
    return tuple(
        goal_at_most(f"{order.data_set.name}: {what}: at most 1.02 x restic's", a / b, 1.02, " x")
        for what, a, b in pairs
    )
