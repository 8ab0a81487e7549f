"""Verify: checks that nothing is missing, and that every byte is what was stored."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain

from pgsnap.errors import CorruptionError, StoreError, StoreFull, UsageError
from pgsnap.maintenance.verify.damage import REINDEX, REPAIR, REPAIR_FROM, Damage, delete_tag
from pgsnap.maintenance.verify.index_faults import mend_snapshot_rows
from pgsnap.maintenance.verify.object_faults import (
    Fault,
    damaged_slots,
    is_any_left,
    kept_manifest,
    lost_while_forgotten,
    manifest_faults,
    note_faults,
    tag_faults,
)
from pgsnap.maintenance.verify.read_history import ReadHistory, ReadState, SampleSize
from pgsnap.maintenance.verify.section_walk import Hits, SectionWalk
from pgsnap.maintenance.verify.withheld import log_damage
from pgsnap.model import Note, PackId, Snapshot, SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository import layout
from pgsnap.repository.chunks.inspection import (
    PackState,
    Row,
    begins_as_pack,
    inspect_packs,
    mend_rows,
    rows_of,
)
from pgsnap.repository.index.snapshots import SnapshotColumns
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots.forgetting import mend_forgotten
from pgsnap.repository.snapshots.losses import accepted_losses
from pgsnap.stores.base import ObjectInfo
from pgsnap.values import dataclass

# Number of frames whose rows in the index are looked up at once.
_FRAMES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was checked, and what is wrong. *notices* are not damage.

    *data*: whether bytes were read; *packs_read* packs of *bytes_read* bytes were read completely,
    out of *packs* of *pack_bytes*. *is_complete* is false if the time was up before everything
    requested was read, *everything_read* is true if every checked snapshot was read completely.
    *state* is what this and earlier runs read.
    """

    data: bool
    is_complete: bool
    everything_read: bool
    snapshots: tuple[SnapshotId, ...]
    sections: int
    packs: int
    pack_bytes: int
    packs_read: int
    bytes_read: int
    state: ReadState
    chunks: int
    findings: tuple[Damage, ...]
    notices: tuple[str, ...]
    seconds: float


def verify(
    repo: Repository,
    *,
    snapshots: Sequence[SnapshotId] = (),
    data: bool = False,
    sample: SampleSize | None = None,
    max_seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    progress: Progress = SILENT,
) -> VerifyReport:
    """Check the repository, and that *snapshots* (none: all) can be read completely.

    With *data* every byte is read: all packs, or with *snapshots* what these need; each snapshot
    gets a verdict. With *sample* only that much is read, the packs read longest ago first, and
    there are no verdicts. After *max_seconds* of *clock* nothing more is read (at least one pack
    is); then there are no verdicts either. Chunks found damaged are stored again by the next commit
    that has them. Raises UsageError.
    """
    started = clock()
    data = data or sample is not None
    _check_choice(snapshots, data, sample, max_seconds)

    def is_over() -> bool:
        return max_seconds is not None and clock() - started >= max_seconds

    with repo.store.many_reads():
        repo.catch_up_packs()
        check = _Verification(repo, is_over=is_over, progress=progress)
        check.objects()
        infos = check.pack_files()
        chosen_packs: Sequence[ObjectInfo] = ()
        if sample is not None:
            chosen_packs = check.history.sample(infos, sample)
        elif data and not snapshots:
            chosen_packs = check.history.longest_ago_first(infos)
        complete = check.packs(infos, chosen_packs)
        check.index()
        chosen = tuple(snapshots) or tuple(reversed(repo.newest(None, also_forgotten=True)))
        walk = check.walk(chosen, data=data and sample is None and complete)
        findings = check.finished(walk)
        complete &= not walk.was_stopped
        everything = data and sample is None and complete
        if everything:
            check.verdicts(chosen, walk)
    return VerifyReport(
        data,
        complete,
        everything,
        chosen,
        walk.sections,
        check.pack_count,
        check.pack_bytes,
        check.packs_read,
        check.bytes_read,
        check.history.state(infos),
        check.chunk_count,
        tuple(findings),
        tuple(check.notices),
        clock() - started,
    )


def _check_choice(
    snapshots: Sequence[SnapshotId],
    data: bool,
    sample: SampleSize | None,
    max_seconds: float | None,
) -> None:
    if snapshots and sample is not None:
        raise UsageError(
            "a sample is of the whole repository, not of single snapshots",
            hint="Leave out the revision, or read all of it: snap verify REV --data",
        )
    if max_seconds is not None and not data:
        raise UsageError(
            "--max-duration bounds the reading, and nothing is to be read",
            hint="Run: snap verify --data --max-duration TIME",
        )
    if max_seconds is not None and max_seconds <= 0:
        raise UsageError(
            "--max-duration leaves no time", hint="Write a time above 0, such as 10min."
        )


