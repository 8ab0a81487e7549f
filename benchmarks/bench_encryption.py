"""What encryption costs: commit, restore and cat of an encrypted repository beside a plain one.

Both kinds get the same database, in turn, with the installed command. The key is in a file: what a
passphrase takes (a fifth of a second a command, on purpose) is not in it.
"""

from __future__ import annotations

import secrets
import statistics
from pathlib import Path

from bench_commit import commit_command
from bench_read import RESTORED
from measure import Case, Command, Measurement, Series, interleave, run
from report import Goal, Section, Table, document, goal_at_most, markdown, mib, seconds
from setting import Setting, arguments, remove, setting, stored_bytes

KINDS = ("plain", "encrypted")
STEPS = ("commit, first", "commit, unchanged", "cat", "restore")
RATIO_MAX = 1.05


class Kind:
    """A repository, plain or encrypted, and the commands on it."""

    def __init__(self, bench: Setting, name: str) -> None:
        self._bench = bench
        self.name = name
        self._folder = bench.scratch / name
        self._repository = self._folder / "repository"
        self._key = bench.scratch / "key"

    def cases(self, database: str) -> list[Case]:
        bench = self._bench
        commands = {
            STEPS[0]: lambda: self._with_key(commit_command(bench, self._repository, database)),
            STEPS[1]: lambda: self._with_key(commit_command(bench, self._repository, database)),
            STEPS[2]: lambda: self._command("cat", "latest"),
            STEPS[3]: lambda: self._command(
                *("restore", "latest", "--dsn", bench.server.dsn("postgres")),
                *("--to", RESTORED, "--yes"),
            ),
        }
        prepare = {STEPS[0]: self._init, STEPS[3]: self._drop}
        return [
            Case(
                f"{step}, {self.name}",
                command,
                prepare.get(step, lambda: None),
                self._facts,
                self._clean if step == STEPS[0] else lambda: None,
            )
            for step, command in commands.items()
        ]

    def _init(self) -> None:
        self._bench.folder(self.name)
        more = ("--encrypt",) if self.name == "encrypted" else ()
        assert self._bench.snap_argv
        argv = (*self._bench.snap_argv, "init", str(self._repository), *more)
        run(self._with_key(self._bench.command(argv, folder=self._folder)))

    def _command(self, *arguments: str) -> Command:
        argv = self._bench.snap(self._repository, *arguments)
        return self._with_key(
            self._bench.command(argv, folder=self._folder, stdout=Path("/dev/null"))
        )

    def _with_key(self, command: Command) -> Command:
        if self.name == "encrypted":
            if not self._key.exists():
                self._key.write_bytes(secrets.token_bytes(32))
                self._key.chmod(0o600)
            # All files stay in the scratch folder: the index, and what is known of repositories.
            command.environment["SNAP_KEY_FILE"] = str(self._key)
        for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
            command.environment[name] = str(self._bench.scratch / name)
        return command

    def _drop(self) -> None:
        self._bench.server.drop(RESTORED)
        self._bench.server.checkpoint()

    def _facts(self, measurement: Measurement) -> dict[str, float]:
        return {"stored_bytes": stored_bytes(self._repository / "packs")}

    def _clean(self) -> None:
        remove(self._folder)


def measure(bench: Setting, database: str) -> Section:
    """Measure both kinds on *database*, which is loaded."""
    plain, sealed = (Kind(bench, name).cases(database) for name in KINDS)
    cases = [case for pair in zip(plain, sealed, strict=True) for case in pair]
    series = interleave(cases, bench.rounds, server_pid=bench.server.postmaster_pid, say=bench.say)
    bench.server.drop(RESTORED)
    goals = [_goal(series, step) for step in STEPS if step != "cat"]
    return Section("encryption", (_table(series),), tuple(goals), tuple(series.values()))


def _ratio(series: dict[str, Series], step: str) -> float:
    """Return the median of the ratios of runs that were made one right after the other."""
    one, other = (series[f"{step}, {name}"].runs for name in KINDS)
    pairs = zip(one, other, strict=True)
    return statistics.median(b.wall_seconds / a.wall_seconds for a, b in pairs)


def _goal(series: dict[str, Series], step: str) -> Goal:
    words = f"snap {step}: at most {RATIO_MAX} of the plain one's time"
    return goal_at_most(words, _ratio(series, step), RATIO_MAX)


def _table(series: dict[str, Series]) -> Table:
    rows = []
    for step in STEPS:
        one, other = (series[f"{step}, {name}"] for name in KINDS)
        rows.append(
            (
                f"`snap {step}`",
                seconds(one.wall_seconds),
                seconds(other.wall_seconds),
                f"{_ratio(series, step):.3f}",
                f"{other.cpu_seconds / one.cpu_seconds:.3f}",
                mib(other.own_peak_bytes),
            )
        )
    one, other = (series[f"{STEPS[0]}, {name}"].fact("stored_bytes") for name in KINDS)
    notes = (f"packs: {mib(one)} and {mib(other)} MiB",)
    header = ("", "plain s", "encrypted s", "ratio", "of processor time", "peak MiB")
    return Table("Encrypted beside plain", header, tuple(rows), notes)


def main() -> None:
    options = arguments(__doc__.partition("\n")[0]).parse_args()
    with setting(options) as bench:
        bench.check_space(options.megabytes * 1e6 * 6)
        bench.load("bench_app", options.megabytes)
        section = measure(bench, "bench_app")
        facts = {"megabytes": options.megabytes, "rounds": options.rounds}
        print(markdown(document([section], bench, facts)))


if __name__ == "__main__":
    main()
