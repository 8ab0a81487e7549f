"""The state of each database's snapshots: which chains count, how old they are, whether proven."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pgsnap.errors import CorruptionError
from pgsnap.model import Finding, Note, SnapshotId, Verdict
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.label_chains import Chain, Chains
from pgsnap.values import dataclass
from pgsnap.workflows.notes.verdicts import (
    SERVER_KEY,
    as_drilled,
    chronological,
    is_of_the_future,
)
from pgsnap.workflows.retention.policy import RETIRE_AFTER, out_of_use
from pgsnap.workflows.watch.ages import span


@dataclass(frozen=True, slots=True)
class LabelState:
    """The state of one chain's snapshots. *newest* skips safety snapshots and those dated in the
    future; *drill_passed* is the result of the last drill; *name* is the chain's display name;
    *servers* are the system identifiers of all servers that its snapshots were taken from."""

    database: str
    newest: SnapshotId | None = None
    time: datetime | None = None
    verified: datetime | None = None
    drilled: datetime | None = None
    drill_passed: bool | None = None
    server: str = ""
    name: str = ""
    drill_reason: str = ""
    servers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Counted:
    """The state of each chain of a label that should get new snapshots; if there is none, that it
    has no snapshot. *ahead* has a finding for each chain whose newest snapshot is dated in the
    future. *retired*: it has snapshots, but no new ones are expected. *is_foreign*: all are of
    servers other than the connected one."""

    chains: tuple[Chain, ...]
    retired: bool = False
    is_foreign: bool = False
    states: tuple[LabelState, ...] = ()
    ahead: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Labels:
    """The data from which the states of labels are computed. *verdicts* are all notes of drills and
    others; *expected* are the existing databases. If *server* is known and has snapshots under a
    label, only its own chain counts, else all that are in use."""

    repo: Repository
    chains: Chains
    now: datetime
    verdicts: Sequence[Note]
    expected: Collection[str] = ()
    server: str = ""
    retire_after: timedelta = RETIRE_AFTER

    def counted(self, label: str) -> Counted:
        """Return the state of those chains of *label* that count. Raises StoreError."""
        found = self._waited_for(label)
        if found.retired:
            return found
        ahead = tuple(one for chain in found.chains for one in self._ahead(chain))
        return replace(found, states=self.states(label, found.chains), ahead=ahead)

    def states(self, label: str, chains: Sequence[Chain]) -> tuple[LabelState, ...]:
        """Return the state of *chains* of *label*; if there is none, that it has no snapshot."""
        if not chains:
            return (LabelState(label, name=label),)
        return tuple(self._state(label, chain) for chain in chains)

    def _waited_for(self, label: str) -> Counted:
        chains = self.chains
        there = chains.latest_of_label(label)
        if not there and (former := chains.former_name(label)) is not None:
            # Snapshots under the old name count until they are too old.
            own = chains.of_server(former, self.server)
            return Counted(tuple(chains.of_label(former)) if own is None else (own,))
        if label in self.expected and chains.renamed_to(label) is not None:
            # The name belongs to another database now: none of these are of it.
            return Counted(())
        waited = [one for one in there if chains.retired_since(one) is None]
        idle = out_of_use(there, self.now, self.retire_after)
        active = tuple(one.chain for one in waited if one.chain not in idle)
        own = chains.of_server(label, self.server)
        if len(active) > 1:
            # A safety snapshot from a restore on a new server is not yet a backup of that server.
            active = tuple(filter(chains.was_committed, active)) or active
            own = own if own in active else None
        if own in active:
            active = (own,)
        is_foreign = bool(self.server and active) and own is None
        is_foreign = is_foreign and any(one.server for one in active)
        return Counted(active, retired=bool(there) and not active, is_foreign=is_foreign)

    def _ahead(self, chain: Chain) -> Iterator[Finding]:
        for snapshot in self.chains.snapshots(chain, 1):
            if self.chains.is_ahead(snapshot):
                ahead = span(self.repo.snapshot(snapshot).time - self.now)
                text = f"a snapshot of {chain.name} is dated {ahead} ahead"
                way = f"snap forget {snapshot.hex()[:12]}"
                yield Finding("clock", Verdict.WARNED, text, way, database=chain.label)

    def _state(self, label: str, chain: Chain) -> LabelState:
        newest = None
        # A damaged tag is reported elsewhere: then safety snapshots count too.
        with contextlib.suppress(CorruptionError):
            newest = self.chains.latest(chain)
            newest = self.chains.newest_regular(chain)
        if newest is not None and self.chains.is_ahead(newest):
            newest = None
        of_chain = [
            note
            for note in chronological(self.verdicts, self.now)
            # How old one of a wrong clock is nobody knows.
            if note.database == chain.label and not is_of_the_future(note.time, self.now)
        ]
        servers = self.repo.servers_of(chain.label)
        if chain.servers is not None:
            # A note may name the server of a snapshot that was dropped; a note without one counts
            # for all.
            mine = {*chain.servers, None}
            of_chain = [
                note
                for note in of_chain
                if servers.get(note.snapshot or b"", note.body.get(SERVER_KEY)) in mine
            ]
        sound = [note.time for note in of_chain if _passed(note)]
        drills = [note for note in of_chain if note.body.get("by") == "drill"]
        return LabelState(
            label,
            newest,
            self.repo.snapshot(newest).time if newest is not None else None,
            sound[-1] if sound else None,
            drills[-1].time if drills else None,
            drills[-1].body.get("passed") is True if drills else None,
            chain.server,
            chain.name,
            as_drilled(drills[-1]).reason if drills else "",
            frozenset(servers.values() if chain.servers is None else chain.servers),
        )


def _passed(note: Note) -> bool:
    if note.body.get("by") == "drill":
        return note.body.get("passed") is True
    return note.body.get("findings") == 0 and note.body.get("data") is True
