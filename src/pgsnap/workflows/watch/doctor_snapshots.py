"""The doctor's steps on the snapshots of each database: their age, drills, and clocks."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pgsnap.model import Finding, Verdict
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.workflows.notes.verdicts import VERDICT
from pgsnap.workflows.watch import facts
from pgsnap.workflows.watch.damage import known_damage
from pgsnap.workflows.watch.label_states import Labels, LabelState


def look_at_snapshots(
    repo: Repository,
    now: datetime,
    expected: Sequence[str],
    server: Callable[[], str],
    retire_after: timedelta,
) -> list[Finding]:
    """Return the steps about the newest snapshot of each database, about its last drill, and about
    what is known to be damaged."""
    labels = repo.databases()
    commit = "snap schedule run commit" if len(expected) > 1 else "snap commit -m now"
    if not labels:
        first = commit if len(expected) > 1 else 'snap commit -m "first snapshot"'
        text = "there is no snapshot yet"
        return [Finding("snapshot", Verdict.FAILED, text, f"Make one: {first}")]
    steps = []
    chains = Chains(repo, now)
    is_one = len({*labels, *expected}) == 1
    # The server is asked only if it makes a difference.
    here = server() if any(map(chains.is_divided, labels)) else ""
    verdicts = list(repo.sound_notes(VERDICT))
    known = Labels(repo, chains, now, verdicts, expected, here, retire_after)
    for label in [*labels, *(name for name in expected if name not in labels)]:
        found = known.counted(label)
        if found.retired:
            steps.append(Finding("snapshot", Verdict.PASSED, f"{label} is retired"))
        for state in found.states:
            if not found.chains:
                text = f"there is no snapshot of {label} yet"
                steps.append(Finding("snapshot", Verdict.FAILED, text, f"Make one: {commit}"))
                continue
            # The label is the user's choice: the database is named in the DSN.
            which = "" if is_one or label in expected else f", with the DSN of {label}"
            steps.append(_age(state, now, f"Make one now{which}: {commit}"))
            drill = "snap drill" if is_one else f"snap drill --database {shlex.quote(label)}"
            steps.append(_drill(state, now, drill))
        for one in found.ahead:
            text, way = f"{one.reason}: a clock was wrong", f"Where it is not needed: {one.help}"
            steps.append(replace(one, reason=text, help=way))
    for one in known_damage(repo, labels, verdicts, now):
        steps.append(replace(one, help=f"Mend it, from a copy too (--from PATH): {one.help}"))
    return steps


def _age(state: LabelState, now: datetime, way: str) -> Finding:
    found = facts.age(state, now)
    if state.time is None:
        text = (
            f"no snapshot of {state.name} counts: safety snapshots and those of the future do not"
        )
        return replace(found, reason=text, help=way)
    is_late = found.verdict is Verdict.FAILED
    way = f"{way}. Then let it be made: snap schedule install" if is_late else ""
    return replace(found, reason=f"the newest of {found.reason}", help=way)


def _drill(state: LabelState, now: datetime, command: str) -> Finding:
    found = facts.drill(state, now)
    text = " ".join((found.reason, *found.details[:1]))
    way = f"Prove that it can be restored: {command}"
    if found.verdict is Verdict.FAILED:
        text, way = f"{found.reason}, {found.details[0]}", f"See why: {command} --verbose"
    elif found.verdict is Verdict.PASSED:
        text, way = f"a drill of {state.name} passed {found.details[0]}", ""
    return replace(found, reason=text, help=way)