class _Verification:
    """Collects the findings of one run."""

    def __init__(
        self, repo: Repository, *, is_over: Callable[[], bool], progress: Progress
    ) -> None:
        self._repo = repo
        self._is_over = is_over
        self._progress = progress
        self.history = ReadHistory(repo.index)
        self._found: list[Damage] = []
        # Snapshots whose manifests in the store are sound.
        self._whole: dict[SnapshotId, SnapshotColumns] = {}
        self._unsound: list[PackState] = []
        self._frames: dict[PackId, int] = {}
        self._indexed = repo.index.packs().keys()
        self.notices: list[str] = []
        self.pack_count = self.pack_bytes = self.chunk_count = 0
        self.packs_read = self.bytes_read = 0

    # -- objects ------------------------------------------------------------------------------

    def objects(self) -> None:
        repo = self._repo
        self._progress.phase("verify objects")
        for fault in manifest_faults(repo, self._whole):
            hit = (fault.snapshot,) if fault.snapshot is not None else ()
            mends = bool(fault.belongs) or any(map(self._can_put_back, hit))
            self._tell("snapshot", fault, hit, REPAIR if mends else fault.remedy)
        self._found += log_damage(repo)
        for fault in note_faults(repo):
            self._tell("note", fault, (), REPAIR if fault.belongs else REPAIR_FROM)
        for fault in tag_faults(repo, self._whole):
            hit = (fault.snapshot,) if fault.snapshot is not None else ()
            _, database, name = fault.name.split("/")
            command = delete_tag(layout.decode_word(database), layout.decode_word(name))
            if fault.belongs:
                command = REPAIR
            self._tell("tag", fault, hit, command)
        for snapshot, _ in lost_while_forgotten(repo):
            self.notices.append(
                f"the manifest of the forgotten snapshot {snapshot.hex()[:12]} is gone, and all "
                f"that it needs is there; put it back with: {REPAIR}"
            )
        aside = sum(1 for _ in repo.store.list(layout.DAMAGED))
        if aside:
            self.notices.append(
                f"{layout.DAMAGED} holds {aside} files that a repair put aside; "
                "delete it when nothing is wanted of them"
            )
        folder = repo.place.path
        if folder is not None and (folder / f"{layout.INDEX_FILE}.damaged").exists():
            self.notices.append(
                f"an index was found damaged, put aside as {layout.INDEX_FILE}.damaged and "
                "rebuilt; that file can be deleted"
            )
        self.notices += damaged_slots(repo)

    def _can_put_back(self, snapshot: SnapshotId) -> bool:
        """Return whether the index has the manifest, and what it lists exists."""
        data = kept_manifest(self._repo, snapshot)
        return data is not None and is_any_left(self._repo, data)

    def _tell(
        self, kind: str, fault: Fault, snapshots: tuple[SnapshotId, ...], command: str
    ) -> None:
        self._found.append(Damage(kind, fault.name, fault.problem, snapshots, (), command))

    # -- packs --------------------------------------------------------------------------------

    def pack_files(self) -> list[ObjectInfo]:
        """Return the files that are packs, or should be."""
        repo = self._repo
        infos = []
        for info in repo.store.list(layout.PACKS):
            if layout.hash_of(info.name) is not None or begins_as_pack(repo.store, info):
                infos.append(info)
            else:
                self.notices.append(f"{info.name} is no pack; it does no harm")
        return infos

    def packs(self, infos: Sequence[ObjectInfo], to_read: Sequence[ObjectInfo]) -> bool:
        """Check every pack, and every byte of those *to_read*, in this order; return whether there
        was enough time for all of them."""
        total = sum(info.object_bytes for info in to_read)
        self._progress.phase("verify packs", total if to_read else None)
        waiting = {info.name: info for info in to_read}
        self._structure([info for info in infos if info.name not in waiting])
        states = inspect_packs(self._repo.store, to_read, self._repo.chunks, data=True)
        # Closed at once, so that no thread goes on reading.
        with contextlib.closing(states):
            for state in states:
                self._count(state)
                self._packs([state], data=True)
                self._remember(state)
                self.packs_read += 1
                self.bytes_read += state.info.object_bytes
                self._progress.advance(state.info.object_bytes, state.info.name)
                del waiting[state.info.name]
                if self._is_over():
                    break
            else:
                # Those left have vanished meanwhile.
                waiting.clear()
        self._structure(list(waiting.values()))
        return not waiting

    def _structure(self, infos: Sequence[ObjectInfo]) -> None:
        some: list[PackState] = []
        frames = 0
        for state in inspect_packs(self._repo.store, infos, self._repo.chunks, data=False):
            self._count(state)
            some.append(state)
            frames += len(state.locations)
            if frames >= _FRAMES_AT_ONCE:
                self._packs(some)
                some, frames = [], 0
        self._packs(some)

    def _packs(self, states: Sequence[PackState], *, data: bool = False) -> None:
        rows = rows_of(self._repo.index, states)
        for state in states:
            self._pack(state, rows, data=data)

    def _count(self, state: PackState) -> None:
        self.pack_count += 1
        self.pack_bytes += state.info.object_bytes
        self.chunk_count += len(state.locations)

    def _pack(self, state: PackState, rows: Mapping[PackId, list[Row]], *, data: bool) -> None:
        index, pack = self._repo.index, state.pack
        if pack is None or state.info.name != layout.pack_name(pack):
            self._unsound.append(state)
            return
        if pack not in self._indexed and not state.problem:
            # Another commit has just written it, and will index it once it is durable.
            return
        if mend_rows(index, state, rows):
            # So that the following checks use the correct rows.
            words = f"Its rows of pack {pack.hex()[:12]} were wrong; they are rebuilt."
            self._index_finding(words)
        if not state.problem:
            self._frames[pack] = len(state.locations)
            if data:
                index.clear_damaged(pack)
            return
        self._unsound.append(state)
        listed = state.locations or index.frames_of(pack)
        bad = set(state.bad)
        for readable in (True, False):
            offsets = [x.offset for x in listed if (x.offset not in bad) is readable]
            index.mark_damaged(pack, offsets, readable=readable)

    def _remember(self, state: PackState) -> None:
        try:
            self.history.remember(state.info, datetime.now(UTC), sound=not state.problem)
        except StoreFull:
            words = "no space left for the index: the next run does not know what this one read"
            if words not in self.notices:
                self.notices.append(words)

    def _index_finding(self, problem: str) -> None:
        self._found.append(Damage("index", layout.INDEX_FILE, problem, (), (), REINDEX))

    # -- index --------------------------------------------------------------------------------

    def index(self) -> None:
        """Compare the rest of the index with the store."""
        index = self._repo.index
        for fault in index.faults():
            self._index_finding(f"SQLite says: {fault}.")
        for pack, count in index.frame_counts().items():
            if self._frames.get(pack, count) != count or not pack:
                self._index_finding(f"It has {count} rows of pack {pack.hex()[:12] or 'nothing'}.")
        for snapshot in mend_snapshot_rows(self._repo, self._whole):
            self._index_finding(
                f"Its row of snapshot {snapshot.hex()[:12]} was wrong; it is rebuilt."
            )
        if mend_forgotten(self._repo.store, index, self._repo.naming):
            self._index_finding("Its rows of forgotten snapshots were wrong; they are rebuilt.")

    # -- snapshots ----------------------------------------------------------------------------

    def walk(self, chosen: Sequence[SnapshotId], *, data: bool) -> SectionWalk:
        """Check that every section of the *chosen* snapshots exists; with *data* read it."""
        self._progress.phase("verify snapshots")
        walk = SectionWalk(self._repo, data=data, is_over=self._is_over, progress=self._progress)
        walk.check_all(self._readable(chosen))
        return walk

    def _readable(self, chosen: Sequence[SnapshotId]) -> Iterator[tuple[SnapshotId, Snapshot]]:
        for snapshot, read in self._repo.snapshots(chosen):
            try:
                yield snapshot, read()
            except (CorruptionError, StoreError) as error:
                # Otherwise it has been reported already: its manifest is damaged.
                if snapshot in self._whole:
                    name, problem = layout.snapshot_name(snapshot), error.detail or error.message
                    found = Damage("snapshot", name, problem, (snapshot,), (), REPAIR_FROM)
                    self._found.append(found)

    def finished(self, walk: SectionWalk) -> list[Damage]:
        """Return all findings, those for packs with what they affect."""
        packs = []
        for state in self._unsound:
            hits = walk.hits.get(state.pack or b"", Hits())
            packs.append(
                Damage(
                    "pack",
                    state.info.name,
                    state.problem,
                    tuple(hits.snapshots),
                    tuple(hits.sections),
                    REPAIR,
                )
            )
        accepted = accepted_losses(self._repo).keys()
        sections = []
        for finding in chain(walk.findings(), walk.mild_findings()):
            if accepted >= set(finding.snapshots):
                words = ", ".join(snapshot.hex()[:12] for snapshot in finding.snapshots)
                self.notices.append(f"what {words} lost of {finding.name} was given up")
            else:
                sections.append(finding)
        return [*self._found, *packs, *sections]

    def verdicts(self, chosen: Sequence[SnapshotId], walk: SectionWalk) -> None:
        """Record a verdict for each snapshot."""
        now = datetime.now(UTC)
        for snapshot in chosen:
            count = walk.damaged_snapshots.get(snapshot, 0)
            body = {"by": "verify", "data": True, "findings": count}
            try:
                database = self._repo.snapshot(snapshot).database
                self._repo.add_note(Note("verdict", database, now, snapshot, body))
            except CorruptionError:
                continue
            except StoreError as error:
                self.notices.append(f"no verdict could be written: {error.message}")
                return
