"""What was asked of a store, as a line and as fields."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render

if TYPE_CHECKING:
    from pgsnap.stores.counting import Counts
    from pgsnap.workflows.sync.transfer import TransferReport

# A push looks before and after it makes snapshots visible whether a gc runs there.
_LOOKS_FOR_A_GC = 2
# What it is there, and again once it is set: its newest object counts.
_LOOKS_AT_A_TAG = 2


def of_push(counts: Counts, report: TransferReport) -> Counts:
    """Return about what a push asks of the store whose dry run asked for *counts*."""
    if not report.dry_run:
        return counts
    return replace(
        counts,
        put=counts.put + report.requests,
        list=counts.list + _LOOKS_FOR_A_GC + _LOOKS_AT_A_TAG * len(report.tags),
        sent_bytes=counts.sent_bytes + report.sent_bytes,
    )


def request_fields(counts: Counts | None) -> dict[str, Any] | None:
    """Return the --json fields; None where nobody charges for requests."""
    return None if counts is None else render.fields_of(counts)


def request_line(counts: Counts | None, where: str, *, is_estimate: bool = False) -> str:
    if counts is None:
        return f"{where}: no requests, it is a folder"
    kinds = ("put", "list", "get", "delete")
    words = [f"{render.number(getattr(counts, kind))} {kind}" for kind in kinds]
    about = "about " if is_estimate else ""
    total = render.plural(counts.requests, "request")
    moved = f"{render.size(counts.sent_bytes)} sent, {render.size(counts.received_bytes)} received"
    repeated = f", {render.number(counts.repeated)} repeated" if counts.repeated else ""
    return f"{where}: {about}{total} ({', '.join(words)}{repeated})  {moved}"
