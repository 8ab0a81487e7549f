"""From settings to what the page is made over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pgsnap.cli.console.console import Console
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.places import place_at
from pgsnap.cli.wiring.remote_states import remotes_seen
from pgsnap.cli.wiring.secrets_given import unlocking
from pgsnap.cli.wiring.user_folders import audit_folder, cache_folder
from pgsnap.errors import StoreError, UsageError
from pgsnap.repository import audit_log
from pgsnap.repository.audit_log import AuditEntries
from pgsnap.repository.places.local import LocalPlace, lists_remembered
from pgsnap.repository.places.opening import place_of
from pgsnap.repository.repository import Repository
from pgsnap.web.service import Remote, ScheduledJob, Service

# A page is not kept waiting for a gc: it says that there is one.
_LOCK_SECONDS = 3.0


class _Unheard(Console):
    """Says nothing: each page would repeat what the start has said."""

    def warn(self, line: str) -> None:
        pass


def service_of(invocation: Invocation) -> Service:
    """Return what the page is made over, with the settings of *invocation*, whose repository was
    opened: nobody is asked for a secret any more."""
    own = Invocation(invocation.console.terminal)
    own.console = _Unheard(invocation.console.terminal)
    own.given, own.asks = replace(invocation.given), False
    own.unlocking = unlocking(invocation)
    # Read once, before several threads want them.
    repository = own.settings.repository

    def audit() -> AuditEntries:
        return _audit(own)

    def schedule() -> list[ScheduledJob]:
        return _schedule(own)

    def remotes() -> list[Remote]:
        return _remotes(own)

    seen = lists_remembered(repository) if isinstance(repository, Path) else None

    def open_it() -> Repository:
        where = place_at(own, repository)
        if isinstance(where, Path) and isinstance(place_of(where, own.trust), LocalPlace):
            where = LocalPlace(where, own.trust, seen)
        return Repository.open(
            where,
            lock_timeout_seconds=_LOCK_SECONDS,
            index_folder=cache_folder(),
            trust=own.trust,
            unlock=unlocking(own),
        )

    return Service(str(repository), open_it, schedule, remotes, audit)


def _schedule(invocation: Invocation) -> list[ScheduledJob]:
    from pgsnap.schedulers.active import active_jobs
    from pgsnap.schedulers.cron import parse_cron
    from pgsnap.schedulers.daemons import why_idle
    from pgsnap.schedulers.jobs import JOBS
    from pgsnap.schedulers.state import State

    config = invocation.settings.config_path
    if config is None:
        return []
    state = State(config, invocation.trust)
    jobs = state.installed()
    active = {by: active_jobs(config, by) for by in {job.by for job in jobs}}
    idle = {by: why_idle(by) for by in active}
    found = []
    for job in sorted(jobs, key=lambda one: JOBS.index(one.job)):
        why = idle[job.by]
        reason = why.reason if why is not None else ""
        if not reason and job.job not in active[job.by]:
            reason = f"{job.by} does not have it"
        try:
            times = parse_cron(job.when, job.job)
            now = invocation.now.astimezone()
            moment = times.next_after(now, skips_gap=job.by == "systemd")
        except UsageError:
            moment = None
        last, runs = state.last_run(job.job), state.is_running(job.job)
        found.append(ScheduledJob(job, last, runs, reason, None if reason else moment))
    return found


def _remotes(invocation: Invocation) -> list[Remote]:
    from pgsnap.schedulers.state import State
    from pgsnap.workflows.sync.fetch import last_fetch

    config = invocation.settings.config_path
    if config is None:
        return []
    state = State(config, invocation.trust)
    return [
        Remote(seen, last_fetch(state, seen.name)) for seen in remotes_seen(invocation, ask=False)
    ]


def _audit(invocation: Invocation) -> AuditEntries:
    """Return the audit log. Raises StoreError, WrongKey."""
    from pgsnap.repository.config import read_config
    from pgsnap.repository.sealed.unlocking import keys_of

    repository = invocation.settings.repository
    place = place_of(repository, invocation.trust)
    keys = keys_of(unlocking(invocation)(str(place), read_config(place), place.store))
    try:
        folder = audit_folder(repository, invocation.trust)
        if folder is None:
            raise StoreError("there is no folder for the audit log", hint="Set XDG_STATE_HOME.")
        return audit_log.read(folder, None, keys)
    except OSError as error:
        raise StoreError("cannot read the audit log", detail=f"{error.strerror}.") from error
