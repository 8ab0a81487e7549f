"""Tags: the only names that move. One object each; every move is a compare-and-swap."""

from __future__ import annotations

from collections.abc import Iterator

from pgsnap.errors import CorruptionError, ObjectNotFound, StoreChanged, TagExists, UnknownRevision
from pgsnap.format.small import decode_tag, encode_tag
from pgsnap.limits import RECORD_BYTES_MAX
from pgsnap.model import SnapshotId, Tag
from pgsnap.repository import layout
from pgsnap.stores.base import Store

SAFETY_TAGS = ("before-restore/", "before-undo/")
"""How the tags of snapshots begin that a restore or undo took of what it was about to replace."""


class Tags:
    """The tags of a repository. A name is unique within a database's label."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self, database: str | None = None) -> list[Tag]:
        """Return the tags, of one label or of all, ordered by label and name."""
        return sorted(self._read_all(database), key=lambda tag: (tag.database, tag.name))

    def by_snapshot(self, database: str | None = None) -> dict[SnapshotId, list[str]]:
        """Return the names of the tags of each snapshot that has any."""
        found: dict[SnapshotId, list[str]] = {}
        for tag in self.all(database):
            found.setdefault(tag.snapshot, []).append(tag.name)
        return found

    def get(self, database: str, name: str) -> Tag | None:
        data = self._data(database, name)
        return None if data is None else self._decode(data, database, name)

    def set(self, tag: Tag, *, force: bool = False) -> Tag | None:
        """Set a tag and return what it was before. Raises TagExists unless *force*, or unless it
        is set to this snapshot already."""
        name = layout.tag_name(tag.database, layout.check_tag(tag.name))
        found = self._data(tag.database, tag.name)
        before = None if found is None else self._before(found, tag, force=force)
        if before is not None:
            if before.snapshot == tag.snapshot:
                # Who set it may have been killed before it was durable.
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
        """Delete a tag and return what it was: None where it was damaged. Raises
        UnknownRevision."""
        found = self._data(database, name)
        if found is None:
            raise UnknownRevision(
                f'there is no tag "{name}" of database "{database}"', hint="List them: snap tag"
            )
        self._store.replace(layout.tag_name(database, name), None, found)
        try:
            return self._decode(found, database, name)
        except CorruptionError:
            return None

    def _data(self, database: str, name: str) -> bytes | None:
        if not layout.is_word(database) or not layout.is_word(name):
            return None
        try:
            return self._store.get(layout.tag_name(database, name), bytes_max=RECORD_BYTES_MAX)
        except ObjectNotFound:
            return None

    def _read_all(self, database: str | None) -> Iterator[Tag]:
        prefix = layout.TAGS
        if database is not None:
            prefix += layout.encode_word(database) + "/"
        for info in self._store.list(prefix):
            words = info.name.split("/")
            if len(words) != 3 or words[-1].startswith("."):
                # A stray file.
                continue
            try:
                data = self._store.get(info.name, bytes_max=RECORD_BYTES_MAX)
            except ObjectNotFound:
                continue
            yield self._decode(data, layout.decode_word(words[1]), layout.decode_word(words[-1]))

    def _before(self, found: bytes, tag: Tag, *, force: bool) -> Tag | None:
        """Return what *tag* was before; whoever moves it by force need not care."""
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
            tag = decode_tag(data, what)
            if (tag.database, tag.name) != (database, name):
                raise CorruptionError(f"{what} is damaged", detail="Its object is another tag's.")
        except CorruptionError as error:
            error.hint = (
                f"Mend it: snap repair, or set it again: snap tag --force {name} REV, "
                f"or delete it: snap tag --delete {name}; each with --database {database}"
            )
            raise
        return tag


def tag_exists(tag: Tag) -> TagExists:
    return TagExists(
        f'tag "{tag.name}" exists already',
        detail=f"It names snapshot {tag.snapshot.hex()[:12]}.",
        hint="Move it with --force, or choose another name.",
    )
