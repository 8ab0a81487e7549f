"""Checks that an installed schedule still exists: units and crontabs are also edited by hand."""

from __future__ import annotations

import os
from pathlib import Path

from pgsnap.schedulers import crontab, systemd
from pgsnap.schedulers.jobs import SchedulerFailed


def active_jobs(config: Path, by: str) -> frozenset[str]:
    """Return the jobs of *config* that the scheduler *by*, "systemd" or "cron", would start; none
    if it does not answer."""
    try:
        if by == "systemd":
            return systemd.active_jobs(config, system=os.geteuid() == 0)
        return crontab.active_jobs(crontab.read_crontab(), config)
    except SchedulerFailed:
        return frozenset()
