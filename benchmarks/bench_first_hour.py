"""From nothing to the first restore: installation, a snapshot of a small database, and back.

Beside DSLR, each in an empty virtual environment. A first round, which is not counted, fills pip's
cache. snap is installed from a wheel of this checkout, DSLR from the package index.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path

from bench_warm import DSLR_PROGRAM
from measure import Case, Command, Series, interleave, run
from report import Section, Table, document, goal_at_most, markdown, seconds
from setting import Setting, arguments, setting

DATABASE = "bench_app"
CHECKOUT = Path(__file__).resolve().parent.parent
SNAP, DSLR = "snap, from nothing", "DSLR, from nothing"
SNAP_USED, DSLR_USED = "snap, installed", "DSLR, installed"
BEHIND_SECONDS_MAX = 1.0
INSTALL = (
    '"$PYTHON" -m venv --clear "$1"'
    ' && "$1/bin/pip" install --quiet --disable-pip-version-check "$2"'
)
USE_SNAP = (
    'rm -rf database snap.toml && "$1/bin/snap" init && "$1/bin/snap" commit -m first'
    ' && "$1/bin/snap" restore latest --yes --discard-old'
)


class FirstHour:
    """The loaded database, and where both are installed."""

    def __init__(self, bench: Setting) -> None:
        self._bench = bench
        self._folder = bench.folder("work")
        wheels = bench.folder("wheels")
        build = ("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(CHECKOUT))
        subprocess.run((sys.executable, "-m", *build), check=True)
        (self._wheel,) = wheels.glob("*.whl")
        (bench.scratch / "with_socket.py").write_text(DSLR_PROGRAM)

    def snap(self, *, installs: bool) -> Command:
        return self._shell("snap", str(self._wheel), USE_SNAP, installs=installs)

    def dslr(self, *, installs: bool) -> Command:
        keywords = self._bench.server.keywords
        place = f"{keywords['host']} {keywords['port']} {keywords['user']} {DATABASE}"
        program = f'"$1/bin/python" "{self._bench.scratch}/with_socket.py" {place}'
        use = f"{program} snapshot -y first && {program} restore first"
        return self._shell("dslr", "dslr[psycopg]", use, installs=installs)

    def _shell(self, name: str, package: str, use: str, *, installs: bool) -> Command:
        script = f"{INSTALL} && {use}" if installs else use
        environment = self._bench.environment(
            DATABASE_URL=self._bench.server.dsn(DATABASE), PYTHON=sys.executable
        )
        argv = ("sh", "-ec", script, "sh", str(self._bench.scratch / f"venv-{name}"), package)
        return self._bench.command(argv, folder=self._folder, environment=environment)


def measure(bench: Setting) -> Section:
    """Measure both on the loaded server."""
    hour = FirstHour(bench)
    for each in (hour.snap, hour.dslr):
        run(each(installs=True))
    series = interleave(
        [
            Case(SNAP, partial(hour.snap, installs=True)),
            Case(DSLR, partial(hour.dslr, installs=True)),
            Case(SNAP_USED, partial(hour.snap, installs=False)),
            Case(DSLR_USED, partial(hour.dslr, installs=False)),
        ],
        bench.rounds,
        server_pid=bench.server.postmaster_pid,
        say=bench.say,
    )
    wished = f"from nothing to a restore: at most {BEHIND_SECONDS_MAX:.0f} s behind DSLR"
    goal = goal_at_most(wished, _behind(series), BEHIND_SECONDS_MAX, " s")
    return Section("first hour", (_table(series),), (goal,), tuple(series.values()))


def _behind(series: dict[str, Series]) -> float:
    """Return the median of the differences within a round."""
    pairs = zip(series[SNAP].runs, series[DSLR].runs, strict=True)
    return statistics.median(one.wall_seconds - peer.wall_seconds for one, peer in pairs)


def _table(series: dict[str, Series]) -> Table:
    rows = [
        (name, seconds(found.wall_seconds), seconds(found.cpu_seconds))
        for name, found in series.items()
    ]
    header = ("", "s", "processor s, without the server's")
    return Table("From nothing to the first restore", header, tuple(rows), ())


def main() -> None:
    parser = arguments(__doc__.partition("\n")[0], with_dsn=False)
    parser.set_defaults(megabytes=20)
    options = parser.parse_args()
    with setting(options) as bench:
        bench.load(DATABASE, options.megabytes)
        section = measure(bench)
        facts = {"megabytes": options.megabytes, "rounds": options.rounds}
        print(markdown(document([section], bench, facts)))


if __name__ == "__main__":
    main()
