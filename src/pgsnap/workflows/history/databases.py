"""The databases in a repository: lists their chains, and manages those whose server or name
changed. Snapshots are never modified: only notes are written."""

from __future__ import annotations

from datetime import datetime

from pgsnap.errors import UnknownRevision, UsageError
from pgsnap.model import Snapshot, SnapshotId
from pgsnap.repository import layout
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import ADOPTED, RENAMED, RETIRED, Chain, Chains
from pgsnap.values import dataclass


@dataclass(frozen=True, slots=True)
class DatabaseEntry:
    """A chain, with its newest snapshot. *retired* is since when no new ones are expected;
    *renamed_to* the label under which the database continues."""

    chain: Chain
    count: int
    newest: SnapshotId
    snapshot: Snapshot
    retired: datetime | None
    renamed_to: str | None


def list_databases(repo: Repository, label: str | None, now: datetime) -> list[DatabaseEntry]:
    """Return the chains of one label, or of all; per label, the one with the newest snapshot
    first."""
    chains = Chains(repo, now)
    found = []
    for name in repo.databases() if label is None else [label]:
        for one in chains.latest_of_label(name):
            newest = chains.latest(one.chain)
            if newest is not None:
                found.append(
                    DatabaseEntry(
                        one.chain,
                        len(chains.snapshots(one.chain)),
                        newest,
                        repo.snapshot(newest),
                        chains.retired_since(one),
                        chains.renamed_to(name),
                    )
                )
    return found


def adopt(repo: Repository, name: str, server: str) -> Chain:
    """Let the chain *name* (LABEL, or LABEL@ID) continue as that of *server*: its original server
    no longer exists. Returns the chain as it was. Raises UnknownRevision, UsageError."""
    chains = Chains(repo)
    if not server:
        raise UsageError(
            "the server does not say which one it is",
            hint="Let the role call pg_control_system(), or connect as another one.",
        )
    others = [one for one in _meant(chains, name) if one.server and one.server != server]
    if len(others) > 1:
        there = ", ".join(one.full_name for one in others)
        raise UsageError(
            f'"{name}" has snapshots of {len(others)} other servers',
            detail=f"There are {there}.",
            hint=f"Say which one goes on here: snap database adopt {others[0].full_name}",
        )
    if not others:
        raise UsageError(
            f'"{name}" has no snapshots of another server',
            detail=f"The server that is connected to has the system identifier {server}.",
            hint="See what there is: snap database list",
        )
    chains.add(ADOPTED, others[0].label, server=others[0].server, into=server)
    return others[0]


def retire(repo: Repository, name: str) -> tuple[str, str | None]:
    """Stop expecting new snapshots of *name* (LABEL, or LABEL@ID for one of its servers). Returns
    the label, and the server if only that one is meant. Raises UnknownRevision."""
    chains = Chains(repo)
    found = _meant(chains, name)
    label = found[0].label
    if label == name:
        chains.add(RETIRED, label)
        return label, None
    chains.add(RETIRED, label, server=found[0].server)
    return label, found[0].server


def rename(repo: Repository, old: str, new: str) -> None:
    """Let the database with the label *old* continue as *new*. Raises UnknownRevision,
    UsageError."""
    chains = Chains(repo)
    if not chains.of_label(old):
        raise _unknown(repo, old)
    layout.check_label(new)
    if old == new:
        raise UsageError(f'"{old}" is its name already')
    chains.add(RENAMED, old, to=new)


def _meant(chains: Chains, name: str) -> list[Chain]:
    """Return the chains of the label *name*, else the one that ``LABEL@ID`` names."""
    return chains.of_label(name) or [chains.named(name)]


def _unknown(repo: Repository, label: str) -> UnknownRevision:
    there = ", ".join(repo.databases())
    return UnknownRevision(
        f'there are no snapshots of "{label}"',
        detail=f"There are some of {there}." if there else "",
    )
