"""The snapshot since which a commit reads only what changed, or why it reads everything."""

from __future__ import annotations

import sys
from array import array
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from pgsnap.errors import SnapError
from pgsnap.format.baseline import decode_baseline
from pgsnap.format.times import to_micros
from pgsnap.limits import CHANGES_TABLES_MAX, PROBES
from pgsnap.model import Origin, ReadMode, Section, Snapshot
from pgsnap.repository.chunks.stream import read_head
from pgsnap.repository.repository import Repository
from pgsnap.repository.sections.side_streams import read_baseline, read_block_map
from pgsnap.repository.snapshots.label_chains import Chains
from pgsnap.sources.former import Former
from pgsnap.values import dataclass
from pgsnap.workflows.notes.baselines import Use, newest_baseline
from pgsnap.workflows.notes.missed_changes import missed_changes

# How many snapshots are looked at for the last one that was read in full.
_LOOKED_AT_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Policy:
    """Whether a commit may read only changes: *is_full* reads everything and compares, and so does
    the first commit *full_every* after the last one that did; *acknowledges* that changes went
    unnoticed before."""

    is_full: bool = False
    full_every: timedelta | None = None
    acknowledges: bool = False


class Formers:
    """Chooses the former snapshot for a commit to *label* at *moment*. *why_not* is then why there
    is none."""

    def __init__(self, repo: Repository, label: str, moment: datetime, policy: Policy) -> None:
        self._repo = repo
        self._label = label
        self.moment = moment
        self._policy = policy
        self.why_not = ""
        self.is_full = policy.is_full
        self.found = False

    def of(self, origin: Origin) -> Former | None:
        """Return the former snapshot of the database that *origin* describes. Never raises for one
        that cannot be read: a commit can do without."""
        try:
            found = self._find(origin)
        except SnapError as error:
            self.why_not = f"the last snapshot cannot be compared with: {error.message}"
            return None
        self.found = found is not None
        return found

    def _find(self, origin: Origin) -> Former | None:
        repo, server = self._repo, origin.system_identifier
        if not server:
            self.why_not = "the server does not identify itself"
            return None
        if (missed := missed_changes(repo, self._label, server)) is not None:
            if not self._policy.acknowledges:
                self.why_not = (
                    f"changes of {', '.join(missed.sections[:3]) or 'the database'} went unnoticed"
                    f" before, on {missed.time:%Y-%m-%d}"
                )
            return None
        snapshot = self._newest(server)
        # A database that was restored since equals another snapshot than the last one.
        restored = newest_baseline(repo, self._label, Use.LIVE, server)
        if restored is not None and (snapshot is None or snapshot.time < restored.time):
            snapshot = repo.snapshot(restored.snapshot)
        else:
            restored = None
        if snapshot is None:
            return None
        if snapshot.table_count > CHANGES_TABLES_MAX:
            self.why_not = f"it has more than {CHANGES_TABLES_MAX} tables"
            return None
        # What is lost since would be lost to each later snapshot that takes it over.
        repo.catch_up_packs()
        data = read_baseline(repo.chunks, snapshot) if restored is None else b""
        if data is None:
            self.why_not = "nothing is recorded about the server at the time of the last snapshot"
            return None
        if restored is None:
            known = decode_baseline(data)
        else:
            # What pg_dump writes of the restored definitions may be worded otherwise.
            known = replace(restored.baseline, fingerprint=None)
        self.is_full = self.is_full or self._is_due(snapshot)
        if restored is not None and self.is_full:
            # That a restored table is written in the same words was never seen: nothing to claim.
            return None
        sections = [replace(section, baseline=None) for section in repo.sections(snapshot)]
        if restored is not None:
            # A restore puts rows into other blocks.
            sections = [replace(section, block_map=None) for section in sections]
        return Former(
            baseline=known,
            time=restored.time if restored is not None else snapshot.time,
            sections={section.name: section for section in sections},
            origin=snapshot.origin,
            volatile=snapshot.volatile,
            head=partial(_head, repo),
            claims=self.is_full,
            probes=PROBES,
            lost=repo.lost_sections(sections),
            largest_block=partial(_largest_block, repo),
        )

    def _newest(self, server: str) -> Snapshot | None:
        chains = Chains(self._repo)
        chain = chains.of_server(self._label, server)
        if chain is None:
            return None
        found = chains.at_or_before(chain, to_micros(self.moment) - 1)
        return self._repo.snapshot(found) if found is not None else None

    def _is_due(self, snapshot: Snapshot) -> bool:
        """Return whether it is time to read everything again."""
        every, newest = self._policy.full_every, snapshot
        if every is None:
            return False
        for _ in range(_LOOKED_AT_MAX):
            if self.moment - newest.time >= every:
                return True
            reading = newest.reading
            if reading is None or reading.mode is not ReadMode.CHANGED or newest.parent is None:
                return False
            newest = self._repo.snapshot(newest.parent)
        return True


def _head(repo: Repository, section: Section) -> bytes | None:
    with suppress(SnapError):
        return read_head(repo.chunks, section)
    return None


def _largest_block(repo: Repository, section: Section) -> int:
    """Return the bytes of the longest text of a block; 0 if that is not known."""
    block_map = read_block_map(repo.chunks, section)
    if block_map is None:
        return 0
    counts = array("I", block_map.byte_counts)
    if sys.byteorder == "big":
        counts.byteswap()
    return max(counts, default=0)
