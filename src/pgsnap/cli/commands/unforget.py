"""`snap unforget`: brings a forgotten snapshot back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.commands.forget import Remote
from pgsnap.cli.commands.retention_options import chosen_grace
from pgsnap.cli.config.settings import Settings
from pgsnap.cli.text import render
from pgsnap.cli.views.snapshot import snapshot_fields, summary_line, until_words
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.remotes import open_chosen, settings_for
from pgsnap.errors import UnknownRevision

if TYPE_CHECKING:
    from pgsnap.repository.repository import Repository

EXAMPLES = """
snap log --forgotten
snap unforget 862cb3
snap unforget --remote offsite 862cb3
"""

_SHOWN = 5


def run(
    ctx: typer.Context,
    revision: Annotated[
        str,
        typer.Argument(
            metavar="REV", show_default=False, help="The forgotten snapshot: its id or a prefix."
        ),
    ],
    remote: Remote = None,
) -> None:
    """Bring a forgotten snapshot back, as long as no gc dropped it."""
    from pgsnap.repository.snapshots.revisions import resolve_forgotten
    from pgsnap.workflows.retention.forget import unforget

    invocation = Invocation.of(ctx)
    with open_chosen(invocation, remote) as repo:
        try:
            snapshot_id = resolve_forgotten(repo, revision)
        except UnknownRevision as error:
            error.detail = (
                f"{error.detail} {_what_there_is(settings_for(invocation, remote), repo)}".strip()
            )
            raise
        snapshot = unforget(repo, snapshot_id)
        tags = tuple(repo.tags.by_snapshot(snapshot.database).get(snapshot_id, ()))
    invocation.console.emit(
        snapshot_fields(snapshot_id, snapshot, tags),
        [f"brought back {summary_line(snapshot_id, snapshot)}"],
    )


def _what_there_is(settings: Settings, repo: Repository) -> str:
    """Return a sentence on the forgotten snapshots, and how long they can be brought back."""
    found = repo.forgotten()
    if not found:
        return "Nothing is forgotten."
    grace = chosen_grace(settings)
    shown = [
        f"{render.short_id(snapshot)} ({until_words(since, grace)})"
        for snapshot, since in list(found.items())[:_SHOWN]
    ]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"Forgotten: {', '.join(shown)}{more}."
