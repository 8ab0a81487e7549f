"""How a workflow's progress is shown: a bar on a terminal, else one plain line at the end."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Protocol

from pgsnap import interrupts
from pgsnap.cli.console.steps import Place, Steps
from pgsnap.cli.text import render
from pgsnap.values import dataclass

if TYPE_CHECKING:
    from pgsnap.cli.console.console import Console


# Calm colours: rich's own are those of an alarm.
_EMPTY, _FULL = "bright_black", "cyan"


class Display(Protocol):
    """A `Progress` with an end: `finish` after success, then `close` in any case; `cut` if the
    process ends at once."""

    def phase(self, name: str, total_bytes: int | None = None) -> None: ...
    def advance(self, plain_bytes: int, detail: str = "") -> None: ...
    def say(self, line: str) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...
    def cut(self) -> None: ...


def display(console: Console, steps: Steps = ()) -> Display:
    """Return the right display: a bar only on a terminal. *steps* are those of the command, if
    they are known."""
    watched = console.terminal.stderr_is_terminal and not console.json
    if watched and console.has_bar and not console.quiet:
        return BarDisplay(console, steps)
    return LineDisplay(console)


class Times:
    """How long each phase of a command took, in the order in which they first began; what was
    before the first one counts as *before*."""

    def __init__(self, before: str, seconds: float) -> None:
        self._seconds = {before: seconds}
        self._current = before
        self._since = time.monotonic()

    def begin(self, name: str) -> None:
        """Count from now on for the phase *name*."""
        now = time.monotonic()
        self._seconds[self._current] += now - self._since
        self._seconds.setdefault(name, 0.0)
        self._current, self._since = name, now

    def lines(self) -> list[str]:
        """Return the table, with the total."""
        self.begin(self._current)
        rows = [*self._seconds.items(), ("total", sum(self._seconds.values()))]
        width = max(len(name) for name, _ in rows)
        return ["times:", *(f"  {name:{width}}  {seconds:9.3f} s" for name, seconds in rows)]


class LineDisplay:
    """Prints news immediately, and one line with size, time and rate at the end of each phase."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phases: list[_Phase] = []
        self._times = console.times()

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        interrupts.check()
        self._times.begin(name)
        self._end_phase()
        self._phases.append(_Phase(name, time.monotonic()))
        if self._console.verbose:
            size = f" ({render.size(total_bytes)})" if total_bytes else ""
            self._console.tell(f"{name}{size}")

    def advance(self, plain_bytes: int, detail: str = "") -> None:
        interrupts.check()
        if not self._phases:
            self.phase("done")
        self._phases[-1].plain_bytes += plain_bytes

    def say(self, line: str) -> None:
        self._console.tell(line)

    def finish(self) -> None:
        self._end_phase()
        words = [phase.words() for phase in self._phases if phase.plain_bytes]
        # With --json the result contains the figures.
        if words and not self._console.json:
            self._console.tell("; ".join(words))
        self._console.tell_times(self._times)

    def close(self) -> None:
        pass

    def cut(self) -> None:
        pass

    def _end_phase(self) -> None:
        if self._phases and not self._phases[-1].seconds:
            self._phases[-1].seconds = time.monotonic() - self._phases[-1].started


@dataclass(slots=True)
class _Phase:
    name: str
    started: float
    plain_bytes: int = 0
    seconds: float = 0.0

    def words(self) -> str:
        rate = render.rate(self.plain_bytes, self.seconds)
        spent = render.seconds(self.seconds)
        return f"{self.name}: {render.size(self.plain_bytes)} in {spent} ({rate})"


class BarDisplay:
    """A bar with rate, size and time left; a pulse where the size is not known."""

    def __init__(self, console: Console, steps: Steps = ()) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn

        self._console = console
        rich = RichConsole(
            file=console.terminal.stderr,
            no_color=not console.terminal.stderr_colour,
            highlight=False,
        )
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(24, _EMPTY, _FULL, _FULL, _FULL),
            TextColumn("{task.fields[figures]}", markup=False),
            TextColumn("{task.fields[detail]}", markup=False),
            console=rich,
            transient=True,
        )
        self._rich = rich
        self._place = Place(steps)
        self._task: Any = None
        self._total: int | None = None
        self._bytes = 0
        self._phase_started = 0.0
        self._times = console.times()
        console.above_bar = self._print
        self._bar.start()

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        interrupts.check()
        self._times.begin(name)
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._bytes = 0
        self._total = total_bytes or None
        self._phase_started = time.monotonic()
        self._task = self._bar.add_task(
            self._place.words(name), total=self._total, figures="", detail=""
        )

    def advance(self, plain_bytes: int, detail: str = "") -> None:
        interrupts.check()
        if self._task is None:
            self.phase("")
        self._bytes += plain_bytes
        taken = time.monotonic() - self._phase_started
        self._bar.update(
            self._task,
            completed=self._bytes,
            figures=figures(self._bytes, self._total, taken),
            detail=render.plain(detail)[:40],
        )

    def say(self, line: str) -> None:
        self._console.tell(line)

    def _print(self, line: str) -> None:
        self._rich.print(line, markup=False, soft_wrap=True)

    def finish(self) -> None:
        self._console.tell_times(self._times)

    def close(self) -> None:
        self._bar.stop()
        self._console.above_bar = None

    def cut(self) -> None:
        # Rich hides the cursor while a bar is shown.
        os.write(self._console.terminal.stderr.fileno(), b"\x1b[?25h\n")


def figures(done: int, total: int | None, taken: float) -> str:
    """Return the text beside the bar: ``98.3 MB of 1.2 GB  46.8 MB/s  24 s left``.

    The total is an estimate, so the time left is omitted once it is exceeded, and in the first
    second.
    """
    words = render.size(done) + (f" of {render.size(total)}" if total and total >= done else "")
    if taken >= 1 and done:
        words += f"  {render.rate(done, taken)}"
        if total and total > done:
            left = (total - done) * taken / done
            # Of an estimate no more than whole seconds are shown.
            words += f"  {render.seconds(left) if left >= 60 else f'{max(round(left), 1)} s'} left"
    return words
