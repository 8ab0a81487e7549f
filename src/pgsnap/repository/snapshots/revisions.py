"""Revisions: how users name a snapshot (docs/cli.md, "Revisions")."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from pgsnap.errors import AmbiguousChain, AmbiguousRevision, UnknownRevision
from pgsnap.format.times import to_micros
from pgsnap.limits import ID_PREFIX_MIN
from pgsnap.model import HASH_BYTES, SnapshotId, Tag
from pgsnap.patterns import regex
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chain, Chains
from pgsnap.repository.snapshots.moments import is_clock_time, last_moment
from pgsnap.repository.snapshots.tags import is_safety_tag
from pgsnap.repository.snapshots.unknown import unknown_revision
from pgsnap.words import plural

_STEPS = regex(r"(?P<base>.+?)(?P<steps>(?:~[0-9]{0,9})+)", re.DOTALL)
_PREFIX = regex(rf"[0-9a-fA-F]{{{ID_PREFIX_MIN},{HASH_BYTES * 2}}}")
_CANDIDATES_SHOWN = 5


Choose: TypeAlias = "Callable[[Sequence[Chain]], Chain]"
"""Chooses which of a label's chains is meant; called with at least two."""


def ambiguous_chain(repo: Repository, chains: Sequence[Chain], why: str = "") -> AmbiguousChain:
    """Return the error for a label whose snapshots were taken from several servers; *why* says why
    it was not clear which is meant."""
    known = Chains(repo)
    lines = []
    for chain in chains[:_CANDIDATES_SHOWN]:
        newest = known.latest(chain)
        if newest is not None:
            snapshot = repo.snapshot(newest)
            place = f" ({snapshot.origin.host})" if snapshot.origin.host else ""
            when = f"{snapshot.time.astimezone():%Y-%m-%d %H:%M}"
            lines.append(f"{chain.name}{place}: newest {newest.hex()[:12]} of {when}")
    label = chains[0].label
    return AmbiguousChain(
        f'the snapshots of "{label}" were taken from {len(chains)} servers',
        detail=f"{why} There are {'; '.join(lines)}.".strip(),
        hint="Name the snapshot by its id or tag; a restore also takes"
        f" --from-server {chains[0].name}.",
    )


def chain_of(repo: Repository, label: str, choose: Choose | None) -> Chain | None:
    """Return the chain of a label that is meant; None if the label has no snapshots. The new name
    of a renamed database means the chain under its former name."""
    known = Chains(repo)
    chains = known.of_label(label)
    if not chains and (former := known.former_name(label)) is not None:
        chains = known.of_label(former)
    if len(chains) < 2:
        return chains[0] if chains else None
    if choose is None:
        raise ambiguous_chain(repo, chains)
    return choose(chains)


def newest_regular(repo: Repository, *, database: str | None, choose: Choose | None) -> SnapshotId:
    """Return the newest snapshot that is not a safety snapshot of a restore or undo; one of those
    only if there is no other. Raises UnknownRevision, AmbiguousRevision."""
    label = only_label(repo, database)
    chain = chain_of(repo, label, choose)
    if chain is None:
        raise unknown_revision(repo, "latest", label)
    known = Chains(repo)
    found = known.newest_regular(chain) or known.latest(chain)
    assert found is not None, "a chain has snapshots"
    return found


def resolve(
    repo: Repository, text: str, *, database: str | None, choose: Choose | None = None
) -> SnapshotId:
    """Return the snapshot that *text* names.

    *text* is a tag (``label/tag`` for another database's), an id or unique prefix, ``latest``,
    ``@TIME`` (a date with a time of day also without the sign), each with ``~n`` for its n-th
    parent. *database* is the label that is meant if the repository holds several; *choose* decides
    which of its chains ``latest`` and ``@TIME`` refer to, if it has several. Raises
    UnknownRevision, AmbiguousRevision, UsageError.
    """
    base, steps = without_steps(text)
    found = _resolve_base(repo, base, database, choose)
    count = sum(int(step) if step else 1 for step in steps.split("~")[1:])
    for done in range(count):
        parent = _parent(repo, found)
        if parent is None:
            raise UnknownRevision(
                f'no snapshot is named "{text}"',
                detail=f"Its line of parents ends after {plural(done, 'step')}.",
                hint="See what there is: snap log",
            )
        found = parent
    return found


def without_steps(text: str) -> tuple[str, str]:
    """Return a revision without the ``~n`` at its end, and these."""
    match = _STEPS.fullmatch(text)
    return (match["base"], match["steps"]) if match else (text, "")


def _parent(repo: Repository, snapshot: SnapshotId) -> SnapshotId | None:
    """Return the nearest ancestor that is not forgotten, None where the line ends.

    If a forgotten one was dropped, its parent is no longer known: it was the newest in the chain
    before it, if there was one.
    """
    child = repo.snapshot(snapshot)
    while (parent := child.parent) is not None:
        is_forgotten = repo.forgotten_since(parent) is not None
        if not repo.has_snapshot(parent):
            before = to_micros(child.time) - 1
            known = Chains(repo)
            chain = known.of_snapshot(child)
            return known.at_or_before(chain, before) if is_forgotten else None
        if not is_forgotten:
            return parent
        child = repo.snapshot(parent)
    return None


