"""Cat: a snapshot as plain SQL, fit for psql, that cannot pass for whole where it is not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from pgsnap.dump.volatile import fresh_restrict_key
from pgsnap.errors import CorruptionError, UnknownRevision
from pgsnap.model import Section, SectionKind, SectionName, Snapshot, SnapshotId
from pgsnap.repository.repository import Repository
from pgsnap.repository.stream import snapshot_stream

_VERIFIER = re.compile(rb"(\bPASSWORD\s+)'(?:[^']|'')*'")

# Ends COPY input if the damage is in the middle of rows; then fails, with ON_ERROR_STOP or in a
# transaction. Division by zero is an error on every server and in every setting.
_POISON = b'\n\\.\n;\nSELECT 1/0 AS "snap: the snapshot is damaged; this output is not whole";\n'


def cat(
    repo: Repository,
    snapshot_id: SnapshotId,
    *,
    sections: Sequence[str] = (),
    with_secrets: bool = False,
) -> Iterator[bytes]:
    """Yield the dump of a snapshot, or of the *sections* named as `snap show` prints them.

    Before the first byte it checks that every pack and chunk is there. On damage in mid-stream it
    yields a statement that fails and raises CorruptionError. Password verifiers are masked
    unless *with_secrets*. Raises UnknownRevision for a section that the snapshot does not have.
    """
    snapshot = repo.snapshot(snapshot_id)
    repo.check_present(snapshot)
    chosen = _named(list(repo.sections(snapshot)), sections) if sections else None
    return _poisoned(_streams(repo, snapshot, chosen, with_secrets=with_secrets))


def _streams(
    repo: Repository, snapshot: Snapshot, chosen: list[SectionName] | None, *, with_secrets: bool
) -> Iterator[bytes]:
    """Yield the dump, or the sections *chosen*; the globals on their own, to be masked."""
    key = fresh_restrict_key()
    if chosen is None:
        yield from snapshot_stream(repo, snapshot, restrict_key=key)
        return
    hidden = [] if with_secrets else [name for name in chosen if name.kind is SectionKind.GLOBALS]
    shown = [name for name in chosen if name not in hidden]
    yield from snapshot_stream(repo, snapshot, restrict_key=key, sections=shown)
    # Globals are small, and a verifier must not slip through between two blocks.
    stream = snapshot_stream(repo, snapshot, restrict_key=key, sections=hidden)
    yield _VERIFIER.sub(rb"\1'********'", b"".join(stream))


def _named(found: list[Section], words: Sequence[str]) -> list[SectionName]:
    """Return the sections that *words* name: "pre-data", "data public.orders", "public.orders"."""
    chosen: list[SectionName] = []
    for word in words:
        match = [section.name for section in found if word in _words(section.name)]
        if not match:
            raise UnknownRevision(
                f'the snapshot has no section "{word}"', hint="See its sections: snap show REV"
            )
        chosen += match
    return chosen


def _words(name: SectionName) -> tuple[str, str, str]:
    return str(name), str(name.kind), str(name).partition(" ")[2]


def _poisoned(stream: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from stream
    except CorruptionError:
        yield _POISON
        raise
