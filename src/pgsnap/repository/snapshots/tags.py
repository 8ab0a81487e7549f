"""Tags: the only names that move. One object each; every move is a compare-and-swap."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from pgsnap.errors import CorruptionError, ObjectNotFound, StoreChanged, TagExists, UnknownRevision
from pgsnap.format.small import decode_tag, encode_tag, usual_tag
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.model import SnapshotId, Tag
from pgsnap.repository import layout
from pgsnap.repository.created_only import CreatedOnly
from pgsnap.stores.base import Store
from pgsnap.words import did_you_mean

SAFETY_TAGS = ("before-restore/", "before-undo/", "after-restore/", "after-undo/")
"""Tag prefixes of safety snapshots: those that a restore or undo takes of what it replaces, and of
what it made, where that is compared."""

# The day, the minute, the second.
_SHORT_LENGTHS = (len("20261130"), len("20261130T0006"), len("20261130T000648Z"))


def is_safety_tag(name: str) -> bool:
    """Return whether a tag is that of a safety snapshot."""
    return name.startswith(SAFETY_TAGS)


def short_tags(names: Iterable[str]) -> dict[str, str]:
    """Return those of *names* that are tags of safety snapshots, each with its shortest form: the
    day, the time or the second that no other of them begins with."""
    safety = list(filter(is_safety_tag, names))
    found = {}
    for name in safety:
        start = name.index("/") + 1
        forms = (name[: start + length] for length in _SHORT_LENGTHS)
        found[name] = next(
            (form for form in forms if sum(one.startswith(form) for one in safety) == 1), name
        )
    return found


class Tags:
    """The tags of a repository. A name is unique within a database's label."""

    def __init__(self, store: Store, *, folds_case: bool = False) -> None:
        """*folds_case*: the store treats names that differ only in case as the same."""
        self._store = store
        self._folds_case = folds_case

    def all(self, database: str | None = None) -> list[Tag]:
        """Return the tags of one label, or of all, ordered by label and name."""
        return sorted(self._read_all(database), key=lambda tag: (tag.database, tag.name))

    def names(self, database: str | None = None) -> list[str]:
        """Return the names of the tags of one label, or of all, also of damaged ones."""
        return sorted({name for _, name, _ in self._objects(database)})

    def by_snapshot(self, database: str | None = None) -> dict[SnapshotId, list[str]]:
        """Return the names of the tags of each tagged snapshot."""
        found: dict[SnapshotId, list[str]] = {}
        for tag in self.all(database):
            found.setdefault(tag.snapshot, []).append(tag.name)
        return found

    def get(self, database: str, name: str) -> Tag | None:
        """Return a tag, None if it does not exist. Raises CorruptionError."""
        data = self._data(database, name)
        return None if data is None else self._decode(data, database, name)

    def damaged(self, database: str | None = None) -> list[tuple[str, str]]:
        """Return label and name of the tags that cannot be read."""
        found = []
        for label, name, data in self._objects(database):
            try:
                if isinstance(data, CorruptionError):
                    raise data
                self._decode(data, label, name)
            except CorruptionError:
                found.append((label, name))
        return sorted(found)

    def check_case(self, database: str, name: str) -> None:
        """Raise TagExists if the store would confuse this tag, or its label, with another one."""
        other = self._other(database, name)
        if other is not None:
            raise TagExists(
                f'tag "{name}" of database "{database}" would take the place of tag "{other[1]}" of'
                f' database "{other[0]}"',
                detail="The repository's file system does not distinguish upper and lower case.",
                hint="Choose a name that differs in more than its case.",
            )

    def _other(self, database: str, name: str) -> tuple[str, str] | None:
        """Return the (label, name) of a different tag whose file or folder this one would use."""
        if not self._folds_case:
            return None
        wanted = layout.tag_name(database, name).split("/")
        for info in self._store.list(layout.TAGS):
            words = info.name.split("/")
            if len(words) != 3 or (words[:2] == wanted[:2] and words[2] == wanted[2]):
                continue
            same_label = words[1].lower() == wanted[1].lower()
            if same_label and (words[1] != wanted[1] or words[2].lower() == wanted[2].lower()):
                return layout.decode_word(words[1]), layout.decode_word(words[2])
        return None

    def set(self, tag: Tag, *, force: bool = False) -> Tag | None:
        """Set a tag and return its previous value. If it exists, raises TagExists unless *force*,
        or unless it names this snapshot already; and, even with *force*, as `check_case` does."""
        name = layout.tag_name(tag.database, layout.check_tag(tag.name))
        self.check_case(tag.database, tag.name)
        found = self._current(tag.database, tag.name, replaced=force)
        before = None if found is None else self._before(found, tag, force=force)
        if before is not None:
            if before.snapshot == tag.snapshot:
                # The process that set it may have been killed before it was durable.
                self._store.settle([name])
                return before
            if not force:
                raise tag_exists(before)
        try:
            self._store.replace(name, encode_tag(tag), found)
        except StoreChanged:
            raise TagExists(
                f'tag "{tag.name}" was moved by another process at the same time',
                hint=f"Look where it is now: snap tag --database {tag.database}",
            ) from None
        return before

    def delete(self, database: str, name: str) -> Tag | None:
        """Delete a tag and return its previous value, None if it was damaged. Raises
        UnknownRevision."""
        try:
            found = self._data(database, name)
        except CorruptionError:
            # It does not even open.
            self._store.delete(layout.tag_name(database, name))
            return None
        if found is None:
            raise UnknownRevision(
                f'there is no tag "{name}" of database "{database}"',
                hint=did_you_mean(name, self.names(database), "List them: snap tag"),
            )
        self._store.replace(layout.tag_name(database, name), None, found)
        try:
            return self._decode(found, database, name)
        except CorruptionError:
            return None

    def _data(self, database: str, name: str) -> bytes | None:
        if not layout.is_word(database) or not layout.is_word(name):
            return None
        if self._other(database, name) is not None:
            # The file found under this name is a different tag's.
            return None
        return self._stored(database, name)

    def _stored(self, database: str, name: str) -> bytes | None:
        try:
            return self._store.get(layout.tag_name(database, name), bytes_max=RECORD_BYTES_MAX)
        except ObjectNotFound:
            return None
        except CorruptionError as error:
            error.hint = _mend_hint(database, name)
            raise

    def _current(self, database: str, name: str, *, replaced: bool) -> bytes | None:
        """Return what a tag is now. One that does not even open is deleted if it is *replaced*."""
        try:
            return self._data(database, name)
        except CorruptionError:
            if not replaced:
                raise
            self._store.delete(layout.tag_name(database, name))
            return None

    def _read_all(self, database: str | None) -> Iterator[Tag]:
        for label, name, data in self._objects(database):
            if isinstance(data, CorruptionError):
                data.hint = _mend_hint(label, name)
                raise data
            yield self._decode(data, label, name)

    def _objects(self, database: str | None) -> Iterator[tuple[str, str, bytes | CorruptionError]]:
        """Yield label and name of the tags, each with its object or why that cannot be read."""
        prefix = layout.TAGS
        if database is not None:
            prefix += layout.encode_word(database) + "/"
        # On a remote store looking each up by itself would be two requests for each.
        store = self._store
        objects = store.tags(prefix) if isinstance(store, CreatedOnly) else self._read(prefix)
        for found, data in objects:
            words = found.split("/")
            yield layout.decode_word(words[1]), layout.decode_word(words[-1]), data

    def _read(self, prefix: str) -> Iterator[tuple[str, bytes | CorruptionError]]:
        for info in self._store.list(prefix):
            if info.name.count("/") != 2 or "/." in info.name:
                # A stray file.
                continue
            with contextlib.suppress(ObjectNotFound):
                try:
                    yield info.name, self._store.get(info.name, bytes_max=RECORD_BYTES_MAX)
                except CorruptionError as error:
                    yield info.name, error

    def _before(self, found: bytes, tag: Tag, *, force: bool) -> Tag | None:
        """Return what *tag* was before; with *force*, a damaged one is ignored."""
        try:
            return self._decode(found, tag.database, tag.name)
        except CorruptionError:
            if not force:
                raise
            return None

    @staticmethod
    def _decode(data: bytes, database: str, name: str) -> Tag:
        what = f'tag "{name}" of database "{database}"'
        try:
            usual = usual_tag(data, database, name, what)
            tag = usual or decode_tag(data, what)
            if (tag.database, tag.name) != (database, name):
                raise CorruptionError(f"{what} is damaged", detail="Its object is another tag's.")
        except CorruptionError as error:
            error.hint = _mend_hint(database, name)
            raise
        return tag


def _mend_hint(database: str, name: str) -> str:
    return (
        f"Mend it: snap repair, or set it again: snap tag --force {name} REV, "
        f"or delete it: snap tag --delete {name}; each with --database {database}"
    )


def tag_exists(tag: Tag) -> TagExists:
    return TagExists(
        f'tag "{tag.name}" exists already',
        detail=f"It names snapshot {tag.snapshot.hex()[:12]}.",
        hint="Move it with --force, or choose another name.",
    )
