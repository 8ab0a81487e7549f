"""The history of one row in a year of daily snapshots of a table with ten million rows.

The first snapshot is a dump of 520 MB made here. Each later one is committed as with
`source = "direct"`: of the table only the blocks that changed are handed over, which is what makes
a year of them cheap to make. A day has 1,000 new rows, 100 rows that are deleted, and 2,000
updates, all but 100 of them of the newest 200,000 rows; half of the new versions stay in their
block, the others go to the end of the table. One old row changes every thirty days. Then
`snap log --row` asks for rows with different histories; beside it stands what reading every
snapshot with `snap cat` takes, by some of them.
Run: .venv/bin/python benchmarks/bench_row_year.py
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from measure import Command, Measurement, run
from pgsnap.model import (
    BlockMap,
    ChangedBlocks,
    DumpEvent,
    Origin,
    SectionChanged,
    SectionClaim,
    SectionEnd,
    SectionKept,
    SectionKind,
    SectionName,
    ServerInfo,
    SourceEvent,
    SourceKind,
)
from pgsnap.model.baseline import Baseline
from pgsnap.repository.repository import Repository
from pgsnap.sources.base import SourceResult
from pgsnap.sources.file import FileSource
from pgsnap.sources.former import Former, FormerOf
from pgsnap.workflows.commit.commit import commit

NEW, UPDATES, OLD_UPDATES, DELETED = 1_000, 2_000, 100, 100
NEWEST_ROWS = 200_000
FIRST_ID = 10_000_001
MONTHLY_ID = FIRST_ID + 1_234_567
MONTHLY_DAYS = 30
BLOCK_ROWS = 90
WIDTH = len("10000001\t123456\t123.45\t2026-01-01 12:34:56\t01234567\n")
READ_SNAPSHOTS = 3
GOAL_SECONDS = 10
GOAL_MIB = 256

HEAD = b"""--
-- PostgreSQL database dump
--

-- Dumped from database version 15.10
-- Dumped by pg_dump version 15.10

SET statement_timeout = 0;

--
-- Name: orders; Type: TABLE; Schema: public; Owner: app
--

CREATE TABLE public.orders (
    id integer NOT NULL,
    customer integer NOT NULL,
    amount numeric(8,2) NOT NULL,
    changed timestamp without time zone NOT NULL,
    note text
);


--
-- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: app
--

COPY public.orders (id, customer, amount, changed, note) FROM stdin;
"""
TAIL = b"""\\.


--
-- Name: orders orders_pkey; Type: CONSTRAINT; Schema: public; Owner: app
--

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (id);


--
-- PostgreSQL database dump complete
--

