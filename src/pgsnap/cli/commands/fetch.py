"""`snap fetch`: looks up what a remote has, without taking any of it."""

from __future__ import annotations

import typer

from pgsnap.cli.commands.options import Bandwidth
from pgsnap.cli.commands.push import Remote
from pgsnap.cli.text import render
from pgsnap.cli.views.snapshot import remote_fields, remote_rows
from pgsnap.cli.wiring.connect import open_repository
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.places import limit_bandwidth
from pgsnap.cli.wiring.remotes import open_remote, remote_of

EXAMPLES = """
snap fetch
snap fetch offsite
snap log --remote offsite
"""


def run(ctx: typer.Context, remote: Remote = None, bandwidth: Bandwidth = None) -> None:
    """Look up which snapshots and tags a remote has; none of their data is fetched.

    What is new there since the last time is listed. From then on `snap log --remote NAME` shows
    what it had, without asking it.
    """
    from pgsnap.schedulers.state import State
    from pgsnap.workflows.sync.fetch import fetch

    invocation = Invocation.of(ctx)
    name, table = remote_of(invocation, remote)
    limit_bandwidth(invocation, bandwidth, invocation.settings.repository, table.url)
    path = invocation.settings.config_path
    # Remotes are nowhere else.
    assert path is not None
    with open_repository(invocation) as repo, open_remote(invocation, name, table) as other:
        report = fetch(other, repo, State(path, invocation.trust), name, invocation.now)
    snapshots = report.fetched.snapshots
    missing = sum(not one.is_here for one in snapshots)
    words = [
        f"{name} has {render.plural(len(snapshots), 'snapshot')}",
        f"{len(report.new)} new since the last fetch",
        *([f"{len(report.gone)} gone"] if report.gone else []),
        f"{missing} not here",
    ]
    if missing:
        invocation.console.tell(f"fetch their data: snap pull {name}")
    invocation.console.emit(
        {
            "remote": name,
            "url": str(table.url),
            "snapshots": len(snapshots),
            "not_here": missing,
            "new": [remote_fields(one) for one in report.new],
            "gone": [one.hex() for one in report.gone],
        },
        ["  ".join(words), *remote_rows(report.new)],
    )
