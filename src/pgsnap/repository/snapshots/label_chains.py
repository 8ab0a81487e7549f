"""Chains: the snapshots of a label that are of the same database.

A label is one chain until a commit comes from a server other than that of the label's newest
snapshot. From then on a chain is identified by label and system identifier. The notes of kind
"chain" record what the manifests cannot: that a label is divided, that a server took over from
another one, that no new snapshots are expected, that a label continues under another name.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pgsnap.errors import AmbiguousChain, CorruptionError, UnknownRevision
from pgsnap.format.times import from_micros, to_micros
from pgsnap.model import Note, Snapshot, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.notes import sound_notes
from pgsnap.repository.snapshots.tags import SAFETY_TAGS
from pgsnap.values import dataclass

CHAIN = "chain"
DIVIDED, ADOPTED, RETIRED, RENAMED = "divided", "adopted", "retired", "renamed"

_MICROSECOND = timedelta(microseconds=1)
CLOCK_SLACK = timedelta(minutes=10)
"""Clocks of two machines differ: a snapshot ahead by no more than this is not in the future."""

_NO_SERVER = "unknown"


@dataclass(frozen=True, slots=True)
class Chain:
    """The snapshots of one database.

    *server* is the system identifier that names it: that of its newest snapshot, or of the server
    that took it over; empty if unknown. *servers* are those whose snapshots it has, with "" for
    snapshots of an unknown server; None: it is the only chain of the label.
    """

    label: str
    server: str
    servers: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """The name to display: the label, or ``LABEL@SERVER`` if the label is divided."""
        return self.label if self.servers is None else self.full_name

    @property
    def full_name(self) -> str:
        """``LABEL@SERVER``, as `Chains.named` takes it."""
        return f"{self.label}@{self.server or _NO_SERVER}"


@dataclass(frozen=True, slots=True)
class LatestOf:
    """A chain with its newest snapshot; *ahead*: all of them are dated in the future."""

    chain: Chain
    time: datetime
    ahead: bool


class Chains:
    """The chains of a repository, as of *now*. Raises StoreError."""

    def __init__(self, repo: Repository, now: datetime | None = None) -> None:
        self._repo = repo
        self.until_us = to_micros((now or datetime.now(UTC)) + CLOCK_SLACK)
        self.damaged: list[str] = []
        self._safety: dict[str, set[SnapshotId]] = {}
        self._last: dict[str, datetime] = {}
        self._divided: set[str] = set()
        self._adopted: dict[tuple[str, str], str] = {}
        self._retired: dict[tuple[str, str | None], datetime] = {}
        self._renamed: dict[str, tuple[str, datetime]] = {}
        notes = [
            note
            for _, note in sound_notes(repo.store, CHAIN, naming=repo.naming, damaged=self.damaged)
        ]
        for note in sorted(notes, key=lambda note: note.time):
            self._take(note)

    def _take(self, note: Note) -> None:
        label, act = note.database, note.body.get("act")
        self._last[label] = note.time
        server, into = (str(note.body.get(key) or "") for key in ("server", "into"))
        if act == DIVIDED:
            self._divided.add(label)
            # It is still in use: it was taken over by mistake, or for a while only.
            self._adopted.pop((label, server), None)
        elif act == ADOPTED:
            self._adopted.pop((label, into), None)
            self._adopted[label, server] = into
            # No longer retired: it is now part of a chain that is in use.
            self._retired.pop((label, server), None)
        elif act == RETIRED:
            self._retired[label, server if note.body.get("server") is not None else None] = (
                note.time
            )
        elif act == RENAMED:
            self._retired[label, None] = note.time
            self._renamed[label] = str(note.body.get("to") or ""), note.time

    # -- listing chains ----------------------------------------------------------------------------

    def of_label(self, label: str) -> list[Chain]:
        """Return a label's chains with visible snapshots, the one with the newest first."""
        return [latest.chain for latest in self.latest_of_label(label)]

    def latest_of_label(self, label: str) -> list[LatestOf]:
        """Return the same, with their newest snapshots' times."""
        rows = self._repo.index.servers(label, self.until_us)
        if not rows:
            return []
        if label not in self._divided:
            _, micros, ahead = rows[0]
            known = [server for server, _, _ in rows if server]
            chain = Chain(label, self.goes_by(label, known[0]) if known else "")
            return [LatestOf(chain, from_micros(micros, "the index"), ahead)]
        groups: dict[str, list[tuple[str, int, bool]]] = {}
        for row in rows:
            # Snapshots of an unknown server belong to the newest chain.
            groups.setdefault(self.goes_by(label, row[0]) if row[0] else "", []).append(row)
        nameless = groups.pop("", [])
        if nameless and groups:
            groups[next(iter(groups))] += nameless
        elif nameless:
            groups[""] = nameless
        found = []
        for server, group in groups.items():
            _, micros, ahead = max(group, key=lambda row: (not row[2], row[1]))
            # A single chain has all snapshots, and its name needs no server.
            servers = tuple(one for one, _, _ in group) if len(groups) > 1 else None
            chain = Chain(label, server, servers)
            found.append(LatestOf(chain, from_micros(micros, "the index"), ahead))
        return found

    def goes_by(self, label: str, server: str) -> str:
        """Return the server that took over from *server*, or *server* itself."""
        seen = {server}
        while (after := self._adopted.get((label, server))) is not None and after not in seen:
            seen.add(after)
            server = after
        return server

    def is_divided(self, label: str) -> bool:
        return label in self._divided

    def of_server(self, label: str, server: str) -> Chain | None:
        """Return the chain of *label* that has snapshots of *server*; None if there is none, or the
        server is not known."""
        if not server:
            return None
        for chain in self.of_label(label):
            if chain.servers is not None and chain.server == self.goes_by(label, server):
                return chain
            if chain.servers is None:
                rows = self._repo.index.servers(label, self.until_us)
                mine = {self.goes_by(label, one) for one, _, _ in rows if one}
                return chain if self.goes_by(label, server) in mine else None
        return None

    def of_snapshot(self, snapshot: Snapshot) -> Chain:
        """Return the chain that a snapshot belongs to."""
        label, server = snapshot.database, snapshot.origin.system_identifier
        for chain in self.of_label(label):
            if chain.servers is None or server in chain.servers:
                return chain
        # The snapshot is forgotten, and so are all others of its server.
        return Chain(label, self.goes_by(label, server), (server,))

    def named(self, text: str) -> Chain:
        """Return the chain named ``LABEL@SERVER``; a few digits of the server's identifier are
        enough. Raises UnknownRevision, AmbiguousChain."""
        label, _, server = text.rpartition("@")
        server = "" if server == _NO_SERVER else server
        chains = self.of_label(label)
        found = [one for one in chains if server in (one.server, *(one.servers or ()))]
        if not found and server:
            found = [one for one in chains if one.server.startswith(server)]
        if len(found) == 1:
            return found[0]
        there = ", ".join(one.full_name for one in chains or self._all())
        if found:
            raise AmbiguousChain(
                f'more than one server is meant by "{text}"', detail=f"There are {there}."
            )
        raise UnknownRevision(
            f'there are no snapshots of "{text}"',
            detail=f"There are some of {there}." if there else "",
            hint="Name a label and the system identifier of a server: LABEL@ID.",
        )

    def _all(self) -> list[Chain]:
        return [chain for label in self._repo.databases() for chain in self.of_label(label)]

    # -- a chain's snapshots -----------------------------------------------------------------------

    def snapshots(self, chain: Chain, limit: int | None = None) -> list[SnapshotId]:
        """Return the visible snapshots of a chain, newest first."""
        return self._repo.index.newest(chain.label, limit, servers=chain.servers)

    def newest_first(self, chain: Chain) -> list[SnapshotId]:
        """Return all of them, newest first, but those dated in the future come last."""
        found = self.snapshots(chain)
        past = self._repo.index.newest(chain.label, servers=chain.servers, until_us=self.until_us)
        return [*past, *found[: len(found) - len(past)]]

    def at_or_before(self, chain: Chain, time_us: int) -> SnapshotId | None:
        found = self._repo.index.newest(chain.label, 1, servers=chain.servers, until_us=time_us)
        return found[0] if found else None

    def latest(self, chain: Chain) -> SnapshotId | None:
        """Return the newest snapshot; one dated in the future only if all are."""
        return self.at_or_before(chain, self.until_us) or next(iter(self.snapshots(chain, 1)), None)

    def newest_regular(self, chain: Chain) -> SnapshotId | None:
        """Return the newest snapshot that is not a safety snapshot of a restore or undo; None if
        there is none. Raises CorruptionError if a tag is damaged."""
        if chain.label not in self._safety:
            tags = self._repo.tags.by_snapshot(chain.label)
            self._safety[chain.label] = {
                snapshot
                for snapshot, names in tags.items()
                if any(name.startswith(SAFETY_TAGS) for name in names)
            }
        safety = self._safety[chain.label]
        return next((one for one in self.newest_first(chain) if one not in safety), None)

    def was_committed(self, chain: Chain) -> bool:
        """Return whether a chain has more than the safety snapshots of restores. One with a damaged
        tag counts as having more."""
        try:
            return self.newest_regular(chain) is not None
        except CorruptionError:
            return True

    def is_ahead(self, snapshot: SnapshotId) -> bool:
        """Return whether a snapshot is dated in the future."""
        return to_micros(self._repo.snapshot(snapshot).time) > self.until_us

    def latest_of_all(self, label: str) -> SnapshotId | None:
        """Return the newest snapshot of a label, of any chain, by the rule of `latest`."""
        return self.latest(Chain(label, ""))

    def newest_until(self, label: str, moment: datetime) -> list[SnapshotId]:
        """Return the newest snapshot of a label that is no later than *moment*; an empty list if
        there is none."""
        return self._repo.index.newest(label, 1, until_us=to_micros(moment))

    # -- retired and renamed chains ----------------------------------------------------------------

    def retired_since(self, latest: LatestOf) -> datetime | None:
        """Return since when no new snapshots of a chain are expected; None if they are. The next
        commit revokes this."""
        chain = latest.chain
        servers: list[str | None] = [None, *(chain.servers or ()), chain.server]
        times = [self._retired.get((chain.label, server)) for server in servers]
        since = max((time for time in times if time is not None), default=None)
        is_over = since is not None and not latest.ahead and latest.time > since
        return None if is_over else since

    def renamed_to(self, label: str) -> str | None:
        """Return the name under which the database of *label* continues; None if it kept its own,
        which a snapshot made since then shows."""
        to, since = self._renamed.get(label, ("", None))
        if since is None or any(
            not one.ahead and one.time > since for one in self.latest_of_label(label)
        ):
            return None
        return to

    def former_name(self, label: str) -> str | None:
        """Return the label that continues as *label*, None if there is none."""
        for old, (to, _) in reversed(self._renamed.items()):
            if to == label and old != label and self.renamed_to(old) == label:
                return old
        return None

    # -- commits ------------------------------------------------------------------------------

    def before_commit(self, label: str, server: str) -> tuple[Chain | None, Chain | None]:
        """Return the chain that a new snapshot of *server* continues, None if it begins one, and
        the label's newest chain if that is a different one. If the label is divided from now on, a
        note is written first."""
        chains = self.of_label(label)
        newest = chains[0] if chains else None
        if not server:
            return newest, None
        known = [row for row in self._servers_ever(label) if row[0]]
        if not known:
            return newest, None
        is_other = self.goes_by(label, known[0][0]) != server
        if is_other and (label not in self._divided or (label, server) in self._adopted):
            self.add(DIVIDED, label, server=server)
            newest = next(iter(self.of_label(label)), None)
        own = self.of_server(label, server)
        if label not in self._divided:
            return newest, None
        return own, newest if newest is not None and newest != own else None

    def _servers_ever(self, label: str) -> list[tuple[str, int, bool]]:
        """Like `servers`, including forgotten snapshots: they may be brought back."""
        return self._repo.index.servers(label, self.until_us, also_forgotten=True)

    def add(self, act: str, label: str, **words: str) -> Note:
        """Write a note about a label and apply it from now on. It is durable on return."""
        now = datetime.now(UTC)
        last = self._last.get(label, now)
        # The clock of the last note's writer may be slightly ahead: this note must come after it.
        time = last + _MICROSECOND if now <= last <= now + CLOCK_SLACK else now
        note = Note(CHAIN, label, time, None, {"act": act, **words})
        self._repo.add_note(note)
        self._take(note)
        return note

    def check_notes(self) -> None:
        """Raise CorruptionError if a note cannot be read: what looks like one chain then may be
        two, so nothing may be dropped."""
        if self.damaged:
            raise CorruptionError(
                f'note "{self.damaged[0]}" is damaged',
                detail="It recorded which snapshots of a label belong together.",
                hint="Mend it, or put it aside: snap repair",
            )
