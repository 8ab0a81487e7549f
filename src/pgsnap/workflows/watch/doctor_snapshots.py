"""What a doctor says of the snapshots of each database: their age, drills, and clocks."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from pgsnap.model import Note
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chain, Chains
from pgsnap.workflows.notes.verdicts import DRILL_NOTE_BYTES_MIN, VERDICT
from pgsnap.workflows.watch.ages import MAX_AGE, MAX_DRILL_AGE, span
from pgsnap.workflows.watch.doctor_steps import Health, Step
from pgsnap.workflows.watch.label_states import LabelState, counted_chains, states


def look_at_snapshots(
    repo: Repository,
    now: datetime,
    expected: Sequence[str],
    server: Callable[[], str],
    retire_after: timedelta,
) -> list[Step]:
    """Return the steps about the newest snapshot of each database, and about its last drill."""
    labels = repo.databases()
    commit = "snap schedule run commit" if len(expected) > 1 else "snap commit -m now"
    if not labels:
        first = commit if len(expected) > 1 else 'snap commit -m "first snapshot"'
        return [Step("snapshot", Health.RED, "there is no snapshot yet", f"Make one: {first}")]
    steps = []
    chains, drills = Chains(repo, now), _drills(repo)
    is_one = len({*labels, *expected}) == 1
    # Who is there is asked only where it makes a difference.
    here = server() if any(map(chains.is_divided, labels)) else ""
    for label in [*labels, *(name for name in expected if name not in labels)]:
        counted = counted_chains(
            chains,
            label,
            now,
            server=here,
            retire_after=retire_after,
            is_there=label in expected,
        )
        if counted.retired:
            steps.append(Step("snapshot", Health.OK, f"{label} is retired"))
        for state in states(repo, chains, counted, label, drills):
            if counted.retired:
                continue
            if not counted.chains:
                text = f"there is no snapshot of {label} yet"
                steps.append(Step("snapshot", Health.RED, text, f"Make one: {commit}"))
                continue
            # The label is what the user called it: the DSN names the database.
            which = "" if is_one or label in expected else f", with the DSN of {label}"
            steps.append(_age(state, now, f"Make one now{which}: {commit}"))
            drill = "snap drill" if is_one else f"snap drill --database {shlex.quote(label)}"
            steps.append(_drill(state, now, drill))
        steps += [step for chain in counted.chains for step in _ahead(repo, chains, chain, now)]
    return steps


def _drills(repo: Repository) -> list[Note]:
    return list(repo.sound_notes(VERDICT, bytes_min=DRILL_NOTE_BYTES_MIN))


def _age(state: LabelState, now: datetime, way: str) -> Step:
    if state.time is None:
        text = (
            f"no snapshot of {state.name} counts: safety snapshots and those of the future do not"
        )
        return Step("snapshot", Health.RED, text, way)
    words = f"the newest of {state.name} is {span(now - state.time)} old"
    if now - state.time <= MAX_AGE:
        return Step("snapshot", Health.OK, words)
    way += ". Then let it be made: snap schedule install"
    return Step("snapshot", Health.RED, words, way)


def _ahead(repo: Repository, chains: Chains, chain: Chain, now: datetime) -> Iterator[Step]:
    for snapshot in chains.snapshots(chain, 1):
        if chains.is_ahead(snapshot):
            ahead = span(repo.snapshot(snapshot).time - now)
            text = f"a snapshot of {chain.name} is dated {ahead} ahead: a clock was wrong"
            way = f"Where it is not needed: snap forget {snapshot.hex()[:12]}"
            yield Step("clock", Health.WARNING, text, way)


def _drill(state: LabelState, now: datetime, command: str) -> Step:
    prove = f"Prove that it can be restored: {command}"
    if state.drilled is None:
        text = f"{state.name} never had a drill"
        return Step("drill", Health.WARNING, text, prove)
    age = now - state.drilled
    if not state.drill_passed:
        text = f"the last drill of {state.name} failed, {span(age)} ago"
        text += f": {state.drill_reason}" if state.drill_reason else ""
        return Step("drill", Health.RED, text, f"See why: {command} --verbose")
    if age > MAX_DRILL_AGE:
        text = f"the last drill of {state.name} was {span(age)} ago"
        return Step("drill", Health.WARNING, text, prove)
    return Step("drill", Health.OK, f"a drill of {state.name} passed {span(age)} ago")
