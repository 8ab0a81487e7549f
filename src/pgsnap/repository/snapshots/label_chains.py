"""Chains: which snapshots of a label belong together, because they are of one database.

A label is one chain until a commit meets another server than that of the label's newest snapshot.
From then on a chain is label and system identifier. The notes of kind "chain" say what the
manifests cannot: that a label is divided, that a server took over from another one, that no new
snapshots are to be waited for, that a label goes on under another name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pgsnap.errors import AmbiguousChain, CorruptionError, UnknownRevision
from pgsnap.format.times import from_micros, to_micros
from pgsnap.model import Note, Snapshot, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.notes import sound_notes
from pgsnap.repository.snapshots.tags import SAFETY_TAGS

CHAIN = "chain"
DIVIDED, ADOPTED, RETIRED, RENAMED = "divided", "adopted", "retired", "renamed"

_MICROSECOND = timedelta(microseconds=1)
CLOCK_SLACK = timedelta(minutes=10)
"""Clocks of two machines differ: a snapshot that is ahead by no more is none of the future."""

_NO_SERVER = "unknown"


@dataclass(frozen=True, slots=True)
class Chain:
    """The snapshots of one database.

    *server* is the system identifier that it goes by: that of its newest snapshot, or of the server
    that took it over; empty where none is known. *servers* are those whose snapshots it has, with
    "" for those of no known server; None: it is the only chain of the label.
    """

    label: str
    server: str
    servers: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """As people name it: the label, where that is divided ``LABEL@SERVER``."""
        return self.label if self.servers is None else self.full_name

    @property
    def full_name(self) -> str:
        """``LABEL@SERVER``, as `Chains.named` takes it."""
        return f"{self.label}@{self.server or _NO_SERVER}"


@dataclass(frozen=True, slots=True)
class LatestOf:
    """A chain with the newest of its snapshots; *ahead*: all of them are dated in the future."""

    chain: Chain
    time: datetime
    ahead: bool


class Chains:
    """The chains of a repository, as they stand at *now*. Raises StoreError."""

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
        notes = [note for _, note in sound_notes(repo.store, CHAIN, damaged=self.damaged)]
        for note in sorted(notes, key=lambda note: note.time):
            self._take(note)

    def _take(self, note: Note) -> None:
        label, act = note.database, note.body.get("act")
        self._last[label] = note.time
        server, into = (str(note.body.get(key) or "") for key in ("server", "into"))
        if act == DIVIDED:
            self._divided.add(label)
            # It lives: whoever took it over did so by mistake, or for a while.
            self._adopted.pop((label, server), None)
        elif act == ADOPTED:
            self._adopted.pop((label, into), None)
            self._adopted[label, server] = into
            # What was not waited for is part of what is.
            self._retired.pop((label, server), None)
        elif act == RETIRED:
            self._retired[label, server if note.body.get("server") is not None else None] = (
                note.time
            )
        elif act == RENAMED:
            self._retired[label, None] = note.time
            self._renamed[label] = str(note.body.get("to") or ""), note.time

    # -- which there are ----------------------------------------------------------------------

    def of_label(self, label: str) -> list[Chain]:
        """Return the chains of a label that have visible snapshots, that of the newest first."""
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
            # What is of no known server belongs to the newest chain.
            groups.setdefault(self.goes_by(label, row[0]) if row[0] else "", []).append(row)
        nameless = groups.pop("", [])
        if nameless and groups:
            groups[next(iter(groups))] += nameless
        elif nameless:
            groups[""] = nameless
        found = []
        for server, group in groups.items():
            _, micros, ahead = max(group, key=lambda row: (not row[2], row[1]))
            # Of one that is alone all are its own, and its name needs no server.
            servers = tuple(one for one, _, _ in group) if len(groups) > 1 else None
            chain = Chain(label, server, servers)
            found.append(LatestOf(chain, from_micros(micros, "the index"), ahead))
        return found

    def goes_by(self, label: str, server: str) -> str:
        """Return the server that took over from *server*, or that itself."""
        seen = {server}
        while (after := self._adopted.get((label, server))) is not None and after not in seen:
            seen.add(after)
            server = after
        return server

    def is_divided(self, label: str) -> bool:
        return label in self._divided

    def of_server(self, label: str, server: str) -> Chain | None:
        """Return the chain of *label* that has snapshots of *server*; None where none has, or the
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
        # It is forgotten, and so are all others of its server.
        return Chain(label, self.goes_by(label, server), (server,))

    def named(self, text: str) -> Chain:
        """Return the chain that ``LABEL@SERVER`` means; a few digits of the server's identifier are
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

    # -- what is in one -----------------------------------------------------------------------

    def snapshots(self, chain: Chain, limit: int | None = None) -> list[SnapshotId]:
        """Return the visible snapshots of a chain, newest first."""
        return self._repo.index.newest(chain.label, limit, servers=chain.servers)

    def newest_first(self, chain: Chain) -> list[SnapshotId]:
        """Return all of them, yet behind all others those that are dated in the future."""
        found = self.snapshots(chain)
        past = self._repo.index.newest(chain.label, servers=chain.servers, until_us=self.until_us)
        return [*past, *found[: len(found) - len(past)]]

    def at_or_before(self, chain: Chain, time_us: int) -> SnapshotId | None:
        found = self._repo.index.newest(chain.label, 1, servers=chain.servers, until_us=time_us)
        return found[0] if found else None

    def latest(self, chain: Chain) -> SnapshotId | None:
        """Return the newest snapshot; one that is dated in the future only where all are."""
        return self.at_or_before(chain, self.until_us) or next(iter(self.snapshots(chain, 1)), None)

    def newest_regular(self, chain: Chain) -> SnapshotId | None:
        """Return the newest snapshot that no restore or undo took of what it was about to replace;
        None where there is none. Raises CorruptionError where a tag is damaged."""
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
        """Tell whether a chain is more than what restores took of what they replaced. One of which
        a tag is damaged counts as more."""
        try:
            return self.newest_regular(chain) is not None
        except CorruptionError:
            return True

    def is_ahead(self, snapshot: SnapshotId) -> bool:
        """Tell whether a snapshot is dated in the future."""
        return to_micros(self._repo.snapshot(snapshot).time) > self.until_us

    def latest_of_all(self, label: str) -> SnapshotId | None:
        """Return the newest snapshot of a label, whichever its chain, as `latest` does."""
        return self.latest(Chain(label, ""))

    def newest_until(self, label: str, moment: datetime) -> list[SnapshotId]:
        """Return the newest snapshot of a label that is no later than *moment*, none where there
        is none."""
        return self._repo.index.newest(label, 1, until_us=to_micros(moment))

    # -- what is not waited for ---------------------------------------------------------------

    def retired_since(self, latest: LatestOf) -> datetime | None:
        """Return since when no new snapshots of a chain are waited for; None where they are. The
        next commit takes it back."""
        chain = latest.chain
        servers: list[str | None] = [None, *(chain.servers or ()), chain.server]
        times = [self._retired.get((chain.label, server)) for server in servers]
        since = max((time for time in times if time is not None), default=None)
        is_over = since is not None and not latest.ahead and latest.time > since
        return None if is_over else since

    def renamed_to(self, label: str) -> str | None:
        """Return the name under which the database of *label* goes on, None where it goes on under
        its own: a snapshot that was made since then shows that."""
        to, since = self._renamed.get(label, ("", None))
        if since is None or any(
            not one.ahead and one.time > since for one in self.latest_of_label(label)
        ):
            return None
        return to

    def former_name(self, label: str) -> str | None:
        """Return the label that goes on as *label*, None where there is none."""
        for old, (to, _) in reversed(self._renamed.items()):
            if to == label and old != label and self.renamed_to(old) == label:
                return old
        return None

    # -- commits ------------------------------------------------------------------------------

    def before_commit(self, label: str, server: str) -> tuple[Chain | None, Chain | None]:
        """Return the chain that a new snapshot of *server* will go on, None where it begins one,
        and the label's newest chain where that is another one. Notes first that the label is
        divided from now on, where it is."""
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
        """Also of snapshots that are forgotten: they may be brought back."""
        return self._repo.index.servers(label, self.until_us, also_forgotten=True)

    def add(self, act: str, label: str, **words: str) -> Note:
        """Write a note about a label, and let it hold from now on. It is durable on return."""
        now = datetime.now(UTC)
        last = self._last.get(label, now)
        # The clock of whoever wrote the last one may be a little ahead: this one comes after it.
        time = last + _MICROSECOND if now <= last <= now + CLOCK_SLACK else now
        note = Note(CHAIN, label, time, None, {"act": act, **words})
        self._repo.add_note(note)
        self._take(note)
        return note

    def check_notes(self) -> None:
        """Raise CorruptionError where a note cannot be read: what is one chain then may be two, so
        nothing must be dropped."""
        if self.damaged:
            raise CorruptionError(
                f'note "{self.damaged[0]}" is damaged',
                detail="It told which snapshots of a label belong together.",
                hint="Mend it, or put it aside: snap repair",
            )
