"""Retention: which snapshots a policy keeps, and why. It only decides and never writes.

The rules are those of restic, borg and kopia: *last* keeps the newest N; a period (hour, day, ISO
week, month, year) is represented by its newest snapshot, and the newest N periods that have one are
kept; *within* keeps what is younger than a time span. A snapshot is kept if any rule keeps it. Each
chain (the snapshots of a label from one server) is judged separately. Periods are calendar periods
of the snapshots' own times in one time zone, by default this machine's.

Regardless of the rules, a chain's newest snapshot and its newest verified one are never dropped,
nor those of a restore that can still be undone, nor those that a tag protects. Safety snapshots do
not count towards a rule: they are kept for 30 days. Snapshots dated in the future do not count
either, or a wrong clock would push out all others: the newest of them are kept, as many as the
policy keeps at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from fnmatch import fnmatchcase

from pgsnap.errors import UsageError
from pgsnap.model import SnapshotHead, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import CLOCK_SLACK, Chain, Chains, LatestOf
from pgsnap.repository.snapshots.tags import SAFETY_TAGS
from pgsnap.values import dataclass
from pgsnap.workflows.notes.kept_databases import read_kept_notes
from pgsnap.workflows.notes.verdicts import newest_verified, proofs

SAFETY_DAYS = 30
RETIRE_AFTER = timedelta(days=90)
"""How long a chain without new snapshots counts, if another chain of its label has new ones."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What to keep: numbers of snapshots (0: no such rule), a time span, globs of tags.

    With *tags* only matching tags protect their snapshots; without, every tag does. The newest
    snapshot of a chain that is out of use for *retire_after* is no longer protected.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: timedelta | None = None
    tags: tuple[str, ...] = ()
    retire_after: timedelta = RETIRE_AFTER

    def check(self) -> None:
        """Raise UsageError if the policy keeps nothing, or a number is negative."""
        if (
            any(count < 0 for _, count in self.counts())
            or (self.within or timedelta()) < timedelta()
        ):
            raise UsageError("a retention policy cannot keep less than nothing")
        if not self.most and not self.within and not self.tags:
            raise UsageError("the retention policy keeps nothing", hint=_KEEP_HINT)

    @property
    def most(self) -> int:
        """Return how many snapshots of a label its counting rules keep at most."""
        return sum(count for _, count in self.counts())

    def counts(self) -> tuple[tuple[str, int], ...]:
        return tuple((name, getattr(self, name)) for name in ("last", *_PERIODS))

    def words(self) -> str:
        """Return the policy as text for the user: ``last 7, within 30d, tag pre-*``."""
        found = [f"{name} {count}" for name, count in self.counts() if count]
        found += [f"within {span(self.within)}"] if self.within else []
        return ", ".join([*found, *(f"tag {glob}" for glob in self.tags)])


_KEEP_HINT = "Say what to keep: --keep-last 7, or last = 7 in [retention] of snap.toml."

DEFAULT_POLICY = Policy(last=7)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a snapshot is kept, and all reasons for it."""

    snapshot_id: SnapshotId
    snapshot: SnapshotHead
    keep: bool
    reasons: tuple[str, ...]
    tags: tuple[str, ...] = ()


def decide(
    repo: Repository, policy: Policy, now: datetime, *, zone: tzinfo | None = None
) -> list[Decision]:
    """Return a decision for each snapshot that is not forgotten: by label, newest first.

    *now* is aware; *zone* sets the boundaries of days, None for this machine's own. Raises
    UsageError if the policy keeps nothing, CorruptionError if a relevant tag or manifest is
    damaged.
    """
    policy.check()
    tags = repo.tags.by_snapshot()
    proven = proofs(repo)
    undoable = _pending_undo(repo)
    chains = Chains(repo, now)
    chains.check_notes()
    decisions: list[Decision] = []
    for label in repo.databases():
        there = chains.latest_of_label(label)
        idle = out_of_use(there, now, policy.retire_after)
        for chain in (latest.chain for latest in there):
            found = [
                Candidate(snapshot, head, tuple(tags.get(snapshot, ())))
                for snapshot, head in repo.heads(chains.snapshots(chain))
            ]
            verified = newest_verified(chains.newest_first(chain), proven)
            decisions += judge(
                found,
                policy,
                now,
                zone=zone,
                verified=verified,
                undoable=undoable,
                in_use=chain not in idle,
            )
    return decisions


def out_of_use(latest: Sequence[LatestOf], now: datetime, retire_after: timedelta) -> set[Chain]:
    """Return those of a label's chains that have no snapshot of the last *retire_after* while
    another one has: a server that was replaced. If none has, commits are failing."""
    idle = {one.chain for one in latest if now - one.time > retire_after and not one.ahead}
    return idle if len(idle) < len(latest) else set()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A snapshot to be judged, with its tags."""

    snapshot_id: SnapshotId
    snapshot: SnapshotHead
    tags: tuple[str, ...] = ()

    @property
    def time(self) -> datetime:
        return self.snapshot.time

    @property
    def is_safety(self) -> bool:
        return any(tag.startswith(SAFETY_TAGS) for tag in self.tags)


