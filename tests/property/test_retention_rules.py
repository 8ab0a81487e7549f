"""What holds for every policy and every history."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from pgsnap.errors import UsageError
from pgsnap.workflows.retention.policy import Candidate, Decision, Policy, judge
from support.repositories.retention import NOW, candidate

# A week around the end of summer time, years around it, and a little of the future.
_NEAR = st.integers(-10 * 24 * 60, 60).map(lambda minutes: NOW + timedelta(minutes=minutes))
_FAR = st.integers(-4000, 400).map(lambda days: NOW + timedelta(days=days))
_CHANGE = st.integers(0, 300).map(
    lambda minutes: datetime(2026, 10, 24, 22, tzinfo=UTC) + timedelta(minutes=minutes)
)
_TIMES = st.one_of(_NEAR, _FAR, _CHANGE)
_TAGS = st.lists(st.sampled_from(["pre-1", "v1", "before-restore/x", "before-undo/y"]), max_size=2)
_ZONES = st.sampled_from([UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Apia")])
_COUNT = st.integers(0, 4)


@st.composite
def histories(draw: st.DrawFn) -> list[Candidate]:
    """Return snapshots of one label, newest first, as a repository gives them."""
    made = draw(st.lists(st.tuples(_TIMES, _TAGS), min_size=1, max_size=25))
    made.sort(key=lambda one: one[0], reverse=True)
    return [
        candidate(time.isoformat(), tags, name=str(number))
        for number, (time, tags) in enumerate(made)
    ]


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    counts = [draw(_COUNT) for _ in range(6)]
    within = draw(st.none() | st.integers(1, 100).map(lambda days: timedelta(days=days)))
    tags = draw(st.sampled_from([(), ("pre-*",), ("*",), ("before-*", "v?")]))
    policy = Policy(*counts, within=within, tags=tags)
    return policy if policy.most or within else replace(policy, last=1)


def names(decisions: list[Decision]) -> set[str]:
    return {one.snapshot.message for one in decisions if one.keep}


@settings(max_examples=150)
@given(histories(), policies(), _ZONES, st.data())
def test_retention_is_safe_stable_and_monotone(
    history: list[Candidate], policy: Policy, zone: ZoneInfo, data: st.DataObject
) -> None:
    verified = data.draw(st.sampled_from([None, *(one.snapshot_id for one in history)]))

    def judged(some: list[Candidate], by: Policy) -> list[Decision]:
        return judge(some, by, NOW, zone=zone, verified=verified)

    found = judged(history, policy)
    assert [one.snapshot_id for one in found] == [one.snapshot_id for one in history]
    assert all(one.reasons for one in found)
    keep = names(found)
    assert "0" in keep, "the newest"
    if verified is not None:
        assert any(one.keep for one in found if one.snapshot_id == verified)
    for one in history:
        if not policy.tags and any(not tag.startswith("before-") for tag in one.tags):
            assert one.snapshot.message in keep, "tagged"
        if one.is_safety and NOW - one.time <= timedelta(days=30):
            assert one.snapshot.message in keep, "a fresh safety snapshot"
    # Deciding on what is left changes nothing, and a bound holds.
    left = [one for one in history if one.snapshot.message in keep]
    assert names(judged(left, policy)) == keep
    if policy.within is None:
        counted = [one for one in history if not one.tags]
        ours = {one.snapshot.message for one in counted} & keep
        assert len(ours) <= 2 * policy.most + 3
    # A policy that keeps more drops nothing that was kept.
    rule = data.draw(st.sampled_from(["last", "hourly", "daily", "weekly", "monthly", "yearly"]))
    more = replace(policy, **{rule: getattr(policy, rule) + data.draw(st.integers(1, 3))})
    assert keep <= names(judged(history, more))
    wider = replace(policy, within=(policy.within or timedelta()) + timedelta(days=20))
    assert keep <= names(judged(history, wider))


@settings(max_examples=50)
@given(histories())
def test_globs_alone_keep_every_match_or_are_refused(history: list[Candidate]) -> None:
    try:
        keep = names(judge(history, Policy(tags=("v1",)), NOW, zone=UTC))
    except UsageError:
        assert not any("v1" in one.tags for one in history)
    else:
        assert {one.snapshot.message for one in history if "v1" in one.tags} <= keep
