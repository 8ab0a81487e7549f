"""Metrics for monitoring: the state of a repository and of its scheduled runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from pgsnap.alerts.metrics import Metric
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.schedulers.jobs import JOBS
from pgsnap.schedulers.state import State
from pgsnap.workflows.notes.verdicts import VERDICT
from pgsnap.workflows.retention.policy import RETIRE_AFTER, out_of_use
from pgsnap.workflows.sync.records import last_push
from pgsnap.workflows.watch.label_states import Labels


def run_metrics(state: State) -> list[Metric]:
    """Return the result of the last run of each job."""
    runs = [run for job in JOBS if (run := state.last_run(job)) is not None]

    def of(name: str, help: str, values: Sequence[tuple[str, float | None]]) -> Metric:
        return Metric(name, help, [({"job": j}, v) for j, v in values if v is not None])

    return [
        of(
            "job_last_success_timestamp_seconds",
            "When the last run of the job that succeeded ended.",
            [(run.job, _stamp(run.last_success)) for run in runs],
        ),
        of(
            "job_last_run_timestamp_seconds",
            "When the last run of the job began.",
            [(run.job, _stamp(run.started)) for run in runs],
        ),
        of(
            "job_last_duration_seconds",
            "How long the last run of the job took.",
            [(run.job, run.seconds) for run in runs],
        ),
        of(
            "job_last_exit_code",
            "The exit code of the last run of the job.",
            [(run.job, run.exit_code) for run in runs],
        ),
    ]


def remote_metrics(state: State, remotes: Iterable[str]) -> list[Metric]:
    """Return how the last push to each of *remotes* ended, and what it left there: no remote is
    asked."""
    ended: list[tuple[dict[str, str], float]] = []
    succeeded: list[tuple[dict[str, str], float]] = []
    newest: list[tuple[dict[str, str], float]] = []
    for name in remotes:
        last = last_push(state, name)
        if last is None:
            continue
        labels = {"remote": name}
        ended.append((labels, float(bool(last.error))))
        if last.last_success is not None:
            succeeded.append((labels, last.last_success.timestamp()))
        for label, moment in last.newest.items():
            newest.append(({**labels, "database": label}, moment.timestamp()))
    return [
        Metric("remote_last_push_failed", "Whether the last push to the remote failed.", ended),
        Metric(
            "remote_last_push_success_timestamp_seconds",
            "When the last push to the remote that succeeded was.",
            succeeded,
        ),
        Metric(
            "remote_last_snapshot_timestamp_seconds",
            "When the newest snapshot that the last push left on the remote was begun.",
            newest,
        ),
    ]


def repository_metrics(repo: Repository, now: datetime) -> list[Metric]:
    """Return what the repository holds, per label. Raises StoreError, CorruptionError."""
    verdicts = list(repo.sound_notes(VERDICT))
    values: dict[str, list[tuple[dict[str, str], float]]] = {name: [] for name, _ in _OF_LABELS}
    chains = Chains(repo, now)
    known = Labels(repo, chains, now, verdicts)
    for label in repo.databases():
        there = chains.latest_of_label(label)
        idle = out_of_use(there, now, RETIRE_AFTER)
        active = [one.chain for one in there if one.chain not in idle]
        for state, chain in zip(known.states(label, active), active, strict=True):
            labels = {"database": chain.name}
            values["snapshots"].append((labels, len(chains.snapshots(chain))))
            if state.newest is not None:
                newest = repo.snapshot(state.newest)
                stamp = newest.time.timestamp()
                values["last_snapshot_timestamp_seconds"].append((labels, stamp))
                values["last_snapshot_duration_seconds"].append((labels, newest.duration_ms / 1000))
                values["last_snapshot_bytes"].append((labels, newest.plain_bytes))
                values["last_snapshot_new_bytes"].append((labels, newest.stored_bytes))
            if state.verified is not None:
                stamp = state.verified.timestamp()
                values["last_verified_timestamp_seconds"].append((labels, stamp))
            if state.drilled is not None:
                values["last_drill_timestamp_seconds"].append((labels, state.drilled.timestamp()))
                values["last_drill_passed"].append((labels, float(bool(state.drill_passed))))
    found = [Metric(name, help, values[name]) for name, help in _OF_LABELS]
    total = repo.place.footprint().total
    return [*found, Metric("repository_bytes", "Of all files of the repository.", [({}, total)])]


_OF_LABELS = (
    ("snapshots", "Snapshots that are not forgotten."),
    ("last_snapshot_timestamp_seconds", "When the newest snapshot was begun."),
    ("last_snapshot_duration_seconds", "How long the newest snapshot took."),
    ("last_snapshot_bytes", "Of the dump that the newest snapshot holds."),
    ("last_snapshot_new_bytes", "What the newest snapshot added to the repository."),
    ("last_verified_timestamp_seconds", "When a snapshot was last read whole without a finding."),
    ("last_drill_timestamp_seconds", "When the last drill ended."),
    ("last_drill_passed", "Whether the last drill passed."),
)


def _stamp(text: str | None) -> float | None:
    return datetime.fromisoformat(text).timestamp() if text else None
