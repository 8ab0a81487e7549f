"""Walking snapshots' sections: checks that every chunk exists, sizes add up, and digests agree.

Memory is bounded: what was found whole is remembered up to a limit, and checked again beyond.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field

from blake3 import blake3

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.format.sections import decode_piece, decode_roots
from pgsnap.limits import MIB
from pgsnap.maintenance.verify.damage import REPAIR, REPAIR_FROM, Damage
from pgsnap.maintenance.verify.section_totals import (
    KnownSection,
    SectionKey,
    digests_of,
    wrong_totals,
)
from pgsnap.model import (
    ChunkId,
    PackId,
    RecipeEntry,
    RecipeRoot,
    Section,
    Snapshot,
    SnapshotId,
)
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.chunks.readable import ReadableChunks
from pgsnap.repository.chunks.recipes import RecipeWalk, walk
from pgsnap.repository.repository import Repository
from pgsnap.repository.sections.text_check import TextCheck
from pgsnap.values import dataclass

# Some 100 bytes each: 50 MB.
_REMEMBERED_MAX = 500_000
_KNOWN_MAX = 4_000
_SNAPSHOTS_AT_ONCE = 256
_LISTS_BYTES_AT_ONCE = 2 * MIB
_OTHER_SIZE = "Its recipe gives a chunk another size than its pack does."
_OTHER_TEXT = "Its chunks are sound, but together they are another text."
LIST_OF_SECTIONS = "(list of sections)"


@dataclass(slots=True)
class _Found:
    """What is wrong with a section. *packs* are unsound packs that hold frames of it."""

    lost: set[ChunkId] = field(default_factory=set)
    packs: set[PackId] = field(default_factory=set)
    problem: str = ""
    snapshots: list[SnapshotId] = field(default_factory=list)

    @property
    def is_damaged(self) -> bool:
        return bool(self.lost or self.problem)


@dataclass(slots=True)
class Hits:
    """The snapshots and sections affected by an unsound pack."""

    snapshots: dict[SnapshotId, None] = field(default_factory=dict)
    sections: dict[str, None] = field(default_factory=dict)


class SectionWalk(RecipeWalk):
    """Checks snapshots one after another; what they share is checked once.

    With *data* their bytes are read, until *is_over* returns true; then *was_stopped* is set.
    """

    def __init__(
        self,
        repo: Repository,
        *,
        data: bool = False,
        is_over: Callable[[], bool] = lambda: False,
        progress: Progress = SILENT,
    ) -> None:
        super().__init__(repo.chunks.read)
        self._repo = repo
        self._data = data
        self._is_over = is_over
        self.was_stopped = False
        self._progress = progress
        self._readable = ReadableChunks(repo.index)
        # What is wrong with the current recipes.
        self._at = _Found()
        self._sound: set[ChunkId] = set()
        self._same: set[bytes] = set()
        # Lists of sections that were read in advance.
        self._pieces: dict[ChunkId, bytes] = {}
        # Chunks of single-chunk lists among them that have the sizes they are listed with.
        self._sized: set[tuple[ChunkId, int]] = set()
        # Sections by id(): each is held, so that its id is not reused.
        self._same_objects: dict[int, KnownSection] = {}
        self._found: dict[SectionKey, _Found] = {}
        self._found_sides: dict[SectionKey, _Found] = {}
        self.hits: dict[PackId, Hits] = {}
        self.sections = 0
        self.damaged_snapshots: dict[SnapshotId, int] = {}

    def check_all(self, snapshots: Iterable[tuple[SnapshotId, Snapshot]]) -> None:
        """Check *snapshots* one after another. For many small ones, the lists' chunks are looked up
        at once."""
        some: list[tuple[SnapshotId, Snapshot]] = []
        size = 0
        for one in snapshots:
            some.append(one)
            size += one[1].sections_recipe.plain_bytes
            if len(some) >= _SNAPSHOTS_AT_ONCE or size >= _LISTS_BYTES_AT_ONCE:
                self._check_all(some)
                some, size = [], 0
        self._check_all(some)

    def _check_all(self, snapshots: Sequence[tuple[SnapshotId, Snapshot]]) -> None:
        self._look_ahead([snapshot.sections_recipe for _, snapshot in snapshots])
        for snapshot_id, snapshot in snapshots:
            self.check(snapshot_id, snapshot)
        self._pieces.clear()
        self._sized.clear()

    def _look_ahead(self, lists: Sequence[RecipeRoot]) -> None:
        """Read lists of sections in advance, and find out which of them and of their sections are
        sound. The others are left to `check`."""
        pieces = {root.chunk: root.plain_bytes for root in lists if root.level == 0}
        wanted = [(chunk, chunk, size) for chunk, size in pieces.items() if chunk is not None]
        single = {(chunk, size) for chunk, _, size in wanted}
        with contextlib.suppress(CorruptionError, ObjectNotFound):
            for chunk, data in self._repo.chunks.read_ahead(wanted):
                self._pieces[chunk] = data
                for root in decode_roots(data):
                    if root.chunk is not None and root.level == 0:
                        single.add((root.chunk, root.plain_bytes))
        chunks = {chunk for chunk, _ in single}
        sizes = self._repo.index.chunk_sizes(list(chunks))
        self._sized = {one for one in single if one[1] in sizes.get(one[0], ())}
        for chunk in self._readable.known(chunks - self._sound):
            self._remember(self._sound, chunk)

    def _sections(self, snapshot: Snapshot) -> Iterator[Section]:
        root = snapshot.sections_recipe
        data = self._pieces.get(root.chunk or b"") if root.level == 0 else None
        return decode_piece(data) if data is not None else self._repo.sections(snapshot)

    def check(self, snapshot_id: SnapshotId, snapshot: Snapshot) -> None:
        """Check one snapshot; faults are kept for `findings`."""
        listed = self._look_through([snapshot.sections_recipe])
        sections: list[Section] = []
        try:
            sections = list(self._sections(snapshot))
        except CorruptionError:
            listed.problem = "It cannot be read, so none of the snapshot's tables can be."
        else:
            listed.problem = listed.problem or wrong_totals(snapshot, map(self._known, sections))
        self._note(snapshot_id, (LIST_OF_SECTIONS, (), snapshot_id), listed)
        to_read = []
        for one in map(self._known, sections):
            if not one.is_whole:
                found = self._found.get(one.key) or self._section(one.section)
                self._note(snapshot_id, one.key, found)
                if found.is_damaged:
                    continue
                one.is_whole = not found.packs
            self._check_sides(snapshot_id, one)
            to_read.append(one.section)
        self.sections += len(sections)
        if self._data:
            self._read(snapshot_id, to_read)

    def _check_sides(self, snapshot_id: SnapshotId, one: KnownSection) -> None:
        """Check that the chunks of a section's side streams exist."""
        roots = one.section.side_streams
        if not roots or one.has_whole_sides:
            return
        key = one.key[0], tuple(roots), b""
        found = self._found_sides.get(key) or self._look_through(roots)
        one.has_whole_sides = not found.is_damaged and not found.packs
        self._note(snapshot_id, key, found, is_side=True)

    def _known(self, section: Section) -> KnownSection:
        """Return what is known about a section. Sections shared with the previous snapshot are the
        same objects."""
        found = self._same_objects.get(id(section))
        if found is None:
            found = KnownSection.of(section)
            if len(self._same_objects) >= _KNOWN_MAX:
                self._same_objects.clear()
            self._same_objects[id(section)] = found
        return found

    def findings(self) -> Iterator[Damage]:
        """Yield a finding for each section that cannot be read completely."""
        for (name, _, _), found in self._found.items():
            if found.is_damaged:
                problem = found.problem or f"{len(found.lost)} of its chunks are in no sound pack."
                # What an existing pack still holds may be saved without another copy.
                command = REPAIR if found.packs else REPAIR_FROM
                yield Damage("section", name, problem, tuple(found.snapshots), (name,), command)

    def mild_findings(self) -> Iterator[Damage]:
        """Yield a finding for each section whose side streams cannot be read completely: no
        restore needs them."""
        for (name, _, _), found in self._found_sides.items():
            if found.is_damaged:
                problem = (
                    found.problem or f"{len(found.lost)} chunks beside it are in no sound pack."
                )
                command = REPAIR if found.packs else REPAIR_FROM
                yield Damage(
                    "side-stream",
                    name,
                    f"{problem} The dump itself is whole; the next commit reads everything again.",
                    tuple(found.snapshots),
                    (name,),
                    command,
                )

    def _note(
        self, snapshot: SnapshotId, key: SectionKey, found: _Found, *, is_side: bool = False
    ) -> None:
        if not found.is_damaged and not found.packs:
            return
        # A section that was found whole may turn out not to be when its bytes are read.
        self._same_objects.clear()
        found = (self._found_sides if is_side else self._found).setdefault(key, found)
        found.snapshots.append(snapshot)
        for pack in found.packs:
            hits = self.hits.setdefault(pack, Hits())
            hits.snapshots[snapshot] = None
            hits.sections[key[0]] = None
        if found.is_damaged and not is_side:
            self.damaged_snapshots[snapshot] = self.damaged_snapshots.get(snapshot, 0) + 1

    # -- chunks -------------------------------------------------------------------------------

    def _section(self, section: Section) -> _Found:
        roots = section.recipes
        found = self._look_through(roots)
        if sum(root.plain_bytes for root in roots) != section.plain_bytes:
            found.problem = "The sizes of its segments do not add up."
        elif sum(root.lines for root in roots) != section.lines:
            found.problem = "The lines of its segments do not add up."
        return found

    def _look_through(self, roots: Iterable[RecipeRoot]) -> _Found:
        self._at = _Found()
        self.go_through(root for root in roots if not self._is_sound(root))
        return self._at

    def _is_sound(self, root: RecipeRoot) -> bool:
        """Return whether *root* is a single chunk that is known to be as its list says."""
        chunk = root.chunk
        return chunk in self._sound and (chunk, root.plain_bytes) in self._sized and not root.level

    def look(self, entries: Sequence[RecipeEntry], level: int) -> bool:
        sound = self._are_sound([entry.chunk for entry in entries], self._at)
        return (level > 0 or self._have_sizes(entries, self._at)) and sound

    def unread(self, entry: RecipeEntry, error: CorruptionError) -> None:
        self._at.lost.add(entry.chunk)

    def wrong(self, why: str) -> None:
        self._at.problem = why

    def _have_sizes(self, entries: Sequence[RecipeEntry], found: _Found) -> bool:
        """Return whether chunks have the sizes that a recipe gives them."""
        doubtful = [one for one in entries if (one.chunk, one.plain_bytes) not in self._sized]
        if not doubtful:
            return True
        sizes = self._repo.index.chunk_sizes(list({entry.chunk for entry in doubtful}))
        for entry in doubtful:
            of_packs = sizes.get(entry.chunk)
            if of_packs is not None and entry.plain_bytes not in of_packs:
                found.problem = _OTHER_SIZE
                return False
        return True

    def _are_sound(self, chunks: Sequence[ChunkId], found: _Found) -> bool:
        unseen = set(chunks) - self._sound
        if not unseen:
            return True
        doubtful = unseen - self._readable.known(unseen)
        if len(unseen) == 1 and not doubtful:
            self._remember(self._sound, chunks[0])
        if not doubtful:
            return True
        found.lost |= doubtful - self._repo.index.present(list(doubtful))
        for several in self._repo.index.locations(list(doubtful)).values():
            found.packs.update(location.pack for location in several)
        return False

    @staticmethod
    def _remember(where: set[bytes], what: bytes) -> None:
        if len(where) < _REMEMBERED_MAX:
            where.add(what)

    # -- bytes --------------------------------------------------------------------------------

    def _read(self, snapshot: SnapshotId, sections: Sequence[Section]) -> None:
        """Check the digest of every section that was not read before."""
        waiting = [s for s in sections if _fingerprint(s) not in self._same]
        while waiting and not self.was_stopped:
            done = 0
            try:
                for section, is_right in self._compared(waiting):
                    done += 1
                    if is_right:
                        self._remember(self._same, _fingerprint(section))
                    else:
                        self._note(
                            snapshot, KnownSection.of(section).key, _Found(problem=_OTHER_TEXT)
                        )
            except (CorruptionError, ObjectNotFound):
                # Chunks are read in batches, so it may be this section or one soon after it.
                found = self._read_alone(waiting[done])
                self._note(snapshot, KnownSection.of(waiting[done]).key, found)
                done += 1
            waiting = waiting[done:]

    def _compared(self, sections: Sequence[Section]) -> Iterator[tuple[Section, bool]]:
        def wanted() -> Iterator[tuple[Section | None, ChunkId | None, int]]:
            for section in sections:
                for recipe in section.recipes:
                    for entry in walk(recipe, self._repo.chunks.read):
                        yield None, entry.chunk, entry.plain_bytes
                yield section, None, 0

        checks = (TextCheck(section, both=True) for section in sections)
        check = next(checks)
        for end, data in self._repo.chunks.read_ahead(wanted(), exact=True):
            if self._is_over():
                self.was_stopped = True
                return
            if data:
                check.update(data)
                self._progress.advance(len(data))
            if end is not None:
                yield end, check.is_right()
                check = next(checks, check)

    def _read_alone(self, section: Section) -> _Found:
        """Find the frames of a section that cannot be read, and mark them as damaged for
        commits."""
        found = _Found()
        index, read = self._repo.index, self._repo.chunks.read
        check = TextCheck(section, both=True)
        try:
            for recipe in section.recipes:
                for entry in walk(recipe, read):
                    try:
                        check.update(read(entry.chunk))
                    except CorruptionError:
                        found.lost.add(entry.chunk)
                        for location in index.locations([entry.chunk]).get(entry.chunk, []):
                            index.mark_damaged(location.pack, [location.offset], readable=False)
                            self._readable.forget()
                            found.packs.add(location.pack)
        except CorruptionError as error:
            found.problem = error.detail or f"{error.message}."
        if not found.is_damaged and not check.is_right():
            found.problem = _OTHER_TEXT
        return found


def _fingerprint(section: Section) -> bytes:
    roots = b"".join(recipe.chunk or b"" for recipe in section.recipes)
    return blake3(digests_of(section) + roots).digest()