def resolve_forgotten(repo: Repository, text: str) -> SnapshotId:
    """Return the forgotten snapshot whose id is or begins with *text*.

    Raises UnknownRevision if there is none that can be brought back, AmbiguousRevision.
    """
    if not _PREFIX.fullmatch(text):
        raise UnknownRevision(
            f'no forgotten snapshot is named "{text}"',
            hint="Forgotten snapshots are named by their ids: snap log --forgotten",
        )
    found = repo.by_prefix(text.lower(), _CANDIDATES_SHOWN + 1, forgotten=True)
    if len(found) == 1:
        return found[0]
    if found:
        raise _ambiguous(text, found)
    if repo.by_prefix(text.lower(), 1):
        raise UnknownRevision(
            f'snapshot "{text}" is not forgotten', hint=f"See what is in it: snap show {text}"
        )
    raise UnknownRevision(
        f'no forgotten snapshot is named "{text}"',
        detail="What a gc dropped after its grace period cannot be brought back.",
        hint="See what can be: snap log --forgotten",
    )


def _resolve_base(
    repo: Repository, base: str, database: str | None, choose: Choose | None
) -> SnapshotId:
    if base == "latest" or base.startswith("@") or is_clock_time(base):
        moment = last_moment(base.removeprefix("@")) if base != "latest" else None
        label = only_label(repo, database)
        chain = chain_of(repo, label, choose)
        if chain is None:
            raise unknown_revision(repo, base, label)
        known = Chains(repo)
        found_one = known.latest(chain) if moment is None else known.at_or_before(chain, moment)
        if found_one is None:
            raise _none_so_old(repo, base, chain)
        return found_one
    tag = _tag(repo, base, database)
    if tag is not None:
        _check_visible(repo, base, tag.snapshot)
        return tag.snapshot
    if is_safety_tag(base):
        tag = _safety_tag(repo, base, database)
        if tag is not None:
            _check_visible(repo, base, tag.snapshot)
            return tag.snapshot
    if _PREFIX.fullmatch(base):
        found = repo.by_prefix(base.lower(), _CANDIDATES_SHOWN + 1)
        if len(found) == 1:
            return found[0]
        if found:
            raise _ambiguous(base, found)
        for forgotten in repo.by_prefix(base.lower(), 1, forgotten=True):
            _check_visible(repo, base, forgotten)
    raise unknown_revision(repo, base, database)


def _check_visible(repo: Repository, text: str, snapshot: SnapshotId) -> None:
    """Raise UnknownRevision if *text* names a forgotten snapshot."""
    since = repo.forgotten_since(snapshot)
    if since is not None and repo.has_snapshot(snapshot):
        raise UnknownRevision(
            f'snapshot "{text}" is forgotten',
            detail=f"Since {since.astimezone():%Y-%m-%d %H:%M}; a gc will drop it for good.",
            hint=f"Bring it back first: snap unforget {snapshot.hex()[:12]}",
        )


def _ambiguous(text: str, found: Sequence[SnapshotId]) -> AmbiguousRevision:
    names = ", ".join(snapshot.hex()[:16] for snapshot in found[:_CANDIDATES_SHOWN])
    return AmbiguousRevision(
        f'more than one snapshot is named "{text}"',
        detail=f"These begin so: {names}.",
        hint="Give more characters of the id.",
    )


def _tag(repo: Repository, name: str, database: str | None) -> Tag | None:
    """Return the tag called *name*: the database's, else that of the only label that has it."""
    if database is not None:
        tag = repo.tags.get(database, name)
        if tag is not None:
            return tag
    label, slash, rest = name.partition("/")
    if slash and rest:
        tag = repo.tags.get(label, rest)
        if tag is not None:
            return tag
    if database is not None:
        return None
    found = [tag for tag in repo.tags.all() if tag.name == name]
    if len(found) > 1:
        labels = ", ".join(f"{tag.database}/{tag.name}" for tag in found[:_CANDIDATES_SHOWN])
        raise AmbiguousRevision(
            f'tag "{name}" exists for more than one database',
            detail=f"There are {labels}.",
            hint="Say which: --database NAME",
        )
    return found[0] if found else None


def _safety_tag(repo: Repository, start: str, database: str | None) -> Tag | None:
    """Return the only tag of a safety snapshot that begins with *start*, as `log` shortens them;
    None if there is none. Raises AmbiguousRevision."""
    found = [tag for tag in repo.tags.all(database) if tag.name.startswith(start)]
    if len(found) > 1:
        names = ", ".join(tag.name for tag in found[:_CANDIDATES_SHOWN])
        raise AmbiguousRevision(
            f'more than one safety snapshot is named "{start}"',
            detail=f"These begin so: {names}.",
            hint="Give more characters of the tag.",
        )
    return found[0] if found else None


def only_label(repo: Repository, database: str | None) -> str:
    """Return *database*, or the repository's only label. Raises UnknownRevision,
    AmbiguousRevision."""
    if database is not None:
        return database
    labels = repo.databases()
    if len(labels) == 1:
        return labels[0]
    if not labels:
        raise UnknownRevision(
            "the repository holds no snapshots", hint='Make one: snap commit -m "first"'
        )
    raise AmbiguousRevision(
        "the repository holds more than one database",
        detail=f"There are {', '.join(labels[:_CANDIDATES_SHOWN])}.",
        hint="Say which: --database NAME",
    )


def _none_so_old(repo: Repository, text: str, chain: Chain) -> UnknownRevision:
    """Return the error for a time before the first snapshot of *chain*."""
    known = Chains(repo)
    snapshots = known.snapshots(chain)
    first = repo.snapshot(snapshots[-1]).time.astimezone()
    others = [one.name for one in known.of_label(chain.label) if one.name != chain.name]
    also = f" Those of other servers are {', '.join(others)}." if others else ""
    return UnknownRevision(
        f'database "{chain.name}" has no snapshot as old as "{text}"',
        detail=f"Its first is of {first:%Y-%m-%d %H:%M:%S}.{also}",
        hint=f"See what is in it: snap show {snapshots[-1].hex()[:12]}",
    )
