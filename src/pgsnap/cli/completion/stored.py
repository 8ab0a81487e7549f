"""What a repository holds, as far as a command line can name it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from pgsnap.cli.completion import Candidate
from pgsnap.cli.text import render
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import SnapError
from pgsnap.repository.snapshots.tags import is_safety_tag

if TYPE_CHECKING:
    from pgsnap.model import Section, SnapshotHead
    from pgsnap.repository.repository import Repository

# Those before them are found by their ids.
_IDS_OFFERED = 50
# Tags of safety snapshots are offered once so much of them is typed.
_TYPED_CHARS = 3


def offered(
    kind: str, ctx: click.Context, invocation: Invocation, beginning: str
) -> Iterator[Candidate]:
    """Yield what *kind* of things there are. Raises SnapError."""
    if kind == "fetched":
        yield from _fetched(ctx, invocation)
        return
    with _opened(invocation) as repo:
        label = invocation.settings.database
        if kind == "label":
            yield from map(Candidate, repo.databases())
        elif kind == "server":
            yield from _servers(repo)
        elif kind == "tag":
            yield from _tags(repo, label, beginning)
        elif kind == "revision":
            yield from _tags(repo, label, beginning)
            yield Candidate("latest", "the newest snapshot")
            yield from _ids(repo, label)
            yield from _of_remotes(invocation, beginning)
        elif kind == "forgotten":
            yield from _forgotten(repo, label)
        elif kind in ("table", "schema", "section"):
            yield from _of_snapshot(kind, repo, ctx, invocation)


def _opened(invocation: Invocation) -> Repository:
    """Return the repository, open: without waiting for another process, and with no secret that a
    command or a person would have to give."""
    from pgsnap.cli.wiring.places import place_at
    from pgsnap.cli.wiring.secrets_given import secrets_in_files
    from pgsnap.cli.wiring.user_folders import cache_folder, pins_folder
    from pgsnap.repository.repository import Repository
    from pgsnap.repository.sealed.pins import Pins
    from pgsnap.repository.sealed.unlocking import Unlocking

    settings = invocation.settings
    return Repository.open(
        place_at(invocation, settings.repository),
        lock_timeout_seconds=0,
        index_folder=cache_folder(),
        trust=settings.trust,
        unlock=Unlocking(
            lambda config: secrets_in_files(invocation),
            Pins(pins_folder()),
            fingerprint=settings.key_fingerprint,
            remembers=False,
        ),
    )


def _tags(repo: Repository, label: str | None, beginning: str) -> Iterator[Candidate]:
    """Yield tags, newest first; those of safety snapshots, which are many, once they are begun."""
    tags = sorted(repo.tags.all(label), key=lambda tag: tag.time, reverse=True)
    names = [tag.name for tag in repo.tags.all()]
    for tag in tags:
        if is_safety_tag(tag.name) and not beginning.startswith(tag.name[:_TYPED_CHARS]):
            continue
        is_clear = label is not None or names.count(tag.name) == 1
        shown = tag.name if is_clear else f"{tag.database}/{tag.name}"
        yield Candidate(shown, f"tag of {tag.snapshot.hex()[:12]}, set {_ago(tag.time)}")


def _ids(repo: Repository, label: str | None) -> Iterator[Candidate]:
    for found, snapshot in repo.heads(repo.newest(label, _IDS_OFFERED)):
        yield Candidate(render.short_id(found), _about(snapshot))


def _forgotten(repo: Repository, label: str | None) -> Iterator[Candidate]:
    from pgsnap.workflows.retention.forget import list_forgotten

    for one in list_forgotten(repo, database=label):
        yield Candidate(render.short_id(one.snapshot_id), render.first_line(one.snapshot.message))


def _about(snapshot: SnapshotHead) -> str:
    return f"{_ago(snapshot.time)}: {render.first_line(snapshot.message)}"


def _ago(moment: datetime) -> str:
    return render.ago(moment, datetime.now(UTC))


def _servers(repo: Repository) -> Iterator[Candidate]:
    from pgsnap.repository.snapshots.label_chains import Chains

    chains = Chains(repo)
    for label in repo.databases():
        for chain in chains.of_label(label):
            yield Candidate(chain.full_name)


def _of_snapshot(
    kind: str, repo: Repository, ctx: click.Context, invocation: Invocation
) -> Iterator[Candidate]:
    """Yield tables, schemas or sections: of the snapshot that the command line names, else of the
    newest."""
    from pgsnap.repository.snapshots import revisions

    named = [ctx.params.get(name) for name in ("revision", "before")]
    revision = next((str(one) for one in named if one), "latest")
    try:
        found = revisions.resolve(repo, revision, database=invocation.settings.database)
    except SnapError:
        found = repo.newest(invocation.settings.database, 1)[0]
    sections = list(repo.sections(repo.snapshot(found)))
    if kind == "section":
        yield from (Candidate(str(one.name)) for one in sections)
        return
    tables = [one for one in sections if one.name.kind.name == "DATA"]
    if kind == "schema":
        yield from map(Candidate, sorted({_quoted(one.name.schema) for one in tables}))
        return
    for one in tables:
        yield _table(one)


def _table(section: Section) -> Candidate:
    rows = render.plural(section.rows, "row") if section.rows is not None else ""
    name = f"{_quoted(section.name.schema)}.{_quoted(section.name.name)}"
    return Candidate(name, rows)


def _quoted(name: str) -> str:
    """Return a name as SQL has it."""
    is_plain = name.isascii() and name.isidentifier() and name == name.lower()
    return name if is_plain else '"' + name.replace('"', '""') + '"'


def _fetched(ctx: click.Context, invocation: Invocation) -> Iterator[Candidate]:
    """Yield the snapshots of the remote that the command line names, as the last fetch found
    them."""
    remotes = list(invocation.settings.remotes or {})
    remote = ctx.params.get("remote") or (remotes[0] if len(remotes) == 1 else None)
    if remote is not None:
        yield from _of_remote(invocation, str(remote))


def _of_remotes(invocation: Invocation, beginning: str) -> Iterator[Candidate]:
    """Yield the tags of each remote whose name is begun, as REMOTE/TAG."""
    for remote in invocation.settings.remotes or {}:
        if beginning and f"{remote}/".startswith(beginning[: len(remote) + 1]):
            for one in _of_remote(invocation, remote):
                yield Candidate(f"{remote}/{one.value}", one.about)


def _of_remote(invocation: Invocation, remote: str) -> Iterator[Candidate]:
    from pgsnap.schedulers.state import State
    from pgsnap.workflows.sync.fetch import last_fetch

    path = invocation.settings.config_path
    # Remotes are nowhere else.
    assert path is not None
    known = last_fetch(State(path, invocation.settings.trust), remote)
    for one in known.snapshots if known is not None else ():
        for name in (*one.tags, render.short_id(one.snapshot_id)):
            yield Candidate(name, _ago(one.time))
