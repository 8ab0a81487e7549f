"""Turns settings into the schedule to install, and into the steps of one scheduled run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgsnap.cli.config.schedule import JOBS, ScheduleTable, key_of
from pgsnap.cli.text.redact import redact
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import SnapError, UsageError
from pgsnap.sessions.half_dropped import drop_command
from pgsnap.words import did_you_mean

if TYPE_CHECKING:
    from pgsnap.alerts.telling import Alerts
    from pgsnap.schedulers.jobs import Schedule
    from pgsnap.schedulers.runs import LogFile
    from pgsnap.schedulers.state import State
    from pgsnap.workflows.watch.scheduled import Step

# Not from the working folder, which may contain anyone's modules.
_PROGRAM = (sys.executable, "-P", "-m", "pgsnap.cli")

# A gc waits for a commit, and a commit for a gc: both may take hours.
_LOCK_TIMEOUT = "6h"

# Container engines not installed by a package may be here; cron has only /usr/bin and /bin.
_MORE_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

_VERB_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "verify": ("--data",),
    "remote-verify": ("--sample", "10%"),
}
# Those that run once for each remote.
_OF_REMOTES = ("push", "remote-gc", "remote-verify")


def config_of(invocation: Invocation) -> Path:
    """Return the configuration file of the schedule. Raises UsageError."""
    path = invocation.settings.config_path
    if path is None:
        raise UsageError(
            "a schedule needs a snap.toml",
            detail="Runs that nobody starts by hand take their settings from it.",
            hint="Make one with `snap init`, or name one: snap schedule --config FILE ...",
        )
    return path


def wanted_table(invocation: Invocation, given: Mapping[str, str | None]) -> ScheduleTable:
    """Return [schedule], or the times *given* on the command line in its place. Raises
    UsageError if no job has a time."""
    from pgsnap.schedulers.cron import parse_cron

    table = invocation.settings.schedule or ScheduleTable()
    times: dict[str, Any] = {
        key_of(job): parse_cron(when, f"--{job}").text
        for job, when in given.items()
        if when is not None
    }
    table = replace(table, **times)
    if not table.times():
        raise UsageError(
            "nothing is to be scheduled",
            hint="Name times in cron's syntax, or write them into [schedule] of snap.toml: "
            'snap schedule install --commit "0 2 * * *" --gc "0 4 * * 0" --check "*/15 * * * *"',
        )
    return table


def schedule_of(invocation: Invocation, table: ScheduleTable, *, log: bool) -> Schedule:
    """Return the schedule to install. Raises UsageError for settings that a run would not see."""
    from pgsnap.schedulers.cron import parse_cron
    from pgsnap.schedulers.jobs import Job, Schedule

    config = config_of(invocation)
    given = invocation.given
    if given.dsn is not None:
        raise UsageError(
            "--dsn cannot be scheduled",
            detail="It would be visible in the crontab and in the list of processes.",
            hint=f'Write dsn = "..." into {config}, or set DATABASE_URL when you install.',
        )
    common = ["--config", str(config)]
    for name in ("repo", "database", "container", "compose"):
        value = getattr(given, name, None)
        if value is not None:
            common += [
                f"--{name}",
                str(invocation.settings.repository) if name == "repo" else value,
            ]
    written = invocation.settings.schedule or ScheduleTable()
    if table.on_overlap != written.on_overlap:
        common += ["--on-overlap", table.on_overlap]
    common += ["--log"] if log else []
    jobs = []
    for job, when in table.times().items():
        more = ["--all-databases"] if job == "commit" and table.all_databases else []
        argv = (*_PROGRAM, "schedule", "run", job, *common, *more)
        jobs.append(Job(job, parse_cron(when, job), argv))
    return Schedule(config, tuple(jobs))


def run_scheduled(
    invocation: Invocation, job: str, *, all_databases: bool, on_overlap: str | None, log: bool
) -> int:
    """Run *job* as its schedule would; return its exit code. Raises SnapError."""
    from pgsnap.alerts.telling import Alerts
    from pgsnap.schedulers.environment import read_environment
    from pgsnap.schedulers.runs import LogFile
    from pgsnap.schedulers.state import State
    from pgsnap.workflows.watch.scheduled import run_job

    config = config_of(invocation)
    state = State(config, invocation.trust)
    # Before the settings are used: these variables may name the repository and the database.
    os.environ.update(read_environment(state.files))
    invocation.reload()
    _widen_path()
    table = invocation.settings.schedule or ScheduleTable()
    say = (
        _logger(LogFile(state.files, state.log_name(job)), job)
        if log
        else invocation.console.terminal.note
    )
    alerts = Alerts()
    try:
        if invocation.settings.alerts is not None:
            alerts = invocation.settings.alerts.resolved()
    except UsageError as error:
        # A backup without alerts is better than none.
        say(f"snap: warning: {error.message}")
    every = job == "commit" and (all_databases or table.all_databases)

    def steps() -> Sequence[Step]:
        try:
            return _steps(invocation, job, table, say, every=every)
        except SnapError as error:
            # It goes into the run's record, its log and the alerts.
            error.message = redact(error.message)
            raise

    return run_job(
        job,
        steps,
        state=state,
        folder=config.parent,
        alerts=alerts,
        on_overlap="wait" if (on_overlap or table.on_overlap) == "wait" else "skip",
        say=say,
        measure=lambda: _measure(invocation, state, alerts, say),
    )


def _widen_path() -> None:
    there = os.environ.get("PATH", "").split(os.pathsep)
    more = [folder for folder in _MORE_PATH if folder not in there]
    os.environ["PATH"] = os.pathsep.join([*filter(None, there), *more])


def _logger(file: LogFile, job: str) -> Callable[[str], None]:
    def say(line: str) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            file.write(f"{stamp} {job}: {line}")
        except OSError:
            # A full disk: the record of the run and the alerts report it.
            return

    return say


def verb_argv(invocation: Invocation, job: str, table: ScheduleTable) -> tuple[str, ...]:
    """Return the command line of the verb that *job* runs."""
    options = table.options(job)
    words = list(_VERB_OPTIONS.get(job, ()) if options is None else options)
    if job == "commit" and not {"-m", "--message"} & set(words):
        words = ["--message", "scheduled", *words]
    given = invocation.given
    words += ["--config", str(config_of(invocation)), "--no-progress"]
    for name in ("repo", "database", "container", "compose"):
        value = getattr(given, name, None)
        if value is not None:
            words += [f"--{name}", str(value)]
    if job in ("commit", "push", "gc", "remote-gc") and "--lock-timeout" not in words:
        words += ["--lock-timeout", given.lock_timeout or _LOCK_TIMEOUT]
    return (*_PROGRAM, job.removeprefix("remote-"), *words)


def _remote_steps(invocation: Invocation, job: str, table: ScheduleTable) -> Sequence[Step]:
    """Return a step for each remote: to push those of `push` if there are any, else all."""
    from pgsnap.workflows.watch.scheduled import Step

    settings = invocation.settings
    names = list(settings.remotes or {})
    if job == "push":
        names = list(dict.fromkeys(settings.push)) or names
    if not names:
        raise UsageError(
            "there is no remote", hint="Add one: snap remote add offsite s3://bucket/shop"
        )
    argv = verb_argv(invocation, job, table)
    option = () if job == "push" else ("--remote",)
    return [Step((*argv, *option, name), dict(os.environ), what=name) for name in names]


def _steps(
    invocation: Invocation,
    job: str,
    table: ScheduleTable,
    say: Callable[[str], None],
    *,
    every: bool,
) -> Sequence[Step]:
    from pgsnap.cli.wiring.connect import server_of
    from pgsnap.workflows.watch.scheduled import Step
    from pgsnap.workflows.watch.server_databases import committed_databases, half_dropped_databases

    if job in _OF_REMOTES:
        return _remote_steps(invocation, job, table)
    argv = verb_argv(invocation, job, table)
    if not every:
        environ = dict(os.environ)
        if invocation.given.dsn is not None:
            # Not as an option, which the process list would show.
            environ["DATABASE_URL"] = invocation.given.dsn
        return [Step(argv, environ)]
    found = []
    server = server_of(invocation.settings)
    for name in half_dropped_databases(server, every=True):
        say(
            f"snap: warning: the database {name} is half-dropped and left out: {drop_command(name)}"
        )
    for name in committed_databases(server):
        # The password stays in this variable of the child, in a file, or in libpq's variables.
        environ = {**os.environ, "DATABASE_URL": _dsn_of(invocation, name)}
        words = _without(argv, "--database")
        found.append(Step((*words, "--database", name), environ, what=name))
    if not found:
        raise SnapError("the server has no database that could be committed")
    return found


def _without(argv: Sequence[str], option: str) -> list[str]:
    words = list(argv)
    if option in words:
        place = words.index(option)
        del words[place : place + 2]
    return words


def _dsn_of(invocation: Invocation, name: str) -> str:
    from psycopg.conninfo import make_conninfo

    return make_conninfo(invocation.settings.dsn or "", dbname=name)


def _measure(
    invocation: Invocation, state: State, alerts: Alerts, say: Callable[[str], None]
) -> None:
    """Write the metrics file; metrics that cannot be obtained are left out, with a warning."""
    if alerts.metrics_file is None:
        return
    from pgsnap.alerts.metrics import write_metrics
    from pgsnap.cli.wiring.connect import open_repository
    from pgsnap.workflows.watch.metrics import (
        remote_metrics,
        repository_metrics,
        run_metrics,
    )

    metrics = run_metrics(state) + remote_metrics(state, invocation.settings.remotes or {})
    try:
        with open_repository(invocation) as repo:
            metrics += repository_metrics(repo, invocation.now)
    except SnapError as error:
        say(f"snap: warning: the metrics lack the repository: {error.message}")
    try:
        write_metrics(alerts.metrics_file, metrics)
    except OSError as error:
        say(f'snap: warning: cannot write "{alerts.metrics_file}": {error.strerror}')


def check_job(job: str | None) -> str:
    """Return *job* if it is a valid job. Raises UsageError."""
    if job not in JOBS:
        raise UsageError(
            f'"{job}" cannot be scheduled' if job else "the job is missing",
            hint=did_you_mean(
                job or "", JOBS, f"Jobs are {', '.join(JOBS)}: snap schedule run commit"
            ),
        )
    return job
