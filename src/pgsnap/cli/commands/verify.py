"""`snap verify`: is everything there, and is every byte what was stored?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsnap.cli import render
from pgsnap.cli.damage_view import finding_fields, finding_lines
from pgsnap.cli.invocation import Invocation
from pgsnap.cli.world import open_repository, resolve
from pgsnap.errors import CorruptionError

if TYPE_CHECKING:
    from pgsnap.workflows.verify import VerifyReport

EXAMPLES = """
snap verify
snap verify --data
snap verify latest --data --json | jq '.findings[] | {name, sections, next}'
"""


def run(
    ctx: typer.Context,
    revision: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REV]...", show_default=False, help="Only these snapshots."),
    ] = None,
    data: Annotated[
        bool, typer.Option("--data", help="Read every byte and compare it with its hash.")
    ] = False,
) -> None:
    """Check that every snapshot can be read whole; name what is damaged.

    Beside each damage stands the command that mends it. Without --data it checks that all parts
    are there and fit together, not every byte of them. Exit code 60 where anything is damaged.
    """
    from pgsnap.workflows.verify import verify

    invocation = Invocation.of(ctx)
    with open_repository(invocation) as repo, invocation.progress() as progress:
        chosen = list(dict.fromkeys(resolve(invocation, repo, word) for word in revision or ()))
        report = verify(repo, snapshots=chosen, data=data, progress=progress)
    for notice in report.notices:
        invocation.tell(notice)
    colour = invocation.terminal.colour
    lines = [line for found in report.findings for line in finding_lines(found, colour=colour)]
    invocation.emit(_fields(report, invocation.notices), [*lines, _summary(report)])
    if report.findings:
        commands = list(dict.fromkeys(finding.next for finding in report.findings))
        raise CorruptionError(
            f"{render.plural(len(report.findings), 'finding')} of damage",
            detail="Chunks that were found damaged are stored again by the next commit that has "
            "them.",
            hint=f"Run: {'; '.join(commands[:3])}",
        )


def _summary(report: VerifyReport) -> str:
    words = (
        render.plural(len(report.snapshots), "snapshot"),
        render.plural(report.sections, "section"),
        render.plural(report.packs, "pack"),
        render.size(report.pack_bytes),
        "every byte read" if report.data else "structure only",
        render.seconds(report.seconds),
    )
    how = "no damage" if not report.findings else render.plural(len(report.findings), "finding")
    return "  ".join((how, *words))


def _fields(report: VerifyReport, notices: list[str]) -> dict[str, Any]:
    return {
        "data": report.data,
        "snapshots": [snapshot.hex() for snapshot in report.snapshots],
        "sections": report.sections,
        "packs": report.packs,
        "pack_bytes": report.pack_bytes,
        "chunks": report.chunks,
        "findings": [finding_fields(finding) for finding in report.findings],
        "seconds": round(report.seconds, 3),
        "notices": notices,
    }
