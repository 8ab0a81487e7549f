"""Check of the remotes: was pushed to them, and how old is what they hold?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pgsnap.maintenance.verify.withheld import PUT_BACK
from pgsnap.model import Verdict
from pgsnap.workflows.watch.ages import MAX_AGE, span
from pgsnap.workflows.watch.check import CheckReport, RemoteSeen
from pgsnap.workflows.watch.label_states import LabelState


def check_remotes(report: CheckReport, max_age: timedelta | None, *, is_scheduled: bool) -> None:
    """Check the last push to each of the report's remotes, and the age of the newest snapshot of
    each label there: at most *max_age*; by default 26 hours where commits are pushed to it, or
    pushes are scheduled."""
    for remote in report.remotes:
        limit = max_age
        if limit is None and (remote.is_pushed_to or is_scheduled):
            limit = MAX_AGE
        failed = _last_push(report, remote)
        for tag in remote.last.refused if remote.last is not None else ():
            text = (
                f"tag {tag} names another snapshot in {remote.name}, so it was not pushed: give it"
            )
            text += f" another name here, or: snap push {remote.name} --all-tags --force"
            report.add(Verdict.WARNED, "push", text)
        if remote.state is not None and remote.state.error:
            text = f"the remote {remote.name} cannot be asked: {remote.state.error}"
            report.add(Verdict.WARNED, "remote", text)
        for words in remote.state.not_shown if remote.state is not None else ():
            text = f"{words}: {PUT_BACK}; snap push {remote.name} sends again what is here"
            report.add(Verdict.FAILED, "remote", text)
        if (newest := _newest(remote)) is None:
            if limit is not None and not failed:
                text = f"nothing was pushed to {remote.name} yet: snap push {remote.name}"
                report.add(Verdict.WARNED, "push", text)
            continue
        for label in report.labels:
            if label.time is not None:
                _age(report, remote.name, label, newest, limit, is_pushed=not failed)


def _last_push(report: CheckReport, remote: RemoteSeen) -> bool:
    """Report the last push if it failed; return whether it did."""
    last = remote.last
    if last is None or not last.error:
        return False
    ago = span(report.now - last.time)
    text = f"the last push to {remote.name}, {ago} ago, failed: {last.error};"
    report.add(Verdict.FAILED, "push", f"{text} push again: snap push {remote.name}")
    return True


def _newest(remote: RemoteSeen) -> Mapping[str, datetime] | None:
    """Return the newest snapshots there: as the store says, else as the last push left them."""
    if remote.state is not None and not remote.state.error:
        return remote.state.newest
    if remote.last is None or remote.last.last_success is None:
        return None
    return remote.last.newest


def _age(
    report: CheckReport,
    name: str,
    label: LabelState,
    newest: Mapping[str, datetime],
    limit: timedelta | None,
    *,
    is_pushed: bool,
) -> None:
    there = newest.get(label.database)
    push = f"snap push {name}"
    if there is None:
        if limit is not None:
            text = f"no snapshot of {label.name} is in {name}: {push}"
            report.add(Verdict.FAILED, "remote", text, label.database)
        return
    old = report.now - there
    text = f"the newest snapshot of {label.name} in {name} is {span(old)} old"
    if limit is not None and old > limit:
        text += f" (more than {span(limit)})"
        report.add(Verdict.FAILED, "remote", text, label.database)
        return
    report.add(Verdict.PASSED, "remote", text, label.database)
    if limit is not None and is_pushed and label.time is not None and there < label.time:
        text = f"the newest snapshot of {label.name} was not pushed to {name}: {push}"
        report.add(Verdict.WARNED, "push", text, label.database)
