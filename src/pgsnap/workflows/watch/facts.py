"""Facts common to check and doctor. Each selects and words them for its readers: *reason* of these
findings is the phrase that both share, *details* are what one of them adds."""

from __future__ import annotations

from datetime import datetime, timedelta

from pgsnap.model import Finding, Verdict
from pgsnap.repository.places.address import Address
from pgsnap.repository.places.opening import place_of
from pgsnap.workflows.watch.ages import LOCK_HELD_MAX, MAX_AGE, MAX_DRILL_AGE, span
from pgsnap.workflows.watch.label_states import LabelState


def age(state: LabelState, now: datetime, limit: timedelta = MAX_AGE) -> Finding:
    """Return the age of the newest snapshot that counts; the reason is empty if there is none."""
    if state.time is None:
        return Finding("snapshot", Verdict.FAILED, "", database=state.database)
    old = now - state.time
    late = old > limit
    return Finding(
        "snapshot",
        Verdict.FAILED if late else Verdict.PASSED,
        f"{state.name} is {span(old)} old",
        details=(f"(more than {span(limit)})",) if late else (),
        database=state.database,
    )


def drill(state: LabelState, now: datetime, limit: timedelta = MAX_DRILL_AGE) -> Finding:
    """Return the result of the last drill; the first of *details* is when it took place, if at all.
    A drill that is too long ago, or never took place, is a warning."""

    def found(verdict: Verdict, text: str, *details: str) -> Finding:
        return Finding("drill", verdict, text, details=details, database=state.database)

    if state.drilled is None:
        return found(Verdict.WARNED, f"{state.name} never had a drill")
    past, last = now - state.drilled, f"the last drill of {state.name}"
    ago = f"{span(past)} ago"
    if not state.drill_passed:
        why = f": {state.drill_reason}" if state.drill_reason else ""
        return found(Verdict.FAILED, f"{last} failed", ago + why)
    if past > limit:
        return found(Verdict.WARNED, f"{last} was", ago, f"(more than {span(limit)})")
    return found(Verdict.PASSED, f"{last} was", ago)


def held_lock(where: Address, now: datetime) -> Finding:
    """Return how long another process has held the exclusive lock on the repository."""
    since = place_of(where).held_since()
    held = now - since if since is not None else timedelta()
    verdict = Verdict.FAILED if held > LOCK_HELD_MAX else Verdict.WARNED
    return Finding("lock", verdict, span(held))
