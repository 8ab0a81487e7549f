"""`snap schedule`: verbs that run automatically, through systemd timers or cron."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsnap.cli.commands.options import option_of
from pgsnap.cli.config.schedule import JOBS, SCHEDULE_KEYS
from pgsnap.cli.console.console import Console
from pgsnap.cli.text import render
from pgsnap.cli.text.other_verbs import action_hint
from pgsnap.cli.text.program import program
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.scheduling import (
    check_job,
    config_of,
    run_scheduled,
    schedule_of,
    wanted_table,
)
from pgsnap.errors import UsageError

if TYPE_CHECKING:
    from pgsnap.schedulers.jobs import Schedule
    from pgsnap.schedulers.state import State

EXAMPLES = """
snap schedule install --commit "0 2 * * *" --gc "0 4 * * 0" --check "*/15 * * * *"
snap schedule install --dry-run
snap schedule show
snap schedule run commit
snap schedule remove
"""

_ACTIONS = ("install", "show", "remove", "run")
_SCHEDULERS = ("systemd", "cron")
_OF_A_RUN = ("started", "finished", "exit_code", "error", "last_success")


def _option(name: str) -> Any:
    return option_of(SCHEDULE_KEYS[name], show_default=False)


def run(
    ctx: typer.Context,
    action: Annotated[str, typer.Argument(metavar="install|show|remove|run", show_default=False)],
    job: Annotated[
        str | None,
        typer.Argument(metavar="[JOB]", show_default=False, help="With run: what to run now."),
    ] = None,
    commit: Annotated[str | None, _option("commit")] = None,
    push: Annotated[str | None, _option("push")] = None,
    gc: Annotated[str | None, _option("gc")] = None,
    remote_gc: Annotated[str | None, _option("remote_gc")] = None,
    verify: Annotated[str | None, _option("verify")] = None,
    remote_verify: Annotated[str | None, _option("remote_verify")] = None,
    drill: Annotated[str | None, _option("drill")] = None,
    check: Annotated[str | None, _option("check")] = None,
    all_databases: Annotated[bool, _option("all_databases")] = False,
    on_overlap: Annotated[str | None, _option("on_overlap")] = None,
    scheduler: Annotated[str | None, _option("scheduler")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be written.")
    ] = False,
    log: Annotated[
        bool,
        typer.Option("--log", help="With run: write to a log beside snap.toml, as cron's runs do."),
    ] = False,
) -> None:
    """Let commits, pushes, gc, checks and drills run by themselves.

    Jobs are commit, push, gc, remote-gc, verify, remote-verify, drill and check. Times come from
    the options, else from [schedule] of snap.toml. Only lines and units of its own are ever
    touched.
    """
    invocation = Invocation.of(ctx)
    _check(action, on_overlap, scheduler)
    if action == "run":
        code = run_scheduled(
            invocation,
            check_job(job),
            all_databases=all_databases,
            on_overlap=on_overlap,
            log=log,
        )
        raise typer.Exit(code)
    if job is not None:
        raise UsageError(f'"{job}" is too much: snap schedule {action} is about all jobs')
    given = {"commit": commit, "push": push, "gc": gc, "remote-gc": remote_gc, "verify": verify}
    given |= {"remote-verify": remote_verify, "drill": drill, "check": check}
    if action == "show":
        _show(invocation)
    elif action == "remove":
        _remove(invocation, dry_run=dry_run)
    else:
        _install(invocation, given, all_databases, on_overlap, scheduler, dry_run=dry_run)


def _check(action: str, on_overlap: str | None, scheduler: str | None) -> None:
    """Raise UsageError for words that no option takes."""
    if action not in _ACTIONS:
        raise UsageError(
            f'there is no "{program()} schedule {action}"', hint=action_hint(action, _ACTIONS)
        )
    if on_overlap not in (None, "wait", "skip"):
        raise UsageError("--on-overlap must be wait or skip")
    if scheduler not in (None, *_SCHEDULERS):
        raise UsageError("--with must be systemd or cron")


def _install(
    invocation: Invocation,
    given: Mapping[str, str | None],
    all_databases: bool,
    on_overlap: str | None,
    scheduler: str | None,
    *,
    dry_run: bool,
) -> None:
    from pgsnap.schedulers import systemd
    from pgsnap.schedulers.environment import connection_variables
    from pgsnap.schedulers.installing import install
    from pgsnap.schedulers.state import Installed, State

    config = config_of(invocation)
    _check_owner(invocation)
    table = wanted_table(invocation, given)
    if all_databases and not table.all_databases:
        table = replace(table, all_databases=True)
        invocation.console.tell(
            "so that snap check and snap doctor look after all databases too, write "
            "all_databases = true below [schedule] in snap.toml"
        )
    if on_overlap is not None:
        table = replace(table, on_overlap="wait" if on_overlap == "wait" else "skip")
    by = scheduler or table.scheduler or ("systemd" if systemd.runs_here() else "cron")
    schedule = schedule_of(invocation, table, log=by == "cron")
    state = State(config, invocation.trust)
    if dry_run:
        _emit(invocation.console, state, schedule, by, _preview(schedule, by))
        return
    settings = invocation.settings
    stores = bool(settings.remotes) or isinstance(settings.repository, str)
    variables = connection_variables(os.environ, stores=stores)
    since = invocation.now.isoformat(timespec="seconds")
    jobs = [Installed(job.name, job.when.text, since, by) for job in schedule.jobs]
    install(state, schedule, by, variables, jobs)
    _tell_of_installed(invocation.console, state, by, variables)
    lines = [f"installed {job.name} at {job.when.text} ({by})" for job in schedule.jobs]
    _emit(invocation.console, state, schedule, by, lines)


def _tell_of_installed(
    console: Console, state: State, by: str, variables: Mapping[str, str]
) -> None:
    from pgsnap.schedulers.daemons import runs_at_times, why_idle

    if variables:
        names = ", ".join(sorted(variables))
        console.tell(f"wrote {names} to {state.environment_path} (mode 0600) for the runs")
    if by == "cron":
        console.tell("cron does not make up for runs that were missed: snap check reports them")
    if (idle := why_idle(by)) is not None:
        console.warn(f"warning: {idle.reason}, so nothing of this is started: {idle.remedy}")
    elif (doubt := runs_at_times(by)) is not None:
        console.warn(f"warning: {doubt.reason}; let them run always: {doubt.remedy}")


def _check_owner(invocation: Invocation) -> None:
    """Raise UsageError if the repository belongs to another user."""
    repository = invocation.settings.repository
    if not isinstance(repository, Path):
        return
    try:
        owner = repository.stat().st_uid
    except OSError:
        return
    if owner != os.geteuid():
        raise UsageError(
            "the repository belongs to another user",
            detail="Runs would leave files in it that its owner cannot read.",
            hint=f"Install the schedule as its owner: sudo -u '#{owner}' snap schedule install",
        )


def _preview(schedule: Schedule, by: str) -> list[str]:
    from pgsnap.schedulers import crontab, systemd

    if by == "cron":
        return os.fsdecode(crontab.block(schedule)).splitlines()
    lines = []
    for name, text in systemd.units(schedule, system=os.geteuid() == 0).items():
        lines += [f"# {systemd.unit_folder() / name}", *text.splitlines(), ""]
    return lines[:-1]


def _remove(invocation: Invocation, *, dry_run: bool) -> None:
    from pgsnap.schedulers.installing import remove
    from pgsnap.schedulers.state import State

    config = config_of(invocation)
    state = State(config, invocation.trust)
    before = state.installed()
    if not dry_run:
        remove(state, config)
    words = "would remove" if dry_run else "removed"
    lines = [f"{words} {job.job} at {job.when} ({job.by})" for job in before]
    if not before:
        invocation.console.tell("nothing was scheduled")
    fields = {
        "config": config,
        "removed": [job.job for job in before],
        "dry_run": dry_run,
    }
    invocation.console.emit(fields, lines)


def _show(invocation: Invocation) -> None:
    from pgsnap.schedulers.active import active_jobs
    from pgsnap.schedulers.daemons import why_idle
    from pgsnap.schedulers.state import State

    config = config_of(invocation)
    state = State(config, invocation.trust)
    jobs = state.installed()
    if not jobs and not invocation.console.json:
        invocation.console.tell("nothing is scheduled")
    schedulers = {job.by for job in jobs}
    active = {by: active_jobs(config, by) for by in schedulers}
    idle = {by: why_idle(by) for by in schedulers}
    for why in filter(None, idle.values()):
        invocation.console.warn(f"warning: {why.reason}, so nothing is started: {why.remedy}")
    rows, fields = [], []
    for job in sorted(jobs, key=lambda one: JOBS.index(one.job)):
        last = state.last_run(job.job)
        ended = "never ran"
        if last is not None:
            code = last.exit_code
            words = "runs" if code is None else "succeeded" if code == 0 else f"failed ({code})"
            ended = f"{words} {render.ago(last.start_time, invocation.now)}"
        is_listed, why_not = job.job in active[job.by], idle[job.by]
        if not is_listed or why_not is not None:
            reason = why_not.reason if why_not is not None else f"{job.by} does not have it"
            ended += f"; NOT ACTIVE: {reason}"
        rows.append([job.job, job.when, job.by, ended])
        fields.append(
            {
                "job": job.job,
                "when": job.when,
                "scheduler": job.by,
                "since": job.since,
                "active": is_listed and why_not is None,
                **{name: getattr(last, name, None) for name in _OF_A_RUN},
                "log": state.log_path(job.job) if job.by == "cron" else None,
            }
        )
    invocation.console.emit(fields, render.columns(rows))


def _emit(console: Console, state: State, schedule: Schedule, by: str, lines: list[str]) -> None:
    fields = {
        "config": schedule.config,
        "scheduler": by,
        "jobs": [
            {"job": job.name, "when": job.when.text, "command": job.argv} for job in schedule.jobs
        ],
        "environment": state.environment_path,
        "written": lines,
    }
    console.emit(fields, lines)