def judge(
    candidates: Sequence[Candidate],
    policy: Policy,
    now: datetime,
    *,
    zone: tzinfo | None = None,
    verified: SnapshotId | None = None,
    undoable: Mapping[SnapshotId, datetime] | None = None,
    in_use: bool = True,
) -> list[Decision]:
    """Decide on the snapshots of one chain, given newest first.

    *undoable* maps the snapshots of swaps that can still be undone to their times. The newest is
    protected if the chain is *in_use*. Raises UsageError if a policy of only tags matches none and
    would drop something.
    """
    policy.check()
    counted = [one for one in candidates if not one.is_safety]
    ahead = [one for one in counted if one.time > now + CLOCK_SLACK]
    # The input is newest first.
    regular = counted[len(ahead) :]
    reasons: dict[SnapshotId, list[str]] = {one.snapshot_id: [] for one in candidates}
    for rule in (
        _newest(candidates, regular, verified, in_use=in_use),
        _last(regular, policy.last),
        *(_period(regular, name, count, zone) for name, count in policy.counts()[1:]),
        _within(regular, policy.within),
        _ahead(ahead, policy),
        _tagged(candidates, policy.tags),
        _safety(candidates, now, zone),
        _undoable(candidates, undoable or {}, now, zone),
    ):
        for one, reason in rule:
            reasons[one.snapshot_id].append(reason)
    by_tags_alone = in_use and not policy.most and not policy.within
    if by_tags_alone and not all(reasons.values()) and not any(_tagged(candidates, policy.tags)):
        raise UsageError(
            f'the retention policy keeps nothing of database "{candidates[0].snapshot.database}"',
            detail=f"None of its snapshots has a tag that matches {' or '.join(policy.tags)}.",
            hint=_KEEP_HINT,
        )
    decisions = []
    for one in candidates:
        found = reasons[one.snapshot_id]
        why = found or [_why_dropped(one, policy, now)]
        decisions.append(Decision(one.snapshot_id, one.snapshot, bool(found), tuple(why), one.tags))
    return decisions


_Reasons = Iterator[tuple[Candidate, str]]


def _newest(
    candidates: Sequence[Candidate],
    regular: Sequence[Candidate],
    verified: SnapshotId | None,
    *,
    in_use: bool,
) -> _Reasons:
    """Keep the newest of all, and the newest that is neither a safety snapshot nor dated in the
    future."""
    found = (*candidates[:1], *regular[:1]) if in_use else ()
    newest = {one.snapshot_id for one in found}
    for one in candidates:
        if one.snapshot_id in newest:
            yield one, "newest"
        if one.snapshot_id == verified:
            yield one, "newest verified"


def _last(regular: Sequence[Candidate], count: int) -> _Reasons:
    for place, one in enumerate(regular[:count], 1):
        yield one, f"last {place} of {count}"


def _period(regular: Sequence[Candidate], name: str, count: int, zone: tzinfo | None) -> _Reasons:
    """Keep the newest snapshot of each of the newest *count* periods that have one."""
    seen: set[str] = set()
    for one in regular:
        period = _PERIODS[name](_local(one.time, zone))
        if period not in seen:
            if len(seen) == count:
                return
            seen.add(period)
            yield one, f"{name} {period}"


