"""A console that is a job of the page: news, plan, question, progress and result go there."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pgsnap import interrupts
from pgsnap.cli.console.console import Console
from pgsnap.cli.console.progress import Display, figures
from pgsnap.cli.console.steps import Place, Steps
from pgsnap.cli.console.terminal import Terminal
from pgsnap.cli.text import render
from pgsnap.cli.text.program import named
from pgsnap.cli.text.redact import redact
from pgsnap.errors import Declined
from pgsnap.web.actions.jobs import Job, Jobs

# A tab that was closed while it was asked must not hold the repository for ever.
_ANSWER_SECONDS = 900.0


class JobConsole(Console):
    """What a command writes to and asks, as *job* of *jobs*."""

    def __init__(self, jobs: Jobs, job: Job) -> None:
        super().__init__(_terminal(partial(jobs.say, job)))
        self._jobs = jobs
        self._job = job

    def emit(
        self,
        fields: Any,
        lines: list[str],
        *,
        has_notices: bool = True,
        verbatim: bool = False,
        paged: bool = False,
    ) -> None:
        if isinstance(fields, dict):
            self.result = fields
            self._jobs.update(self._job, fields=fields)
        if self.is_part:
            self._note(lines)
            return
        self._jobs.update(self._job, result=[*self._job.result, *map(render_line, lines)])

    def _note(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._jobs.say(self._job, render_line(line))

    def propose(self, lines: list[str], warnings: Sequence[str] = ()) -> None:
        self._jobs.update(self._job, plan=[*map(render_line, lines)])

    def confirm(self, question: str, *, word: str | None = None) -> None:
        answer = self._jobs.ask(self._job, render.plain(question), word, _wait)
        if answer is None:
            minutes = round(_ANSWER_SECONDS / 60)
            raise Declined(f"nobody answered within {minutes} minutes", detail=_NOTHING)
        if not answer:
            raise Declined("declined", detail=_NOTHING)

    def fail(self, fields: dict[str, Any], text: str) -> None:
        self._jobs.update(self._job, error=fields)

    def display(self, steps: Steps) -> Display:
        return JobDisplay(self._jobs, self._job, steps)


class JobDisplay:
    """Shows progress as that of a job."""

    def __init__(self, jobs: Jobs, job: Job, steps: Steps) -> None:
        self._jobs = jobs
        self._job = job
        self._place = Place(steps)
        self._total: int | None = None
        self._bytes = 0
        self._since = time.monotonic()

    def phase(self, name: str, total_bytes: int | None = None) -> None:
        interrupts.check()
        self._bytes, self._total, self._since = 0, total_bytes or None, time.monotonic()
        self._jobs.update(self._job, phase=self._place.words(name), figures="", share=None)

    def advance(self, plain_bytes: int, detail: str = "") -> None:
        interrupts.check()
        self._bytes += plain_bytes
        words = figures(self._bytes, self._total, time.monotonic() - self._since)
        share = min(1.0, self._bytes / self._total) if self._total else None
        self._jobs.update(
            self._job, figures=f"{words}  {render.plain(detail)[:40]}".rstrip(), share=share
        )

    def say(self, line: str) -> None:
        self._jobs.say(self._job, named(render.plain(redact(line))))

    def finish(self) -> None:
        pass

    def close(self) -> None:
        self._jobs.update(self._job, phase="", figures="", share=None)

    def cut(self) -> None:
        pass


_NOTHING = "Nothing was changed."


def _wait(answered: threading.Event) -> bool:
    return interrupts.happens(answered, _ANSWER_SECONDS)


def render_line(line: str) -> str:
    """Return a line of a result without what only a terminal shows."""
    return render.unstyled(line).rstrip()


class _Notes(io.TextIOBase):
    """A stream whose lines are news of the job."""

    def __init__(self, say: Any) -> None:
        self._say = say

    def write(self, text: str) -> int:
        for line in text.splitlines():
            if line.strip():
                self._say(render_line(line))
        return len(text)


def _terminal(say: Any) -> Terminal:
    nowhere = Path(os.devnull)
    return Terminal(
        nowhere.open(encoding="utf-8"),
        nowhere.open("w", encoding="utf-8"),
        _Notes(say),  # type: ignore[arg-type]
        os.environ,
    )
