"""Runs the page's jobs, one after the other, in the thread that signals and safe ends belong to.

A job is a command line that goes the same way as one of a terminal: options, settings, workflow,
errors, audit log. Only its console is another one.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import replace

from pgsnap import interrupts
from pgsnap.cli.boundary import run_in
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.page.console import JobConsole
from pgsnap.web.actions.jobs import Job, Jobs

# How often is looked whether the server is still alive.
_LOOK_SECONDS = 1.0


def run_jobs(invocation: Invocation, jobs: Jobs, is_serving: Callable[[], bool]) -> None:
    """Run jobs with the global options of *invocation* until *is_serving* says no. Raises
    Stopped."""
    while is_serving():
        interrupts.wait([jobs.descriptor], timeout=_LOOK_SECONDS)
        interrupts.check()
        job = jobs.take()
        if job is not None:
            _run(invocation, jobs, job)


def _run(invocation: Invocation, jobs: Jobs, job: Job) -> None:
    """Run a job. Raises Stopped if a signal, and not the page, stopped it."""
    console = JobConsole(jobs, job)
    own = Invocation(console.terminal)
    own.console = console
    own.given = replace(invocation.given)
    # What was typed to unlock the repository is not asked again.
    own.unlocking, own.asks = invocation.unlocking, False
    code = 1
    signals = 0
    with interrupts.handled():
        jobs.begin(_press_ctrl_c)
        try:
            code = run_in(own, job.words)
        finally:
            signals = interrupts.count() - job.is_stopping
            jobs.finish(job, code, is_stopped=code == interrupts.EXIT_CODE)
    if signals > 0:
        raise KeyboardInterrupt


def _press_ctrl_c() -> None:
    """Send the thread that runs jobs the signal of a Ctrl-C, from another thread."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)
