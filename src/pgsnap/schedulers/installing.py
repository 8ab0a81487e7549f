"""A schedule is installed as a whole, or everything is as it was before."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from pgsnap import interrupts
from pgsnap.errors import SnapError
from pgsnap.schedulers import crontab, systemd
from pgsnap.schedulers.environment import ENVIRONMENT_FILE, environment_text, read_environment
from pgsnap.schedulers.jobs import Schedule, SchedulerFailed
from pgsnap.schedulers.state import SCHEDULE_FILE, Installed, State

_FILES = (ENVIRONMENT_FILE, SCHEDULE_FILE)


def install(
    state: State,
    schedule: Schedule,
    by: str,
    variables: Mapping[str, str],
    jobs: Sequence[Installed],
) -> None:
    """Install a schedule with the scheduler *by*, and *variables* for its runs beside those that
    are there already. Raises SchedulerFailed, StoreError, UsageError; then nothing is left of it.
    """
    folder, system = systemd.unit_folder(), os.geteuid() == 0
    if by == "systemd" and not systemd.runs_here():
        raise SchedulerFailed(
            "systemd does not run here", hint="Use cron: snap schedule install --with cron"
        )
    # Whatever may be refused is asked for before anything is written.
    table = crontab.read_crontab() if by == "cron" else _crontab_if_any()
    units = systemd.texts(schedule.config, folder)
    if by == "cron":
        wanted = crontab.with_block(table, schedule)
    else:
        wanted = crontab.without_block(table, schedule.config)
    switch = partial(systemd.put_back, schedule.config, folder, units, system=system)
    undo = [partial(state.put_back, name, state.content(name)) for name in _FILES]
    with interrupts.undone_by(partial(_put_back, undo)):
        _write_variables(state, variables)
        undo.append(switch)
        if by == "systemd":
            systemd.install(schedule, folder, system=system)
        elif units:
            systemd.remove(schedule.config, folder, system=system)
        if wanted != table:
            undo.append(partial(crontab.write_crontab, table))
            crontab.write_crontab(wanted)
        state.set_installed(list(jobs))


def remove(state: State, config: Path) -> None:
    """Remove the schedule of *config*, whichever scheduler has it, and what is kept for its runs.
    Raises SchedulerFailed, StoreError."""
    folder = systemd.unit_folder()
    if systemd.files(config, folder):
        systemd.remove(config, folder, system=os.geteuid() == 0)
    table = _crontab_if_any()
    if crontab.block_of(table, config):
        crontab.write_crontab(crontab.without_block(table, config))
    state.forget()


def _crontab_if_any() -> bytes:
    try:
        return crontab.read_crontab()
    except SchedulerFailed:
        # No cron, or none for this user: it has no block of snap.
        return b""


def _write_variables(state: State, variables: Mapping[str, str]) -> None:
    before = read_environment(state.files)
    wanted = {**before, **variables}
    if wanted != before or not state.environment_path.exists():
        state.write(ENVIRONMENT_FILE, environment_text(wanted))


def _put_back(undo: Sequence[partial[None]]) -> None:
    """Take back what was done, the last first. What failed is reported, not that a part of it could
    not be taken back either."""
    for step in reversed(undo):
        with contextlib.suppress(SnapError):
            step()
