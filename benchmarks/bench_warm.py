"""What going back to a state costs in a developer's loop: a warm restore beside DSLR.

The same database each time, of which some rows were changed before each run: for snap one that
snap has restored, as in such a loop, so that the safety snapshot reads only what changed. DSLR
drops it and makes it again from its copy. snap renames a copy that it made before; the next copy,
a clone, is made when the user has the answer, and is measured by itself. Each of snap's restores
proves that the copy is as it was, and keeps the replaced database until the next one.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench_commit import init_repository
from measure import Case, Command, Measurement, Series, interleave, run
from report import Goal, Section, Table, document, goal_at_most, markdown, seconds
from setting import Setting, SettingError, arguments, setting

DATABASE = "bench_app"
DSLR, RENAME = "dslr restore", "snap restore, by rename"
ONLY = "snap restore, by rename, --no-safety-snapshot"
CLONE = "snap restore --warm, a clone"
RATIO_MAX = {RENAME: 1.0, CLONE: 1.3}
MAJOR = 17
COPIES = r"%\_\_snap\_warm\_%"
# DSLR's own program. Its URLs cannot name a socket, so it gets the connection in another way.
DSLR_PROGRAM = """
import sys
from dslr import config
host, port, user, name = sys.argv[1:5]
del sys.argv[1:5]
def initialize(self, *, url, debug):
    self.url, self.debug = url, debug
    self.db = config.DatabaseConnection(host, int(port), user, "", name)
config.Settings.initialize = initialize
from dslr.cli import cli
cli(["--url", "postgresql:///" + name, *sys.argv[1:]])
"""


class Loop:
    """The database, DSLR's copy of it and the repository."""

    def __init__(self, bench: Setting) -> None:
        self._bench = bench
        self._folder = bench.scratch / "snap"
        self._changes = 0
        self._copies: set[int] = set()

    def begin(self) -> None:
        """Take the snapshots that all runs go back to."""
        init_repository(self._bench, self._repository)
        self._write_settings(2)
        run(self._snap("commit", "--tag", "base", "-m", "benchmark"))
        run(self.dslr("snapshot", "base"))
        run(self._snap("restore", "base", "--warm"))

    @property
    def _repository(self) -> Path:
        return self._folder / "repository"

    def _write_settings(self, warm: int) -> None:
        dsn = self._bench.server.dsn(DATABASE)
        text = f'repository = "repository"\ndsn = "{dsn}"\nsource = "direct"\nwarm = {warm}\n'
        (self._folder / "snap.toml").write_text(text)

    def _snap(self, *words: str) -> Command:
        assert self._bench.snap_argv
        argv = (*self._bench.snap_argv, *words)
        return self._bench.command(argv, folder=self._folder)

    def dslr(self, *words: str) -> Command:
        keywords = self._bench.server.keywords
        place = (keywords["host"], keywords["port"], keywords["user"], DATABASE)
        return self._bench.command((sys.executable, "-c", DSLR_PROGRAM, *place, *words))

    def restore(self, *words: str) -> Command:
        return self._snap("restore", "base", "--yes", "--discard-old", "--json", *words)

    def clone(self) -> Command:
        return self._snap("restore", "base", "--warm", "--json")

    def change(self) -> None:
        """Wait for the copies, then change the database."""
        run(self.clone())
        self._copies = self._oids(COPIES)
        self._changes += 1
        with self._bench.server.connect(DATABASE) as connection:
            where = f"id % 1000 = {self._changes}"
            connection.execute(
                f"UPDATE orders SET address = reverse(address) WHERE {where}".encode()
            )

    def go_round(self) -> None:
        """Restore once, so that the database is one that snap restored, and change it."""
        run(self.clone())
        run(self.restore())
        self.change()

    def drop_one(self) -> None:
        """Leave one copy, so that the next one is a clone of it."""
        self._write_settings(1)
        run(self.clone())
        self._write_settings(2)
        self._copies = self._oids(COPIES)

    def took_a_copy(self, measurement: Measurement) -> dict[str, float]:
        """Raise SettingError if the snapshot was loaded."""
        if not self._oids(DATABASE) & self._copies:
            raise SettingError("a restore loaded the snapshot although there was a warm copy")
        return {}

    def made_one(self, measurement: Measurement) -> dict[str, float]:
        """Raise SettingError unless one copy was made."""
        if len(self._oids(COPIES) - self._copies) != 1:
            raise SettingError("no copy was made")
        return {}

    def _oids(self, pattern: str) -> set[int]:
        with self._bench.server.connect() as connection:
            sql = "SELECT oid FROM pg_database WHERE datname LIKE %s"
            return {oid for (oid,) in connection.execute(sql, (pattern,))}


def measure(bench: Setting) -> Section:
    """Measure all on the loaded server."""
    loop = Loop(bench)
    loop.begin()

    def case(
        name: str,
        command: Callable[[], Command],
        prepare: Callable[[], None] = loop.change,
        facts: Callable[[Measurement], dict[str, float]] = loop.took_a_copy,
    ) -> Case:
        return Case(name, command, prepare, facts)

    series = interleave(
        [
            case(DSLR, partial(loop.dslr, "restore", "base"), facts=lambda _: {}),
            case(RENAME, loop.restore, loop.go_round),
            case(ONLY, partial(loop.restore, "--no-safety-snapshot")),
            case(CLONE, loop.clone, loop.drop_one, loop.made_one),
        ],
        bench.rounds,
        server_pid=bench.server.postmaster_pid,
        say=bench.say,
    )
    run(loop.clone())
    goals = [_goal(series, name) for name in RATIO_MAX]
    return Section("warm", (_table(series),), tuple(goals), tuple(series.values()))


def _goal(series: dict[str, Series], name: str) -> Goal:
    most = RATIO_MAX[name]
    return goal_at_most(f"{name}: at most {most} of DSLR's time", _ratio(series, name), most)


def _ratio(series: dict[str, Series], name: str) -> float:
    """Return the median of the ratios within a round."""
    pairs = zip(series[name].runs, series[DSLR].runs, strict=True)
    return statistics.median(one.wall_seconds / peer.wall_seconds for one, peer in pairs)


def _processor(one: Series) -> float:
    return statistics.median(
        each.cpu_seconds + (each.server_cpu_seconds or 0.0) for each in one.runs
    )


def _table(series: dict[str, Series]) -> Table:
    rows = [
        (
            f"`{name}`",
            seconds(found.wall_seconds),
            f"{_ratio(series, name):.2f}",
            seconds(_processor(found)),
        )
        for name, found in series.items()
    ]
    header = ("", "s", "x DSLR", "processor s, with the server's")
    return Table("Warm restores beside DSLR", header, tuple(rows), ())


def main() -> None:
    options = arguments(__doc__.partition("\n")[0], with_dsn=False).parse_args()
    settings = {"summarize_wal": "on"}
    with setting(options, settings, major=MAJOR, fsync=True) as bench:
        bench.check_space(options.megabytes * 1e6 * 12)
        bench.load(DATABASE, options.megabytes)
        section = measure(bench)
        facts = {"megabytes": options.megabytes, "rounds": options.rounds}
        print(markdown(document([section], bench, facts)))


if __name__ == "__main__":
    main()
