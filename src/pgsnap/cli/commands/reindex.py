"""`snap reindex`: rebuilds the index."""

from __future__ import annotations

import typer

from pgsnap.cli.text import render
from pgsnap.cli.text.program import named
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.places import place_at
from pgsnap.cli.wiring.secrets_given import unlocking
from pgsnap.cli.wiring.user_folders import cache_folder

EXAMPLES = """
snap reindex
"""


def run(ctx: typer.Context) -> None:
    """Rebuild the index from packs and manifests alone.

    Nothing is lost with the index, so this is safe at any time; nobody else may use the repository
    meanwhile. What is not sound is left out and named.
    """
    from pgsnap.maintenance.reindex import reindex

    invocation = Invocation.of(ctx)
    settings = invocation.settings
    with invocation.audited(), invocation.console.progress() as progress:
        report = reindex(
            place_at(invocation, settings.repository),
            lock_timeout_seconds=settings.lock_timeout,
            index_folder=cache_folder(),
            progress=progress,
            trust=invocation.trust,
            unlock=unlocking(invocation),
        )
    lines = [f"left out: {render.plain(name)}: {why}" for name, why in report.left_out]
    if report.left_out:
        lines.append(named("next: snap repair"))
    counts = (
        render.plural(report.packs, "pack"),
        render.plural(report.chunks, "chunk"),
        render.plural(report.snapshots, "snapshot"),
        render.seconds(report.seconds),
    )
    left_out = [{"name": name, "problem": why} for name, why in report.left_out]
    fields = {**render.fields_of(report), "left_out": left_out}
    invocation.console.emit(fields, [*lines, "rebuilt the index  " + "  ".join(counts)])
