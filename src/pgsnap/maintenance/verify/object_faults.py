"""Faults of manifests, tags and notes, and where misplaced ones belong."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Set

from pgsnap.errors import CorruptionError, ObjectNotFound
from pgsnap.format.manifest import decode_indexed, decode_manifest, snapshot_id
from pgsnap.format.small import decode_note, decode_tag, note_id
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.maintenance.verify.damage import REPAIR_FROM, accept_command
from pgsnap.maintenance.verify.index_faults import columns_of
from pgsnap.model import SnapshotHead, SnapshotId
from pgsnap.repository import layout
from pgsnap.repository.index.snapshots import SnapshotColumns
from pgsnap.repository.objects import contents_of
from pgsnap.repository.repository import Repository
from pgsnap.repository.sealed.slots import read_slots
from pgsnap.repository.snapshots.losses import accepted_losses
from pgsnap.repository.snapshots.notes import SHALLOW, sound_notes
from pgsnap.values import dataclass

_UNSEEN = (
    "Nothing shows that it ever was here: its history was not copied, as by a push, pull or clone"
    " of an earlier version, or it was lost together with the index."
)


@dataclass(frozen=True, slots=True)
class Fault:
    """An object that is damaged, misplaced or missing (*data* is None).

    *belongs* is the name under which its bytes, if intact, should be stored. *snapshot* is the one
    whose manifest it is, or that a tag names. *remedy* is the command for one that cannot be mended
    from what is here.
    """

    name: str
    problem: str
    data: bytes | None
    belongs: str | None = None
    snapshot: SnapshotId | None = None
    remedy: str = REPAIR_FROM


def manifest_faults(
    repo: Repository, whole: dict[SnapshotId, SnapshotColumns] | None = None
) -> Iterator[Fault]:
    """Yield the faulty manifests, then the missing ones. The others are added to *whole*, each with
    the row that the index should have for it."""
    whole = {} if whole is None else whole
    there: set[SnapshotId] = set()
    parents: list[tuple[SnapshotId, SnapshotId]] = []
    # Before the store is listed: what others publish from now on may be in the log only.
    known_before = logged(repo)
    for stored, data, why in _stored(repo, layout.SNAPSHOTS, b"\x89snapM"):
        name = layout.hash_of(stored)
        content = snapshot_id(data, repo.naming)
        if name == content and (found := _head(data, content)) is not None:
            head, _, alias = found
            whole[content] = columns_of(*found)
            # What a copy names is the original's parent, which may never have been here.
            if head.parent is not None and alias is None:
                parents.append((content, head.parent))
        elif name != content and is_manifest(data):
            problem = "It is the manifest of another snapshot."
            yield Fault(stored, problem, data, layout.snapshot_name(content), name)
        else:
            problem = why or "Its bytes are damaged: they do not hash to its name."
            yield Fault(stored, problem, data, None, name)
        if name is not None:
            # Its fault has already been reported.
            there.add(name)
    absent = [(child, parent) for child, parent in parents if parent not in there]
    # Read after the snapshots: it is written before them.
    cut = _without_parents(repo) if absent else frozenset()
    unseen = {
        parent: f"It is the parent of snapshot {child.hex()[:12]}"
        for child, parent in absent
        if (child.hex(), parent.hex()) not in cut
    }
    wanted = {one: unseen.pop(one, "The log has it") for one in known_before}
    for lost in repo.index.lost_snapshots():
        wanted[lost] = "The index knew it"
        unseen.pop(lost, None)
    yield from _missing(repo, wanted, unseen, there)


def _without_parents(repo: Repository) -> Set[tuple[str, str]]:
    """Return the snapshots that came without their parents, each with its parent."""
    found = [note.body.get("parents") for note in repo.sound_notes(SHALLOW)]
    return {
        (str(child), str(parent))
        for parents in found
        if isinstance(parents, dict)
        for child, parent in parents.items()
    }


def logged(repo: Repository) -> Set[SnapshotId]:
    """Return the snapshots that the log has, of a remote store that was listed; else none."""
    chain = repo.chain()
    return frozenset() if chain is None else chain.snapshots


def _stored(repo: Repository, folder: str, magic: bytes) -> Iterator[tuple[str, bytes, str]]:
    """Yield the names of the objects of a folder with their bytes, and why these cannot be had,
    except files that are none: those have no hash as their name and do not begin with *magic*."""
    for name, found in contents_of(repo.store, (info.name for info in repo.store.list(folder))):
        why, data = "", found
        if isinstance(data, CorruptionError):
            # A bad sector on the disk, or a sealed object that does not open.
            message = data.message
            why = f"{message[:1].upper()}{message[1:]}. {data.detail}".strip()
            data = b""
        if layout.hash_of(name) is not None or data.startswith(magic):
            yield name, data, why


def _missing(
    repo: Repository,
    wanted: dict[SnapshotId, str],
    unseen: dict[SnapshotId, str],
    there: set[SnapshotId],
) -> Iterator[Fault]:
    gone = given_up(repo) | there | accepted_losses(repo).keys()
    for snapshot in forgotten(repo):
        gone.add(snapshot)
    for snapshot, why in wanted.items():
        if snapshot not in gone:
            name = layout.snapshot_name(snapshot)
            yield Fault(name, f"{why}, but it is gone.", None, None, snapshot)
    for snapshot, why in unseen.items():
        if snapshot not in gone:
            name = layout.snapshot_name(snapshot)
            remedy = accept_command([snapshot])
            yield Fault(name, f"{why}. {_UNSEEN}", None, None, snapshot, remedy)


def given_up(repo: Repository) -> set[SnapshotId]:
    """Return the snapshots whose damaged manifests a repair could not mend and moved aside."""
    names = (info.name for info in repo.store.list(f"{layout.DAMAGED}{layout.SNAPSHOTS}"))
    return {found for name in names if (found := layout.hash_of(name.split("~")[0])) is not None}


def forgotten(repo: Repository) -> set[SnapshotId]:
    """Return the snapshots that were deleted on purpose, according to sound notes."""
    notes = [
        note
        for kind in ("forgotten", "unforgotten")
        for _, note in sound_notes(repo.store, kind, naming=repo.naming)
    ]
    gone: set[SnapshotId] = set()
    for note in sorted(notes, key=lambda note: note.time):
        if note.snapshot is not None:
            (gone.add if note.kind == "forgotten" else gone.discard)(note.snapshot)
    return gone


def lost_while_forgotten(repo: Repository) -> Iterator[tuple[SnapshotId, bytes]]:
    """Yield the forgotten snapshots whose manifests vanished although apparently no gc dropped
    them: all that they need still exists. Each comes with its manifest."""
    lost = repo.index.lost_snapshots()
    for snapshot in sorted(lost.keys() & forgotten(repo)):
        data = kept_manifest(repo, snapshot)
        if data is not None and not is_stored(repo, snapshot):
            with contextlib.suppress(CorruptionError):
                repo.check_present(decode_manifest(data, snapshot, repo.naming))
                yield snapshot, data


def note_faults(repo: Repository) -> Iterator[Fault]:
    """Yield the faulty notes. A deleted one leaves no trace."""
    for stored, data, why in _stored(repo, layout.NOTES, b"\x89snapN"):
        try:
            note = decode_note(data, "a note")
        except CorruptionError as error:
            yield Fault(stored, why or error.detail or f"{error.message}.", data)
            continue
        belongs = layout.note_name(note.kind, note_id(data, repo.naming))
        if belongs != stored:
            problem = "It is another note, or lies in the wrong place."
            yield Fault(stored, problem, data, belongs, note.snapshot)


def tag_faults(repo: Repository, whole: Collection[SnapshotId] = frozenset()) -> Iterator[Fault]:
    """Yield the faulty tags. A deleted one leaves no trace. The snapshots *whole* are known to have
    sound manifests."""
    for info in repo.store.list(layout.TAGS):
        words = info.name.split("/")
        if len(words) != 3 or words[-1].startswith("."):
            continue
        data = b""
        try:
            data = repo.store.get(info.name, bytes_max=RECORD_BYTES_MAX)
            tag = decode_tag(data, "a tag")
        except ObjectNotFound:
            continue
        except CorruptionError as error:
            yield Fault(info.name, error.detail or f"{error.message}.", data)
            continue
        belongs = layout.tag_name(tag.database, tag.name)
        if belongs != info.name:
            yield Fault(info.name, "Its object is another tag's.", data, belongs, tag.snapshot)
        elif tag.snapshot not in whole and not is_stored(repo, tag.snapshot):
            problem = f"It names snapshot {tag.snapshot.hex()[:12]}, which is not there."
            yield Fault(info.name, problem, data, None, tag.snapshot)


def damaged_slots(repo: Repository) -> list[str]:
    """Return a notice for each key slot of *repo* that opens it no more, though others do."""
    if repo.unlocked is None:
        return []
    return [
        f"the key slot {name} is damaged: what it was for does not open the repository. Add that"
        " key again (snap key add), and delete the damaged object"
        for name in read_slots(repo.place.store).damaged
    ]


def is_stored(repo: Repository, snapshot: SnapshotId) -> bool:
    """Return whether the manifest in the store is intact."""
    try:
        data = repo.store.get(layout.snapshot_name(snapshot), bytes_max=RECORD_BYTES_MAX)
    except (ObjectNotFound, CorruptionError):
        return False
    return snapshot_id(data, repo.naming) == snapshot


def kept_manifest(repo: Repository, snapshot: SnapshotId) -> bytes | None:
    """Return a manifest if the index has it intact, even if the snapshot is gone."""
    for data in (repo.index.manifest(snapshot), repo.index.lost_snapshots().get(snapshot)):
        if data is not None and snapshot_id(data, repo.naming) == snapshot:
            return data
    return None


def _head(data: bytes, content: SnapshotId) -> tuple[SnapshotHead, str, SnapshotId | None] | None:
    """Return the head of a manifest whose hash is *content*, its server and its alias; None if
    *data* is not a manifest."""
    try:
        return decode_indexed(data, content)
    except CorruptionError:
        return None


def is_any_left(repo: Repository, manifest: bytes) -> bool:
    """Return whether at least the list of sections of this *manifest*'s snapshot exists."""
    try:
        for _ in repo.sections(decode_manifest(manifest)):
            pass
    except CorruptionError:
        return False
    return True


def is_manifest(data: bytes) -> bool:
    try:
        decode_manifest(data)
    except CorruptionError:
        return False
    return True