"""

NAME = SectionName(SectionKind.DATA, "public", "orders")
ORIGIN = Origin(
    SourceKind.POSTGRES,
    "pg_dump (PostgreSQL) 17.5",
    ServerInfo(170005, "17.5", "7123456789012345678", 1, database_oid=16384),
    client_encoding="UTF8",
)
# Nothing is compared with it: a source that reads a server is what looks at its positions.
BASELINE = Baseline(
    ORIGIN.system_identifier, 1, 170005, 16384, None, 0, (), (), bytes(16), None, None, ()
)

Rows = NDArray[np.uint8]
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Table:
    """A table of blocks with BLOCK_ROWS places for rows each: the texts and keys in them, and which
    are taken. New rows go to the end."""

    def __init__(self, rows: int, days: int, seed: int) -> None:
        self._chance = np.random.default_rng(seed)
        room = rows + days * (NEW + UPDATES) + BLOCK_ROWS
        self._count = 0
        self._ids: Numbers = np.zeros(room, np.int64)
        self._text: Rows = np.zeros((room, WIDTH), np.uint8)
        self._taken: Mask = np.zeros(room, bool)
        self._add(np.arange(FIRST_ID, FIRST_ID + rows, dtype=np.int64))
        self._next_id = FIRST_ID + rows

    def _add(self, ids: Numbers) -> Numbers:
        """Add rows with these keys at the end, and return their places."""
        places = np.arange(self._count, self._count + len(ids))
        self._ids[places], self._text[places], self._taken[places] = ids, self._made(ids), True
        self._count += len(ids)
        return places

    def _made(self, ids: Numbers) -> Rows:
        """Return rows with these keys and new values."""
        text = np.full((len(ids), WIDTH), ord("\t"), np.uint8)
        text[:, -1] = ord("\n")
        draw = self._chance.integers
        customers, cents = draw(100_000, 10**6, len(ids)), draw(10_000, 10**5, len(ids))
        text[:, 0:8] = _digits(ids, 8)
        text[:, 9:15] = _digits(customers, 6)
        text[:, 16:19], text[:, 19] = _digits(cents // 100, 3), ord(".")
        text[:, 20:22] = _digits(cents % 100, 2)
        text[:, 23:42] = np.frombuffer(b"2026-01-01 12:34:56", np.uint8)
        for place, largest in ((28, 12), (31, 28), (34, 23), (37, 59), (40, 59)):
            text[:, place : place + 2] = _digits(draw(1, largest + 1, len(ids)), 2)
        text[:, 43:51] = np.frombuffer(b"0123456789abcdef", np.uint8)[draw(0, 16, (len(ids), 8))]
        return text

    @property
    def present(self) -> Numbers:
        """The keys of its rows."""
        return self._ids[self._taken]

    @property
    def total_blocks(self) -> int:
        return -(-self._count // BLOCK_ROWS)

    def dump(self) -> io.BytesIO:
        """Return a dump with all its rows; there are no free places yet."""
        return io.BytesIO(b"".join((HEAD, self._text[: self._count].data, TAIL)))

    def block_map(self, blocks: Numbers) -> tuple[bytes, bytes]:
        """Return the sizes of the texts of blocks, and how many rows they have."""
        places = np.arange(BLOCK_ROWS) + blocks[:, None] * BLOCK_ROWS
        counts = self._taken[places].sum(axis=1).astype("<u4")
        return (counts * np.uint32(WIDTH)).astype("<u4").tobytes(), counts.tobytes()

    def changed(self, blocks: Numbers) -> ChangedBlocks:
        places = (np.arange(BLOCK_ROWS) + blocks[:, None] * BLOCK_ROWS).ravel()
        text = self._text[places[self._taken[places]]].tobytes()
        return ChangedBlocks(array("I", blocks.tolist()), *self.block_map(blocks), text)

    def next_day(self, day: int) -> Numbers:
        """Change some rows; return the blocks that differ since."""
        count, draw = self._count, self._chance.integers
        newest = draw(count - NEWEST_ROWS, count, UPDATES - OLD_UPDATES)
        found = np.unique(np.concatenate((newest, draw(0, count, OLD_UPDATES))))
        found = found[self._taken[found] & (self._ids[found] != MONTHLY_ID)]
        stay, move = found[::2], found[1::2]
        if day % MONTHLY_DAYS == 0:
            stay = np.append(stay, MONTHLY_ID - FIRST_ID)
        self._text[stay] = self._made(self._ids[stay])
        gone = np.unique(np.append(move, draw(count - NEWEST_ROWS, count, DELETED)))
        self._taken[gone] = False
        new = np.arange(self._next_id, self._next_id + NEW, dtype=np.int64)
        self._next_id += NEW
        ends = self._add(np.concatenate((self._ids[move], new)))
        return np.unique(np.concatenate((stay, gone, ends)) // BLOCK_ROWS)


class Daily:
    """A source that yields the table: all of it, or since the last snapshot only these *blocks*.
    Implements `Source`."""

    def __init__(self, table: Table, blocks: Numbers | None) -> None:
        self._table = table
        self._blocks = blocks
        self._former: Former | None = None
        self._file = FileSource(stream=table.dump()) if blocks is None else None

    def open(self, former_of: FormerOf | None = None) -> Origin:
        if self._file is not None:
            self._file.open()
        elif former_of is not None:
            self._former = former_of(ORIGIN)
        return ORIGIN

    def events(self) -> Iterator[SourceEvent]:
        if self._file is not None:
            blocks = np.arange(self._table.total_blocks)
            block_map = BlockMap(*self._table.block_map(blocks))
            for event in self._file.events():
                is_rows = isinstance(event, SectionEnd) and event.is_copy
                yield replace(event, block_map=block_map) if is_rows else event
            return
        assert self._former is not None, "the last snapshot is known"
        assert self._blocks is not None
        for name, section in self._former.sections.items():
            if name == NAME:
                changed = iter([self._table.changed(self._blocks)])
                yield SectionChanged(section, changed, self._table.total_blocks, _never)
            else:
                yield SectionKept(section)

    def finish(self) -> SourceResult:
        volatile = self._former.volatile if self._former is not None else ()
        return SourceResult(ORIGIN, volatile, baseline=BASELINE)

    def distrust(self) -> None:
        raise AssertionError("its blocks are right")

    def abandon(self) -> None:
        pass


def _never() -> Iterator[DumpEvent | SectionClaim]:
    raise AssertionError("what is stored fits")


def _digits(numbers: Numbers, width: int) -> Rows:
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (numbers[:, None] // powers % 10 + ord("0")).astype(np.uint8)


def fill(path: Path, days: int, rows: int, seed: int) -> None:
    """Make a repository with a snapshot a day, and beside it the keys to ask for."""
    Repository.create(path)
    table = Table(rows, days, seed)
    newest = datetime.now(UTC) - timedelta(hours=1)
    seen: list[Numbers] = []
    with Repository.open(path) as repo:
        for day in range(days):
            began = time.monotonic()
            source = Daily(table, table.next_day(day) if day else None)
            if day in (0, days // 2, days - 1):
                seen.append(table.present)
            at = newest - timedelta(days=days - 1 - day)
            commit(repo, source, database="shop", message="daily", at=at)
            print(f"day {day}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)
    keys = keys_to_ask_for(seen)
    _keys_of(path).write_text(json.dumps(keys))


def keys_to_ask_for(seen: list[Numbers]) -> dict[str, int]:
    """Return keys by what became of their rows; *seen* are those of the first day, of one in the
    middle, and of the last."""
    room = max(int(ids.max()) for ids in seen) + 1 - FIRST_ID
    first, middle, last = (np.zeros(room, bool) for _ in seen)
    for mask, ids in zip((first, middle, last), seen, strict=True):
        mask[ids - FIRST_ID] = True
    return {
        "changed every thirty days": MONTHLY_ID,
        "there all the time": FIRST_ID + int(np.flatnonzero(first & middle & last)[1000]),
        "added in the middle": FIRST_ID + int(np.flatnonzero(~first & middle & last)[-1]),
        "deleted": FIRST_ID + int(np.flatnonzero(first & middle & ~last)[-1]),
        "never there": 10**9,
    }


def _keys_of(path: Path) -> Path:
    return path.with_suffix(".keys.json")


def measured(path: Path, *arguments: str, is_json: bool = False) -> Measurement:
    snap = (sys.executable, "-m", "pgsnap.cli", "--repo", str(path), "--no-progress", *arguments)
    more = {"stdout": None} if is_json else {}
    return run(Command((snap,), folder=path.parent, **more))


def reading(path: Path) -> Iterator[tuple[float, float]]:
    """Yield the wall and the processor seconds that reading some of the snapshots takes."""
    ids = [one["id"] for one in json.loads(measured(path, "log", "--json", is_json=True).output)]
    for place in range(READ_SNAPSHOTS):
        done = measured(path, "cat", ids[place * (len(ids) - 1) // (READ_SNAPSHOTS - 1)])
        yield done.wall_seconds, done.cpu_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--folder", type=Path, default=None, help="where the repository is made")
    parser.add_argument("--made", type=Path, default=None, help="the repository, kept as made")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = given.made or Path(folder) / "year"
        if not _keys_of(path).exists():
            fill(path, given.days, given.rows, given.seed)
        stored = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        each = list(reading(path))
        wall, processor = (statistics.mean(one[part] for one in each) for part in (0, 1))
        print(
            f"{given.days} snapshots of {given.rows * WIDTH / 1e6:.0f} MB in {stored / 1e6:.0f} MB"
        )
        print(f"reading one: {wall:.2f} s, {processor:.2f} s of the processor;", end=" ")
        print(f"all: {wall * given.days:.0f} s, {processor * given.days:.0f} s\n")
        print("| row | seconds | processor seconds | of reading all | events | read MB | MiB |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        for name, key in json.loads(_keys_of(path).read_text()).items():
            words = ("log", "--table", "orders", "--row", str(key), "--json")
            runs = [measured(path, *words, is_json=True) for _ in range(given.rounds)]
            seconds = statistics.median(one.wall_seconds for one in runs)
            busy = statistics.median(one.cpu_seconds for one in runs)
            report = json.loads(runs[-1].output)
            print(
                f"| {name} | {seconds:.2f} | {busy:.2f} | {busy / (processor * given.days):.2%} |"
                f" {len(report['events'])} | {report['read_bytes'] / 1e6:.0f} |"
                f" {(runs[-1].own_peak_bytes or 0) / 2**20:.0f} |",
                flush=True,
            )
        print(f"\nGoals: {GOAL_SECONDS} s, {GOAL_MIB} MiB.")


if __name__ == "__main__":
    main()
