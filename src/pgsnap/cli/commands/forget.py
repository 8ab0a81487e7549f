"""`snap forget`: hides snapshots; a later gc drops them."""

from __future__ import annotations

from typing import Annotated

import typer

from pgsnap.cli.commands.retention_options import chosen_grace
from pgsnap.cli.text import render
from pgsnap.cli.views.snapshot import forgotten_fields, until_words
from pgsnap.cli.wiring.connect import resolve
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.remotes import open_chosen, settings_for

EXAMPLES = """
snap forget 862cb3
snap forget latest~3 latest~4
snap forget --force pre-migration
snap forget --remote offsite 862cb3
"""

Remote = Annotated[
    str | None,
    typer.Option(
        "--remote", metavar="NAME", show_default=False, help="In this remote, and not here."
    ),
]


def run(
    ctx: typer.Context,
    revision: Annotated[
        list[str],
        typer.Argument(metavar="REV...", show_default=False, help="The snapshots to forget."),
    ],
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Also what is protected: a tagged snapshot (its tags are deleted), the last one "
            "of a database, its newest verified one.",
        ),
    ] = False,
    remote: Remote = None,
) -> None:
    """Forget snapshots: they are hidden at once, and dropped by a later gc.

    Until the grace period is over (7 days, or as snap.toml says) `snap unforget` brings them back.
    What is forgotten here stays on every remote: --remote forgets it there.
    """
    from pgsnap.workflows.retention.forget import forget

    invocation = Invocation.of(ctx)
    grace = chosen_grace(settings_for(invocation, remote))
    there = "" if remote is None else f"--remote {remote}"
    with open_chosen(invocation, remote) as repo:
        chosen = [resolve(invocation, repo, word) for word in revision]
        done = forget(repo, chosen, force=force, there=there)
    lines = []
    for one in done:
        for name in one.tags:
            invocation.console.tell(f"deleted tag {name} (was {render.short_id(one.snapshot_id)})")
        words = [
            f"forgot {render.short_id(one.snapshot_id)}",
            render.plain(one.snapshot.database),
            render.clock(one.snapshot.time),
            render.first_line(one.snapshot.message),
        ]
        lines.append("  ".join(words).rstrip())
    command = " ".join(filter(None, ("snap unforget", there)))
    names = " or ".join(f"{command} {render.short_id(one.snapshot_id)}" for one in done[:2])
    invocation.console.tell(f"{until_words(done[0].since, grace)}: {names}")
    fields = [forgotten_fields(one, grace) for one in done]
    invocation.console.emit({"forgotten": fields}, lines)
