"""Revisions: how people name a snapshot (docs/cli.md, "Revisions")."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta

from pgsnap.errors import AmbiguousRevision, UnknownRevision, UsageError
from pgsnap.format.times import to_micros
from pgsnap.limits import ID_PREFIX_MIN
from pgsnap.model import HASH_BYTES, SnapshotId, Tag
from pgsnap.repository.repository import Repository

_STEPS = re.compile(r"(?P<base>.+?)(?P<steps>(?:~[0-9]{0,9})+)", re.DOTALL)
_PREFIX = re.compile(rf"[0-9a-fA-F]{{{ID_PREFIX_MIN},{HASH_BYTES * 2}}}")
_CANDIDATES_SHOWN = 5


def resolve(repo: Repository, text: str, *, database: str | None) -> SnapshotId:
    """Return the snapshot that *text* names.

    *text* is a tag (``label/tag`` for another database's), an id or unique prefix, ``latest``,
    ``@TIME``, each with ``~n`` for its n-th parent. *database* is the label that is meant where
    the repository holds several. Raises UnknownRevision, AmbiguousRevision, UsageError.
    """
    match = _STEPS.fullmatch(text)
    base, steps = (match["base"], match["steps"]) if match else (text, "")
    found = _resolve_base(repo, base, database)
    count = sum(int(step) if step else 1 for step in steps.split("~")[1:])
    for done in range(count):
        parent = repo.snapshot(found).parent
        if parent is None or not repo.has_snapshot(parent):
            raise UnknownRevision(
                f'no snapshot is named "{text}"',
                detail=f"Its line of parents ends after {done} steps.",
                hint="See what there is: snap log",
            )
        found = parent
    return found


def _resolve_base(repo: Repository, base: str, database: str | None) -> SnapshotId:
    if base == "latest":
        label = only_label(repo, database)
        newest = repo.newest(label, 1)
        if not newest:
            raise _unknown(base, label)
        return newest[0]
    if base.startswith("@"):
        label = only_label(repo, database)
        at = repo.at_or_before(label, _last_moment(base))
        if at is None:
            raise _unknown(base, label)
        return at
    tag = _tag(repo, base, database)
    if tag is not None:
        return tag.snapshot
    if _PREFIX.fullmatch(base):
        found = repo.by_prefix(base.lower(), _CANDIDATES_SHOWN + 1)
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(snapshot.hex()[:16] for snapshot in found[:_CANDIDATES_SHOWN])
            raise AmbiguousRevision(
                f'more than one snapshot is named "{base}"',
                detail=f"These begin so: {names}.",
                hint="Give more characters of the id.",
            )
    raise _unknown(base, database)


def _tag(repo: Repository, name: str, database: str | None) -> Tag | None:
    """Return the tag that *name* means: of the database, else of the only label that has it."""
    if database is not None:
        tag = repo.tags.get(database, name)
        if tag is not None:
            return tag
    label, slash, rest = name.partition("/")
    if slash and rest:
        tag = repo.tags.get(label, rest)
        if tag is not None:
            return tag
    if database is not None:
        return None
    found = [tag for tag in repo.tags.all() if tag.name == name]
    if len(found) > 1:
        labels = ", ".join(f"{tag.database}/{tag.name}" for tag in found[:_CANDIDATES_SHOWN])
        raise AmbiguousRevision(
            f'tag "{name}" exists for more than one database',
            detail=f"There are {labels}.",
            hint="Say which: --database NAME",
        )
    return found[0] if found else None


def only_label(repo: Repository, database: str | None) -> str:
    """Return *database*, or the repository's only label. Raises where that is not clear."""
    if database is not None:
        return database
    labels = repo.databases()
    if len(labels) == 1:
        return labels[0]
    if not labels:
        raise UnknownRevision(
            "the repository holds no snapshots", hint='Make one: snap commit -m "first"'
        )
    raise AmbiguousRevision(
        "the repository holds more than one database",
        detail=f"There are {', '.join(labels[:_CANDIDATES_SHOWN])}.",
        hint="Say which: --database NAME",
    )


def _last_moment(text: str) -> int:
    """Return the last microsecond that ``@TIME`` names: of the day, minute or second given.

    A time without an offset is in the local time zone of this process, as `date` prints it.
    """
    for pattern, span in (
        ("%Y-%m-%d", timedelta(days=1)),
        ("%Y-%m-%dT%H:%M", timedelta(minutes=1)),
        ("%Y-%m-%d %H:%M", timedelta(minutes=1)),
        ("%Y-%m-%dT%H:%M:%S", timedelta(seconds=1)),
        ("%Y-%m-%dT%H:%M%z", timedelta(minutes=1)),
        ("%Y-%m-%dT%H:%M:%S%z", timedelta(seconds=1)),
    ):
        try:
            start = datetime.strptime(text[1:], pattern)  # noqa: DTZ007 - made aware below
        except ValueError:
            continue
        # The end of a local day is not 24 hours after its start where clocks change in it.
        with contextlib.suppress(OverflowError):
            end = (start + span).astimezone(UTC) if start.tzinfo is None else start + span
            return to_micros(end) - 1
    raise UsageError(
        f'"{text}" is no time',
        hint="Write @2026-01-31, @2026-01-31T14:30 or @2026-01-31T14:30:00+02:00.",
    )


def _unknown(text: str, database: str | None) -> UnknownRevision:
    of = f' of database "{database}"' if database is not None else ""
    return UnknownRevision(
        f'no snapshot{of} is named "{text}"', hint="See what there is: snap log, snap tag"
    )