def _week(local: datetime) -> str:
    year, week, _ = local.isocalendar()
    return f"{year}-W{week:02}"


_PERIODS: dict[str, Callable[[datetime], str]] = {
    # With the UTC offset: when clocks are set back, the repeated hour is a different one.
    "hourly": lambda local: local.strftime("%Y-%m-%d %H:00 %z"),
    "daily": lambda local: local.strftime("%Y-%m-%d"),
    "weekly": _week,
    "monthly": lambda local: local.strftime("%Y-%m"),
    "yearly": lambda local: local.strftime("%Y"),
}


def _within(regular: Sequence[Candidate], within: timedelta | None) -> _Reasons:
    """Keep what is at most *within* older than the newest: while commits fail, nothing is
    dropped."""
    if within:
        for one in regular:
            if regular[0].time - one.time <= within:
                yield one, f"within {span(within)}"


def _ahead(ahead: Sequence[Candidate], policy: Policy) -> _Reasons:
    """Keep a limited number of those dated in the future: each later commit is dated later still,
    so there may be many, and their periods mean nothing."""
    places = len(ahead) if policy.within else policy.most
    for one in ahead[:places]:
        yield one, "dated in the future"


def _tagged(candidates: Sequence[Candidate], globs: Sequence[str]) -> _Reasons:
    for one in candidates:
        if globs:
            for glob in globs:
                if any(fnmatchcase(tag, glob) for tag in one.tags):
                    yield one, f"tag {glob}"
        elif names := [tag for tag in one.tags if not tag.startswith(SAFETY_TAGS)]:
            yield one, f"protected: tagged {', '.join(names)}"


def _safety(candidates: Sequence[Candidate], now: datetime, zone: tzinfo | None) -> _Reasons:
    for one in candidates:
        if one.is_safety and now - one.time <= timedelta(days=SAFETY_DAYS):
            until = _local(min(one.time, now) + timedelta(days=SAFETY_DAYS), zone)
            yield one, f"safety snapshot, until {until:%Y-%m-%d}"


def _undoable(
    candidates: Sequence[Candidate],
    undoable: Mapping[SnapshotId, datetime],
    now: datetime,
    zone: tzinfo | None,
) -> _Reasons:
    for one in candidates:
        swapped = undoable.get(one.snapshot_id)
        if swapped is not None and now - swapped <= timedelta(days=SAFETY_DAYS):
            yield one, f"the restore of {_local(swapped, zone):%Y-%m-%d} can be undone"


def _why_dropped(one: Candidate, policy: Policy, now: datetime) -> str:
    if one.is_safety:
        return f"safety snapshot older than {SAFETY_DAYS}d"
    if one.time > now + CLOCK_SLACK:
        return f"dated in the future, with {policy.most} newer ones kept"
    if one.tags:
        return f"tagged {', '.join(one.tags)}, which does not match; beyond {policy.words()}"
    return f"beyond {policy.words()}"


def _pending_undo(repo: Repository) -> dict[SnapshotId, datetime]:
    """Return the snapshots whose restore replaced a database that may still be kept, and when."""
    # The last replaced comes first, and wins.
    kept = reversed(read_kept_notes(repo).kept())
    return {one.snapshot: one.since for one in kept if one.snapshot is not None}


def _local(moment: datetime, zone: tzinfo | None) -> datetime:
    try:
        return moment.astimezone(zone)
    except (OverflowError, ValueError, OSError):
        # At the limits of the calendar.
        return moment.astimezone(UTC)


def span(length: timedelta | None) -> str:
    """Return a time span in the syntax of `--keep-within`: ``30d``, ``36h``, ``90s``."""
    seconds = (length or timedelta()) // timedelta(seconds=1)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def safety_tag(repo: Repository, snapshot: SnapshotId, database: str) -> str | None:
    """Return the tag of a safety snapshot, which a restore or undo took of what it replaced."""
    tags = repo.tags.by_snapshot(database).get(snapshot, ())
    return next((tag for tag in tags if tag.startswith(SAFETY_TAGS)), None)
