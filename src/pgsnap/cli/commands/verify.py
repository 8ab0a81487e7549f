"""`snap verify`: checks that everything exists, and that every byte is as it was stored."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pgsnap.cli.console import steps
from pgsnap.cli.text import render
from pgsnap.cli.text.duration import parse_duration
from pgsnap.cli.text.sample_size import parse_sample
from pgsnap.cli.views.damage import damage_lines, way_out
from pgsnap.cli.wiring.connect import resolve
from pgsnap.cli.wiring.invocation import Invocation
from pgsnap.cli.wiring.remotes import open_chosen, remote_of
from pgsnap.errors import CorruptionError
from pgsnap.maintenance.verify.damage import REPAIR, REPAIR_FROM
from pgsnap.repository.places.address import Address

if TYPE_CHECKING:
    from datetime import datetime

    from pgsnap.maintenance.verify.damage import Damage
    from pgsnap.maintenance.verify.verify import VerifyReport

EXAMPLES = """
snap verify
snap verify --data
snap verify --sample 10% --max-duration 10min
snap verify --remote offsite --sample 10%
snap verify latest --data --json | jq '.findings[] | {name, sections, next}'
"""

Revision = Annotated[
    list[str] | None,
    typer.Argument(metavar="[REV]...", show_default=False, help="Only these snapshots."),
]
Data = Annotated[bool, typer.Option("--data", help="Read every byte and compare it with its hash.")]
Sample = Annotated[
    str | None,
    typer.Option(
        "--sample",
        metavar="SIZE",
        show_default=False,
        help="Read so much, as 10% or 1GB: what was read longest ago.",
    ),
]
MaxDuration = Annotated[
    str | None,
    typer.Option(
        "--max-duration",
        metavar="TIME",
        show_default=False,
        help="Stop reading after this time, such as 10min.",
    ),
]

Remote = Annotated[
    str | None,
    typer.Option(
        "--remote",
        metavar="NAME",
        show_default=False,
        help="Check this remote, by what its store gives out.",
    ),
]


def run(
    ctx: typer.Context,
    revision: Revision = None,
    data: Data = False,
    sample: Sample = None,
    max_duration: MaxDuration = None,
    remote: Remote = None,
) -> None:
    """Check that every snapshot can be read whole; name what is damaged.

    Beside each damage stands the command that mends it. Without --data it checks that all parts
    are there and fit together, not every byte of them. Exit code 60 where anything is damaged.
    Regular runs with --sample 10% read everything within ten of them.
    """
    from pgsnap.maintenance.verify.verify import verify

    invocation = Invocation.of(ctx)
    console = invocation.console
    size = parse_sample(sample) if sample is not None else None
    seconds = parse_duration(max_duration, "--max-duration") if max_duration is not None else None
    with (
        open_chosen(invocation, remote, whole=True) as repo,
        console.progress(steps.VERIFY) as progress,
    ):
        chosen = list(dict.fromkeys(resolve(invocation, repo, word) for word in revision or ()))
        report = verify(
            repo, snapshots=chosen, data=data, sample=size, max_seconds=seconds, progress=progress
        )
    where = invocation.settings.repository
    give_up = way_out(report.findings, where, has_copy=True) if remote is None else ""
    if remote is not None:
        _, table = remote_of(invocation, remote)
        report = _mended_there(report, invocation.settings.repository, table.url)
    for notice in report.notices:
        console.tell(notice)
    colour = console.terminal.colour
    lines = [line for found in report.findings for line in damage_lines(found, colour=colour)]
    lines += [_summary(report), *_coverage(report, invocation.now)]
    console.emit(_fields(report), lines)
    if report.findings:
        commands = list(dict.fromkeys(finding.next for finding in report.findings))
        raise CorruptionError(
            f"{render.plural(len(report.findings), 'finding')} of damage",
            detail="Chunks that were found damaged are stored again by the next commit that has "
            "them.",
            hint=". ".join(filter(None, (f"Run: {'; '.join(commands[:3])}", give_up))),
        )


def _mended_there(report: VerifyReport, here: Address, there: Address) -> VerifyReport:
    """Return the report with commands that mend the remote *there*, from the repository *here*."""
    repair = f"snap repair --from {shlex.quote(str(here))}"
    place = f"--repo {shlex.quote(str(there))}"

    def command(found: Damage) -> str:
        mends = found.next in (REPAIR, REPAIR_FROM)
        return f"{repair if mends else found.next} {place}"

    return replace(
        report, findings=tuple(replace(one, next=command(one)) for one in report.findings)
    )


def _summary(report: VerifyReport) -> str:
    words = (
        render.plural(len(report.snapshots), "snapshot"),
        render.plural(report.sections, "section"),
        render.plural(report.packs, "pack"),
        render.size(report.pack_bytes),
        _how_read(report),
        render.seconds(report.seconds),
    )
    how = "no damage" if not report.findings else render.plural(len(report.findings), "finding")
    return "  ".join((how, *words))


def _how_read(report: VerifyReport) -> str:
    if not report.data:
        return "structure only"
    if report.everything_read:
        return "every byte read"
    share = 100 * report.bytes_read / max(report.pack_bytes, 1)
    packs = render.plural(report.packs_read, "pack")
    return f"{packs} of {render.size(report.bytes_read)} read ({share:.0f} %)"


def _coverage(report: VerifyReport, now: datetime) -> list[str]:
    """Return the coverage of this and earlier runs, for one that did not read everything."""
    if not report.data or report.everything_read:
        return []
    lines = []
    if not report.is_complete:
        lines.append("stopped, because the time was over; the next run goes on from there")
    state = report.state
    if state.never:
        packs = render.plural(state.never, "pack")
        lines.append(f"never read: {packs} of {render.size(state.never_bytes)}")
    elif state.oldest is not None:
        days = max(1, math.ceil((now - state.oldest).total_seconds() / 86400))
        last = "day" if days == 1 else f"{days} days"
        lines.append(f"every byte was read within the last {last}")
    return lines


def _fields(report: VerifyReport) -> dict[str, Any]:
    return {
        **render.fields_of(report, is_complete="complete", state="", notices=""),
        "packs_never_read": report.state.never,
        "bytes_never_read": report.state.never_bytes,
        "oldest_read": report.state.oldest,
    }
