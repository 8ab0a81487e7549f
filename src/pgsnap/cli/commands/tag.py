"""`snap tag`: lists, sets, moves and deletes tags."""

from __future__ import annotations

from typing import Annotated

import typer

from pgsnap.cli.text import render
from pgsnap.cli.wiring.connect import label_of, open_repository, resolve
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.errors import UsageError

EXAMPLES = """
snap tag
snap tag pre-migration
snap tag release-4.2 latest~1
snap tag --force pre-migration latest
snap tag --delete pre-migration
"""


def run(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", show_default=False, help="The tag to set."),
    ] = None,
    revision: Annotated[
        str,
        typer.Argument(metavar="[REV]", help="The snapshot that it is to name."),
    ] = "latest",
    delete: Annotated[
        str | None, typer.Option("--delete", "-d", metavar="NAME", help="Delete this tag.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Move the tag if it names another snapshot.")
    ] = False,
) -> None:
    """List the tags, set one, move one or delete one."""
    invocation = Invocation.of(ctx)
    if delete is not None:
        if name is not None:
            raise UsageError(
                "--delete takes the name of the tag, and no other argument",
                hint=f"Run `snap tag --delete {delete}`.",
            )
        _delete(invocation, delete)
    elif name is not None:
        _set(invocation, name, revision, force=force)
    else:
        _list(invocation)


def _list(invocation: Invocation) -> None:
    from pgsnap.workflows.history.tag import list_tags

    with open_repository(invocation) as repo:
        tags = list_tags(repo, database=invocation.settings.database)
    several = len({tag.database for tag in tags}) > 1
    rows = [
        (
            render.plain(f"{tag.database}/{tag.name}" if several else tag.name),
            render.short_id(tag.snapshot),
            render.ago(tag.time, invocation.now),
        )
        for tag in tags
    ]
    if not tags and not invocation.console.json:
        invocation.console.tell("no tags yet: set one with `snap tag NAME`")
    invocation.console.emit(tags, render.columns(rows))


def _set(invocation: Invocation, name: str, revision: str, *, force: bool) -> None:
    from pgsnap.workflows.history.tag import set_tag

    with open_repository(invocation) as repo:
        snapshot_id = resolve(invocation, repo, revision)
        report = set_tag(repo, name, snapshot_id, force=force)
    tag, before = report.tag, report.before
    words = f"{render.plain(tag.name)} -> {render.short_id(tag.snapshot)}"
    if before is not None and before.snapshot != tag.snapshot:
        words += f" (was {render.short_id(before.snapshot)})"
    previous = before.snapshot if before is not None else None
    fields = {**render.fields_of(tag), "previous": previous}
    invocation.console.emit(fields, [words])


def _delete(invocation: Invocation, name: str) -> None:
    from pgsnap.workflows.history.tag import delete_tag

    with open_repository(invocation) as repo:
        done = delete_tag(repo, name, database=label_of(invocation, repo))
    tag = done.tag
    was = render.short_id(tag.snapshot) if tag is not None else "damaged"
    line = f"deleted {render.plain(done.name)} (was {was})"
    fields = {
        "name": done.name,
        "database": done.database,
        "snapshot": None,
        "time": tag.time if tag is not None else None,
        "previous": tag.snapshot if tag is not None else None,
    }
    invocation.console.emit(fields, [line])
