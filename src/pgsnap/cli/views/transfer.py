"""What a push, pull or clone did, as lines and fields."""

from __future__ import annotations

from typing import Any

from pgsnap.cli.text import render
from pgsnap.cli.views.requests import request_fields
from pgsnap.repository.places.address import Address
from pgsnap.stores.counting import Counts
from pgsnap.workflows.sync.transfer import TransferReport


def transfer_fields(
    name: str | None, address: Address, report: TransferReport, counts: Counts | None
) -> dict[str, Any]:
    return {
        "remote": name,
        "url": str(address),
        "snapshots": report.snapshots,
        "left_out": (*report.forgotten_there, *report.incomplete),
        "chunks": report.chunks,
        "packs": report.packs,
        "sent_bytes": report.sent_bytes,
        "notes": report.notes,
        "tags": [f"{tag.database}/{tag.name}" for tag in report.tags],
        "tags_refused": [f"{one.tag.database}/{one.tag.name}" for one in report.divergent],
        "objects": report.requests,
        "requests": request_fields(counts),
        "dry_run": report.dry_run,
        "seconds": report.seconds,
    }


def transfer_lines(verb: str, where: str, report: TransferReport) -> list[str]:
    """Return the lines about a transfer; *verb* is "pushed to", "pulled from" or "cloned"."""
    lines = []
    is_push = verb == "pushed to"
    if report.forgotten_there:
        count = render.plural(len(report.forgotten_there), "snapshot")
        lines.append(f"left out: {count} that had been forgotten where the others go")
    if report.incomplete:
        count = render.plural(len(report.incomplete), "snapshot")
        lines.append(f"left out: {count} whose losses were accepted")
    for one in report.divergent:
        tag = render.plain(f"{one.tag.database}/{one.tag.name}")
        sent, found = render.short_id(one.tag.snapshot), render.short_id(one.there)
        lines.append(
            f"refused: tag {tag} -> {sent}, {'there' if is_push else 'here'} it is {found}"
        )
    if not (report.snapshots or report.tags or report.notes):
        what = "everything else" if report.divergent else "everything"
        lines.append(
            f"{where} has {what} already" if is_push else f"{what} of {where} is here already"
        )
        return lines
    if report.dry_run:
        verb = f"would be {verb}"
    count = render.plural(len(report.snapshots), "snapshot")
    words = [f"{count} {verb} {where}"]
    words.append(f"{render.size(report.sent_bytes)} in {render.plural(report.packs, 'pack')}")
    words += [render.plural(len(report.tags), "tag")] if report.tags else []
    words.append(render.plural(report.requests, "object"))
    return [*lines, "  ".join([*words, render.seconds(report.seconds)])]
