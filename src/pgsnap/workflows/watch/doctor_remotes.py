"""Doctor's look at the remotes: reachable, what they hold, with whose credentials."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from pgsnap.maintenance.verify.withheld import PUT_BACK
from pgsnap.model import Finding, Verdict
from pgsnap.repository.places.address import Address
from pgsnap.words import plural
from pgsnap.workflows.watch.ages import MAX_AGE, span
from pgsnap.workflows.watch.check import RemoteSeen


def look_at_remotes(
    repository: Address, remotes: Iterable[RemoteSeen], now: datetime
) -> list[Finding]:
    """Return the steps about the remotes; that there is none, if the *repository* is on this host's
    disks and so is the only copy."""
    steps = [step for remote in remotes for step in _look_at(remote, now)]
    if steps or not isinstance(repository, Path):
        return steps
    way = "Keep a copy elsewhere: snap remote add offsite s3://bucket/shop"
    return [Finding("remotes", Verdict.WARNED, "there is no copy on another host", way)]


def _look_at(remote: RemoteSeen, now: datetime) -> list[Finding]:
    state, name = remote.state, remote.name
    check = f"remote {name}"
    if state is None or state.error:
        why = state.error if state is not None else "it was not asked"
        way = (state.hint if state is not None else "") or f"See why: snap remote check {name}"
        return [Finding(check, Verdict.FAILED, f"{remote.url}: {why}", way)]
    words = [f"{remote.url} answers: {plural(state.snapshots or 0, 'snapshot')}"]
    words += ["encrypted"] if state.is_encrypted else ["not encrypted"]
    words += [f"credentials of {state.credentials}"] if state.credentials else []
    words += [f"the head of its log is {state.head}"] if state.head else []
    steps = [Finding(check, Verdict.PASSED, ", ".join(words))]
    if remote.last is not None and remote.last.error:
        ago = span(now - remote.last.time)
        text = f"the last push, {ago} ago, failed: {remote.last.error}"
        steps.append(Finding(check, Verdict.FAILED, text, f"Push again: snap push {name}"))
    for missing in state.not_shown:
        way = f"See who may write there, then push again: snap push {name}"
        steps.append(Finding(check, Verdict.FAILED, f"{missing}: {PUT_BACK}", way))
    if not state.newest:
        text = "it holds no snapshot"
        steps.append(Finding(check, Verdict.WARNED, text, f"Fill it: snap push {name}"))
    for label, moment in state.newest.items():
        old = now - moment
        is_late = remote.is_pushed_to and old > MAX_AGE
        text = f"the newest snapshot of {label} there is {span(old)} old"
        verdict, way = Verdict.PASSED, ""
        if is_late:
            verdict, way = Verdict.FAILED, f"Push what it lacks: snap push {name}"
        steps.append(Finding(check, verdict, text, way))
    return steps
