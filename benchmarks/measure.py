"""Run a command or a pipeline and say what it took: seconds, CPU, memory.

Every stage of a pipeline is a process of its own (no shell in between), all in one process group,
which is killed if we are interrupted. CPU time is what the kernel charges to the stages and to all
of their descendants that were waited for. Memory is VmHWM, the kernel's own high-water mark of one
address space, read from /proc every few milliseconds: for the watched stage by itself, and for each
of its descendants by program name. `ru_maxrss` would mix a process with its children, and a child
forked by a large parent with that parent. Nothing here needs root.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# One look takes some 0.3 ms: about 1 % of one core, for every contender alike.
SAMPLE_SECONDS = 0.02
# A peak seen in fewer looks than this says nothing.
SAMPLES_MIN = 5
PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# How much of a failed command's error output is shown.
STDERR_TAIL_BYTES = 4000


class CommandFailed(Exception):
    """A measured command ended with an exit status other than 0."""


@dataclass(frozen=True, slots=True)
class Command:
    """A pipeline: each stage is an argv. *watch* is the stage whose memory is wanted by itself.

    *stdin* and *stdout* are paths; without *stdout* the last stage's output is returned.
    """

    stages: tuple[tuple[str, ...], ...]
    stdin: Path | None = None
    stdout: Path | None = Path(os.devnull)
    watch: int = -1
    environment: Mapping[str, str] | None = None
    folder: Path | None = None

    @property
    def text(self) -> str:
        """The command as a shell would take it, for the report."""
        line = " | ".join(" ".join((Path(stage[0]).name, *stage[1:])) for stage in self.stages)
        line += f" < {self.stdin}" if self.stdin else ""
        return line + (f" > {self.stdout}" if self.stdout else "")


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run took. Memory in bytes; None where the run was too short to be sampled."""

    wall_seconds: float
    user_seconds: float
    system_seconds: float
    own_peak_bytes: int | None
    children_peak_bytes: dict[str, int]
    server_cpu_seconds: float | None
    output: str = ""
    facts: dict[str, float] = field(default_factory=dict)
    total_peak_bytes: int | None = None

    @property
    def cpu_seconds(self) -> float:
        return self.user_seconds + self.system_seconds


