"""`snap repair`: repairs damage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgsnap.cli.commands.options import Yes
from pgsnap.cli.config.keys import address
from pgsnap.cli.text import render
from pgsnap.cli.text.program import named
from pgsnap.cli.views.damage import damage_lines, loss_fields, loss_lines, way_out
from pgsnap.cli.wiring.connect import open_repository, resolve
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.places import place_at
from pgsnap.cli.wiring.secrets_given import unlocking
from pgsnap.cli.wiring.user_folders import cache_folder
from pgsnap.errors import CorruptionError, UnknownRevision, UsageError

if TYPE_CHECKING:
    from pgsnap.maintenance.repair.repair import RepairReport
    from pgsnap.repository.places.address import Address

EXAMPLES = """
snap repair
snap repair --from /mnt/copy/backups
snap repair --accept-loss 862cb3
"""

Source = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="PATH|URL",
        show_default=False,
        help="Another repository, to take from it what is lost here.",
    ),
]
AcceptLoss = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-loss",
        metavar="SNAPSHOT",
        show_default=False,
        help="Mend nothing; give up what this snapshot lost, so that gc goes on (repeatable).",
    ),
]


def run(
    ctx: typer.Context, source: Source = None, accept_loss: AcceptLoss = None, yes: Yes = False
) -> None:
    """Mend what is damaged or missing, from what is left and from a copy.

    Damaged files are put aside in damaged/, never deleted. Every byte is read. Exit code 60 where
    something stays lost; it is named.
    """
    from pgsnap.maintenance.repair.repair import repair

    invocation = Invocation.of(ctx)
    console = invocation.console
    settings = invocation.settings
    if accept_loss:
        if source is not None:
            raise UsageError(
                "--accept-loss mends nothing", hint="Mend first: snap repair --from PATH"
            )
        _accept(invocation, accept_loss, yes=yes)
        return
    if yes:
        raise UsageError("--yes is about --accept-loss: a repair asks nothing")
    other = None if source is None else address(source, "--from", Path.cwd())
    unlock = unlocking(invocation)
    with invocation.audited(), console.progress() as progress:
        report = repair(
            place_at(invocation, settings.repository),
            source=other,
            lock_timeout_seconds=settings.lock_timeout,
            index_folder=cache_folder(),
            progress=progress,
            trust=invocation.trust,
            unlock=unlock,
            was_encrypted=unlock.pins.was_encrypted(str(settings.repository)),
        )
    for warning in report.warnings:
        console.warn(f"warning: {warning}")
    colour = console.terminal.colour
    lines = [f"mended: {m.kind} {render.plain(m.name)}: {m.how}" for m in report.mended]
    lines += [f"put aside: {render.plain(name)}" for name in report.put_aside]
    for finding in report.lost:
        lines += damage_lines(finding, colour=colour)
    chunks = render.plural(report.salvaged_chunks + report.fetched_chunks, "chunk")
    lines.append(
        f"{render.plural(len(report.mended), 'object')} mended  {chunks} saved  "
        f"{len(report.lost)} still damaged  {render.seconds(report.seconds)}"
    )
    console.emit(render.fields_of(report, warnings=""), lines)
    if report.lost:
        raise _unmended(report, settings.repository, has_copy=other is not None)


def _unmended(report: RepairReport, where: Address, *, has_copy: bool) -> CorruptionError:
    copy = "" if has_copy else "Mend it from a copy: snap repair --from PATH"
    hint = way_out(report.lost, where, has_copy=has_copy) or copy or "See what is left: snap verify"
    detail = (
        "The next snap commit stores again all chunks that the database still has; the sections"
        " named above that consist of them are whole then."
    )
    if all(one.kind == "tag" for one in report.lost):
        detail = "Which snapshots the tags named above had is not known any more."
        hint = ". ".join(filter(None, (f"Set them again, as with: {report.lost[0].next}", copy)))
    things = render.plural(len(report.lost), "thing")
    return CorruptionError(f"{things} could not be mended", detail=detail, hint=hint)


def _accept(invocation: Invocation, words: list[str], *, yes: bool) -> None:
    """Show what is lost, and record that it is given up."""
    from pgsnap.maintenance.repair.losses import accept, find_losses, vanished

    with open_repository(invocation, alone=True) as repo:
        chosen = []
        for word in words:
            try:
                chosen.append(resolve(invocation, repo, word))
            except UnknownRevision:
                found = vanished(repo, word)
                chosen.append(found)
                invocation.resolved.append(found.hex())
        losses = find_losses(repo, chosen)
        lines = loss_lines(losses, invocation.now)
        invocation.console.propose(lines)
        if not yes:
            invocation.console.confirm("Give up what is lost?")
        accept(repo, losses, by="snap repair")
    fields = {"accepted": [loss_fields(loss) for loss in losses]}
    done = f"gave up what {render.plural(len(losses), 'snapshot')} lost; gc keeps what is left"
    invocation.console.emit(fields, [named(f"{done}. What is not needed of them: snap forget REV")])
