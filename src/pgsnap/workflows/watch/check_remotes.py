"""Check of the remotes: was pushed to them, and how old is what they hold?"""

from __future__ import annotations

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
        if not _is_known(remote):
            if limit is not None and not failed:
                text = f"nothing was pushed to {remote.name} yet: snap push {remote.name}"
                report.add(Verdict.WARNED, "push", text)
            continue
        for label in report.labels:
            if label.time is not None:
                there = _newest(remote, label)
                _age(report, remote.name, label, there, limit, is_pushed=not failed)


def _last_push(report: CheckReport, remote: RemoteSeen) -> bool:
    """Report the last push if it failed; return whether it did."""
    last = remote.last
    if last is None or not last.error:
        return False
    ago = span(report.now - last.time)
    text = f"the last push to {remote.name}, {ago} ago, failed: {last.error};"
    report.add(Verdict.FAILED, "push", f"{text} push again: snap push {remote.name}")
    return True


def _is_known(remote: RemoteSeen) -> bool:
    """Return whether it is known what is there: the store said so, or a push that succeeded."""
    if remote.state is not None and not remote.state.error:
        return True
    return remote.last is not None and remote.last.last_success is not None


def _newest(remote: RemoteSeen, label: LabelState) -> datetime | None:
    """Return when the newest snapshot there was begun: as the store says, else as the last push
    left it."""
    if remote.state is not None and not remote.state.error:
        # Other hosts, whose databases have the same name, may push there too.
        of_servers = remote.state.of_servers
        times = [of_servers.get((label.database, server)) for server in label.servers]
        return max((time for time in times if time is not None), default=None)
    return remote.last.newest.get(label.database) if remote.last is not None else None


def _age(
    report: CheckReport,
    name: str,
    label: LabelState,
    there: datetime | None,
    limit: timedelta | None,
    *,
    is_pushed: bool,
) -> None:
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
