"""What a word is found in: ids, tags, databases, messages, tables of the newest snapshots."""

from __future__ import annotations

from pgsnap.limits import ID_PREFIX_MIN
from pgsnap.model import SectionKind, SnapshotHead, SnapshotId
from pgsnap.model.dump import quote_ident
from pgsnap.repository.snapshots.messages import messages
from pgsnap.values import dataclass
from pgsnap.web.pages.base import Asked, Page

# Of each kind so many are shown, and so many snapshots have their messages read.
_SHOWN_MAX = 50
_READ_MAX = 20_000


@dataclass(frozen=True, slots=True)
class FoundSnapshot:
    snapshot_id: SnapshotId
    head: SnapshotHead
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundTable:
    label: str
    snapshot_id: SnapshotId
    name: str


@dataclass(frozen=True, slots=True)
class Found:
    """What was found for *words*; *is_short*: there is more than is shown."""

    words: str
    databases: tuple[str, ...]
    snapshots: tuple[FoundSnapshot, ...]
    tables: tuple[FoundTable, ...]
    is_short: bool


def page(asked: Asked) -> Page:
    words = asked.value("q").strip()
    data = _found(asked, words) if words else Found("", (), (), (), False)
    return Page("search.html", f"Search: {words}" if words else "Search", data, "search")


def _found(asked: Asked, words: str) -> Found:
    repo, wanted = asked.repo, words.casefold()
    labels = tuple(label for label in repo.databases() if wanted in label.casefold())
    tags = repo.tags.by_snapshot()
    ids: dict[SnapshotId, None] = {}
    if len(words) >= ID_PREFIX_MIN and all(one in "0123456789abcdef" for one in wanted):
        ids |= dict.fromkeys(repo.by_prefix(wanted, _SHOWN_MAX))
    ids |= {
        one: None
        for one, names in tags.items()
        if any(wanted in name.casefold() for name in names) and repo.has_snapshot(one)
    }
    newest = repo.newest(None, _READ_MAX)
    for one, message in messages(repo, newest):
        if len(ids) > _SHOWN_MAX:
            break
        if wanted in message.casefold():
            ids[one] = None
    shown = list(ids)[:_SHOWN_MAX]
    snapshots = tuple(
        FoundSnapshot(one, head, tuple(tags.get(one, ()))) for one, head in repo.heads(shown)
    )
    tables = _tables(asked, wanted)
    is_short = len(ids) > _SHOWN_MAX or len(tables) > _SHOWN_MAX
    return Found(words, labels, snapshots, tables[:_SHOWN_MAX], is_short)


def _tables(asked: Asked, wanted: str) -> tuple[FoundTable, ...]:
    found = []
    for label in asked.repo.databases():
        for newest in asked.repo.newest(label, 1):
            for section in asked.repo.sections(asked.repo.snapshot(newest)):
                name = section.name
                if name.kind is not SectionKind.DATA or name.part:
                    continue
                table = f"{quote_ident(name.schema)}.{quote_ident(name.name)}"
                if wanted in table.casefold():
                    found.append(FoundTable(label, newest, table))
                if len(found) > _SHOWN_MAX:
                    return tuple(found)
    return tuple(found)
