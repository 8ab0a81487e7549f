"""How damage is shown: findings of verify and repair, as JSON and for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pgsnap.cli import render

if TYPE_CHECKING:
    from pgsnap.workflows.findings import Finding

_SHOWN = 8


def finding_fields(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "name": finding.name,
        "problem": finding.problem,
        "snapshots": [snapshot.hex() for snapshot in finding.snapshots],
        "sections": list(finding.sections),
        "next": finding.next,
    }


def finding_lines(finding: Finding, *, colour: bool) -> list[str]:
    """Return a finding as one line and what it hits, indented."""
    mark = render.style("damaged:", "red", colour)
    lines = [f"{mark} {finding.kind} {render.plain(finding.name)}"]
    pairs = [("problem", render.plain(finding.problem))]
    if finding.snapshots:
        pairs.append(("snapshots", _some([render.short_id(s) for s in finding.snapshots])))
    if finding.sections:
        pairs.append(("sections", _some([render.plain(name) for name in finding.sections])))
    pairs.append(("next", finding.next))
    return lines + render.pairs(pairs, "    ")


def _some(words: Sequence[str]) -> str:
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {render.number(more)} more" if more > 0 else "")