class _Sampler(threading.Thread):
    """Reads the memory of one process and of its descendants until it is stopped."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._ended = threading.Event()
        self._samples = 0
        self._own_peak_bytes = 0
        self._total_peak_bytes = 0
        self.children_peak_bytes: dict[str, int] = {}

    @property
    def total_peak_bytes(self) -> int | None:
        """The greatest sum of the peaks of all processes that were there at once."""
        return self._total_peak_bytes if self._samples >= SAMPLES_MIN else None

    @property
    def own_peak_bytes(self) -> int | None:
        return self._own_peak_bytes if self._samples >= SAMPLES_MIN else None

    def run(self) -> None:
        while not self._ended.is_set():
            self._sample()
            self._ended.wait(SAMPLE_SECONDS)

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _sample(self) -> None:
        own = memory(self._pid)
        if own is None:
            return
        self._samples += 1
        self._own_peak_bytes = max(self._own_peak_bytes, own[1])
        total = own[1]
        for pid in descendants(self._pid):
            child = memory(pid)
            # Between fork and exec a child still is, in name and memory, its parent.
            if child is not None and child[0] != own[0]:
                name, peak = child
                total += peak
                self.children_peak_bytes[name] = max(self.children_peak_bytes.get(name, 0), peak)
        self._total_peak_bytes = max(self._total_peak_bytes, total)


def memory(pid: int) -> tuple[str, int] | None:
    """Return the name and the peak resident memory of a process, or None when it has ended."""
    try:
        status = (PROC / str(pid) / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    if "VmHWM" not in fields:  # a zombie has no memory any more
        return None
    return fields["Name"].strip(), int(fields["VmHWM"].split()[0]) * 1024


def descendants(pid: int) -> Iterator[int]:
    """Yield the processes that *pid* started, and those that they started."""
    for path in (PROC / str(pid) / "task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in map(int, path.read_text().split()):
                yield child
                yield from descendants(child)


def tree_cpu_seconds(pid: int) -> float | None:
    """Return the CPU time of *pid* and of its ended and living children, or None without it.

    For a PostgreSQL postmaster that is the whole server.
    """
    total = _cpu_ticks(pid, with_ended_children=True)
    if total is None:
        return None
    for child in list(descendants(pid)):
        total += _cpu_ticks(child, with_ended_children=False) or 0
    return total / TICKS_PER_SECOND


def _cpu_ticks(pid: int, *, with_ended_children: bool) -> int | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in parentheses, may hold anything; field 14 is utime (proc(5)).
    numbers = text.rpartition(")")[2].split()
    return sum(int(number) for number in numbers[11 : 15 if with_ended_children else 13])


def run(
    command: Command, *, server_pid: int | None = None, accept: Iterable[int] = (0,)
) -> Measurement:
    """Run *command* to its end. Raises CommandFailed unless every stage's status is in *accept*.

    With *server_pid*, a postmaster's, the server's CPU time during the run is measured too.
    """
    server_before = tree_cpu_seconds(server_pid) if server_pid else None
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(tempfile.TemporaryFile())
        output = stack.enter_context(tempfile.TemporaryFile()) if not command.stdout else None
        started = time.perf_counter()
        stages = _start(command, stack, errors.fileno(), output.fileno() if output else None)
        sampler = _Sampler(stages[command.watch].pid)
        sampler.start()
        try:
            used = [_wait(stage) for stage in stages]
            wall_seconds = time.perf_counter() - started
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(stages[0].pid, signal.SIGKILL)
            for stage in stages:
                stage.wait()
            raise
        finally:
            sampler.end()
        statuses = [stage.returncode for stage in stages]
        if not set(statuses) <= set(accept):
            errors.seek(max(0, errors.seek(0, os.SEEK_END) - STDERR_TAIL_BYTES))
            tail = errors.read().decode(errors="replace").strip()
            raise CommandFailed(f"{command.text}\nended with {statuses}:\n{tail}")
        text = ""
        if output:
            output.seek(0)
            text = output.read().decode(errors="replace")
    return Measurement(
        wall_seconds=wall_seconds,
        user_seconds=sum(one.ru_utime for one in used),
        system_seconds=sum(one.ru_stime for one in used),
        own_peak_bytes=sampler.own_peak_bytes,
        children_peak_bytes=sampler.children_peak_bytes,
        server_cpu_seconds=_server_seconds(server_pid, server_before),
        output=text,
        total_peak_bytes=sampler.total_peak_bytes,
    )


def _start(
    command: Command, stack: contextlib.ExitStack, errors: int, output: int | None
) -> list[subprocess.Popen[bytes]]:
    """Start all stages, the first as leader of a process group that the others join."""
    first = command.stdin or Path(os.devnull)
    upstream: int = stack.enter_context(first.open("rb")).fileno()
    if command.stdout:
        output = stack.enter_context(command.stdout.open("wb")).fileno()
    stages: list[subprocess.Popen[bytes]] = []
    for position, argv in enumerate(command.stages):
        last = position == len(command.stages) - 1
        stage = subprocess.Popen(
            argv,
            stdin=upstream,
            stdout=output if last else subprocess.PIPE,
            stderr=errors,
            env=None if command.environment is None else dict(command.environment),
            cwd=command.folder,
            process_group=stages[0].pid if stages else 0,
        )
        if stages and (pipe := stages[-1].stdout):
            pipe.close()  # else the stage before would never see that its reader went away
        stages.append(stage)
        upstream = stage.stdout.fileno() if stage.stdout else -1
    return stages


def _wait(stage: subprocess.Popen[bytes]) -> resource.struct_rusage:
    _, status, used = os.wait4(stage.pid, 0)
    stage.returncode = os.waitstatus_to_exitcode(status)
    return used


def _server_seconds(pid: int | None, before: float | None) -> float | None:
    if pid is None or before is None:
        return None
    # A backend's time moves to the postmaster when it is reaped, a moment after its client's end.
    time.sleep(0.05)
    after = tree_cpu_seconds(pid)
    return None if after is None else after - before


@dataclass(frozen=True, slots=True)
class Case:
    """One contender. *prepare* makes what a run needs and is not timed; *after* is told the result
    and returns further facts about it (stored bytes, say); *clean* removes what the run left."""

    name: str
    command: Callable[[], Command]
    prepare: Callable[[], None] = lambda: None
    after: Callable[[Measurement], dict[str, float]] = lambda measurement: {}
    clean: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Series:
    """All runs of one contender, in order. No run is left out."""

    name: str
    command: str
    runs: tuple[Measurement, ...]

    def median(self, value: Callable[[Measurement], float | None]) -> float | None:
        values = [number for one in self.runs if (number := value(one)) is not None]
        return statistics.median(values) if values else None

    @property
    def wall_seconds(self) -> float:
        return statistics.median(one.wall_seconds for one in self.runs)

    @property
    def cpu_seconds(self) -> float:
        return statistics.median(one.cpu_seconds for one in self.runs)

    @property
    def own_peak_bytes(self) -> int | None:
        """The largest of all runs: a bound is a bound."""
        return max((one.own_peak_bytes for one in self.runs if one.own_peak_bytes), default=None)

    @property
    def children_peak_bytes(self) -> dict[str, int]:
        names = {name for one in self.runs for name in one.children_peak_bytes}
        return {
            name: max(one.children_peak_bytes.get(name, 0) for one in self.runs)
            for name in sorted(names)
        }

    def fact(self, name: str) -> float | None:
        return self.median(lambda one: one.facts.get(name))

    def ratio_to(self, other: Series) -> float:
        """Return the ratio of the medians of the wall times."""
        return self.wall_seconds / other.wall_seconds

    def ratio_range(self, other: Series) -> tuple[float, float]:
        """Return the least and the greatest ratio between runs of the same round."""
        pairs = zip(self.runs, other.runs, strict=True)
        ratios = [mine.wall_seconds / theirs.wall_seconds for mine, theirs in pairs]
        return min(ratios), max(ratios)


def interleave(
    cases: Sequence[Case],
    rounds: int,
    *,
    server_pid: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Series]:
    """Run all cases once, then all again, *rounds* times (A-B-A-B): what the machine does
    meanwhile meets all of them. Written pages are flushed before each run, outside its time."""
    runs: dict[str, list[Measurement]] = {case.name: [] for case in cases}
    commands: dict[str, str] = {}
    for number in range(rounds):
        cleanups = contextlib.ExitStack()
        with cleanups:
            for case in cases:
                cleanups.callback(case.clean)
                case.prepare()
                os.sync()
                command = case.command()
                commands.setdefault(case.name, command.text)
                one = run(command, server_pid=server_pid)
                one.facts.update(case.after(one))
                runs[case.name].append(one)
                all_cpu = one.cpu_seconds + (one.server_cpu_seconds or 0)
                took = f"{one.wall_seconds:8.2f} s {all_cpu:8.2f} s of processors"
                say(f"round {number + 1}/{rounds}  {case.name:24} {took}")
    return {name: Series(name, commands[name], tuple(all_)) for name, all_ in runs.items()}
