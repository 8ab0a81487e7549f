"""Names of a remote's snapshots, as of the last fetch: what REMOTE/TAG means without asking it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from pgsnap.errors import AmbiguousChain, AmbiguousRevision, UnknownRevision
from pgsnap.format.times import to_micros
from pgsnap.limits import ID_PREFIX_MIN
from pgsnap.model import HASH_BYTES, SnapshotId
from pgsnap.patterns import regex
from pgsnap.repository.repository import Repository
from pgsnap.repository.snapshots import revisions
from pgsnap.repository.snapshots.label_chains import CLOCK_SLACK
from pgsnap.repository.snapshots.moments import is_clock_time, last_moment

if TYPE_CHECKING:
    from pgsnap.workflows.sync.fetch import Fetched, RemoteSnapshot

_PREFIX = regex(rf"[0-9a-f]{{{ID_PREFIX_MIN},{HASH_BYTES * 2}}}")
_CANDIDATES_SHOWN = 5


class NotHere(UnknownRevision):
    """The snapshot is only in *remote*, where *there* names it."""

    def __init__(self, message: str, *, remote: str, there: str, detail: str, hint: str) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.remote = remote
        self.there = there


def resolve_fetched(
    repo: Repository, fetched: Fetched, name: str, database: str | None, now: datetime
) -> SnapshotId:
    """Return the snapshot of *repo* that the remote calls *name*: a revision, ``~n`` included.
    Raises NotHere if *repo* lacks it, RevisionError."""
    base, steps = revisions.without_steps(name)
    found = find(fetched, base, database, now)
    original = found.original.hex()
    if repo.by_prefix(original, 1) or repo.by_prefix(original, 1, forgotten=True):
        return revisions.resolve(repo, original + steps, database=database)
    there = found.snapshot_id.hex()
    raise NotHere(
        f'snapshot "{fetched.remote}/{name}" is not in this repository',
        remote=fetched.remote,
        there=there + steps,
        detail=f"It is {there[:12]} of {found.time.astimezone():%Y-%m-%d %H:%M}, and only"
        f" {fetched.remote} has it.",
        hint=f"Fetch it: snap pull {fetched.remote} {there[:12]}",
    )


def find(fetched: Fetched, text: str, database: str | None, now: datetime) -> RemoteSnapshot:
    """Return the snapshot that *text* names in a remote: a tag (``label/tag`` for another
    database's), an id or unique prefix, ``latest`` or ``@TIME``. *database* is the label that is
    meant if there are several. Raises UnknownRevision, AmbiguousRevision, UsageError."""
    if text == "latest" or text.startswith("@") or is_clock_time(text):
        return _by_time(fetched, text, database, now)
    named = _tagged(fetched.snapshots, text, database) or _beginning(fetched.snapshots, text)
    if len(named) == 1:
        return named[0]
    if not named:
        raise _unknown(fetched, text)
    shown = ", ".join(
        f"{one.snapshot_id.hex()[:16]} ({one.database})" for one in named[:_CANDIDATES_SHOWN]
    )
    raise AmbiguousRevision(
        f'more than one snapshot of {fetched.remote} is named "{text}"',
        detail=f"There are {shown}.",
        hint="Give more characters of the id, or say which database: --database NAME",
    )


def _tagged(
    snapshots: Sequence[RemoteSnapshot], text: str, database: str | None
) -> list[RemoteSnapshot]:
    """Return those with a tag: of the database, else with its label before it, else of any."""
    if database is not None:
        own = [one for one in snapshots if one.database == database and text in one.tags]
        if own:
            return own
    label, slash, rest = text.partition("/")
    found = [one for one in snapshots if slash and one.database == label and rest in one.tags]
    if found or database is not None:
        return found
    return [one for one in snapshots if text in one.tags]


def _beginning(snapshots: Sequence[RemoteSnapshot], text: str) -> list[RemoteSnapshot]:
    """Return those whose id, or their original's, begins so."""
    start = text.lower()
    if not _PREFIX.fullmatch(start):
        return []
    return [
        one
        for one in snapshots
        if one.snapshot_id.hex().startswith(start) or one.original.hex().startswith(start)
    ]


def _by_time(fetched: Fetched, text: str, database: str | None, now: datetime) -> RemoteSnapshot:
    labels = sorted({one.database for one in fetched.snapshots})
    if database is None and len(labels) > 1:
        raise AmbiguousRevision(
            f"{fetched.remote} holds more than one database",
            detail=f"There are {', '.join(labels[:_CANDIDATES_SHOWN])}.",
            hint="Say which: --database NAME",
        )
    mine = [one for one in fetched.snapshots if database in (None, one.database)]
    if len(servers := sorted({one.server for one in mine})) > 1:
        raise AmbiguousChain(
            f'the snapshots of "{mine[0].database}" in {fetched.remote} were taken from'
            f" {len(servers)} servers",
            hint=f"Name the snapshot by its id or tag: snap log --remote {fetched.remote}",
        )
    if text == "latest":
        past = [one for one in mine if one.time <= now + CLOCK_SLACK] or mine
    else:
        moment = last_moment(text.removeprefix("@"))
        past = [one for one in mine if to_micros(one.time) <= moment]
    if not past:
        raise _unknown(fetched, text)
    return max(past, key=lambda one: one.time)


def _unknown(fetched: Fetched, text: str) -> UnknownRevision:
    return UnknownRevision(
        f'no snapshot of {fetched.remote} is named "{text}"',
        detail=f"That is as of the last fetch, {fetched.time.astimezone():%Y-%m-%d %H:%M}.",
        hint=f"Look again: snap fetch {fetched.remote}. See what there was: snap log --remote"
        f" {fetched.remote}",
    )
