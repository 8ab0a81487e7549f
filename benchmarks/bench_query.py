"""What a look into the past costs: `snap query` of one table beside that table's restore.

The table's restore is `snap restore --table` into the live database, and psql. The query makes a
throw-away server first; its start is shown apart, and does not count in the ratio. That server runs
without fsync, the live one with it. Then `snap bisect` of thirty snapshots, each of which changed
some rows, beside restoring them all: one is restored, and its time taken thirty times.
"""

from __future__ import annotations

import json
import shlex
import statistics
from functools import partial
from pathlib import Path

from bench_commit import init_repository
from measure import Case, Command, Measurement, Series, interleave, run
from report import Goal, Section, Table, document, goal_at_most, markdown, mib, seconds
from setting import Setting, SettingError, arguments, setting

DATABASE, COPY = "bench_app", "bench_copy"
MAJOR = 17
TABLE = "events"
SNAPSHOTS = 30
FIRST_BAD = 17
SQL = f"SELECT kind, count(*), min(occurred_at) FROM {TABLE} GROUP BY kind ORDER BY kind"
# It changes with the snapshot FIRST_BAD.
CHANGED = "SELECT count(*) FROM orders WHERE note = 'bad'"
QUERY, RESTORE = "snap query", "snap restore --table, psql"
BISECT, WHOLE = f"snap bisect of {SNAPSHOTS}", "snap restore --to, of one"
RATIO_MAX, MIB_MAX = 1.2, 256


class Past:
    """The live database, and the repository with its snapshots."""

    def __init__(self, bench: Setting) -> None:
        self._bench = bench
        self._folder = bench.scratch / "snap"
        self.table_bytes = 0
        self._changed: list[str] = []

    def begin(self) -> None:
        """Take the snapshots, each after a change of some rows."""
        repository: Path = self._folder / "repository"
        init_repository(self._bench, repository)
        dsn = self._bench.server.dsn(DATABASE)
        (self._folder / "snap.toml").write_text(
            f'repository = "repository"\ndsn = "{dsn}"\nsource = "direct"\n'
        )
        for number in range(SNAPSHOTS):
            note = "bad" if number == FIRST_BAD else "good"
            with self._bench.server.connect(DATABASE) as connection:
                connection.execute(
                    f"UPDATE orders SET note = '{note}' WHERE id % 1000 = {number}".encode()
                )
            done = run(self.snap("commit", "-m", f"number {number}", "--json"))
            self._changed.append(json.loads(done.output)["id"])
        shown = json.loads(run(self.snap("show", "latest", "--json")).output)
        (self.table_bytes,) = (
            one["bytes"] for one in shown["sections"] if one["name"] == f"data public.{TABLE}"
        )

    def snap(self, *words: str) -> Command:
        assert self._bench.snap_argv
        argv = (*self._bench.snap_argv, *words)
        return self._bench.command(argv, folder=self._folder, stdout=None)

    def query(self) -> Command:
        return self.snap("query", "latest", SQL, "--json")

    def restore(self) -> Command:
        """Put the table beside the live one, and ask that."""
        words = ("restore", "latest", "--table", TABLE, "--yes", "--no-safety-snapshot")
        snap = shlex.join(self.snap(*words).stages[0])
        beside = f"{TABLE}__{self._changed[-1][:8]}"
        ask = shlex.join(self._bench.server.psql(DATABASE, "-c", SQL.replace(TABLE, beside)))
        return self._bench.command(("sh", "-c", f"{snap} && {ask}"), folder=self._folder)

    def drop_beside(self) -> None:
        with self._bench.server.connect(DATABASE) as connection:
            beside = f"{TABLE}__{self._changed[-1][:8]}"
            connection.execute(f'DROP TABLE IF EXISTS "{beside}"'.encode())

    def bisect(self) -> Command:
        return self.snap("bisect", "--sql", CHANGED, "--json")

    def whole(self) -> Command:
        return self.snap("restore", "latest", "--to", COPY, "--yes", "--json")

    def check_found(self, measurement: Measurement) -> dict[str, float]:
        """Raise SettingError unless the right one was found."""
        found = json.loads(measurement.output)
        if found["first_bad"] != self._changed[FIRST_BAD]:
            raise SettingError("the search found another snapshot")
        return {"questions": len(found["answers"])}


def start_seconds(measurement: Measurement) -> dict[str, float]:
    """Return how long the throw-away server took to start."""
    return {"start": json.loads(measurement.output)["start_seconds"]}


def measure(bench: Setting) -> Section:
    """Measure all on the loaded server."""
    past = Past(bench)
    past.begin()
    series = interleave(
        [
            Case(RESTORE, past.restore, past.drop_beside, lambda _: {}),
            Case(QUERY, past.query, lambda: None, start_seconds),
            Case(WHOLE, past.whole, partial(bench.server.drop, COPY), lambda _: {}),
            Case(BISECT, past.bisect, lambda: None, past.check_found),
        ],
        bench.rounds,
        server_pid=bench.server.postmaster_pid,
        say=bench.say,
    )
    goals = [
        goal_at_most(
            f"{QUERY}, without the start: at most {RATIO_MAX} of that", _ratio(series), 1.2
        )
    ]
    goals += [_memory(series, name) for name in (QUERY, BISECT)]
    facts = {"table_bytes": past.table_bytes}
    return Section("query", (_table(series, past),), tuple(goals), tuple(series.values()), facts)


def _memory(series: dict[str, Series], name: str) -> Goal:
    peak = series[name].own_peak_bytes
    return goal_at_most(
        f"{name}: at most {MIB_MAX} MiB", peak / 2**20 if peak else None, MIB_MAX, " MiB"
    )


def _without_start(one: Series) -> list[float]:
    return [each.wall_seconds - each.facts.get("start", 0.0) for each in one.runs]


def _ratio(series: dict[str, Series]) -> float:
    """Return the median of the ratios within a round."""
    pairs = zip(_without_start(series[QUERY]), _without_start(series[RESTORE]), strict=True)
    return statistics.median(one / peer for one, peer in pairs)


def _table(series: dict[str, Series], past: Past) -> Table:
    rows = [
        (
            f"`{name}`",
            seconds(found.wall_seconds),
            seconds(found.fact("start")),
            f"{statistics.median(_without_start(found)):.2f} s",
            # The shell's own says nothing.
            mib(found.own_peak_bytes if name != RESTORE else None),
        )
        for name, found in series.items()
    ]
    header = ("", "time", "start of the server", "without it", "peak of snap")
    all_of_them = SNAPSHOTS * series[WHOLE].wall_seconds
    share = series[BISECT].wall_seconds / all_of_them
    notes = (
        f"The table has {past.table_bytes / 1e6:.0f} MB of text: the query without the start"
        f" takes {_ratio(series):.2f} of its restore.",
        f"Restoring all {SNAPSHOTS} would take {all_of_them:.0f} s: the search takes"
        f" {share * 100:.1f} % of that, with {series[BISECT].fact('questions'):.0f} questions.",
    )
    return Table("A look into the past", header, tuple(rows), notes)


def main() -> None:
    options = arguments(__doc__.partition("\n")[0], with_dsn=False).parse_args()
    with setting(options, {"summarize_wal": "on"}, major=MAJOR, fsync=True) as bench:
        bench.check_space(options.megabytes * 1e6 * 12)
        bench.load(DATABASE, options.megabytes)
        section = measure(bench)
        facts = {"megabytes": options.megabytes, "rounds": options.rounds}
        print(markdown(document([section], bench, facts)))


if __name__ == "__main__":
    main()
