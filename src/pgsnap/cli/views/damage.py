"""How damage is shown: findings of verify and repair, as JSON and for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pgsnap.cli.text import render
from pgsnap.cli.text.program import named
from pgsnap.cli.views.snapshot import when
from pgsnap.maintenance.verify.damage import REPAIR_FROM, accept_command

if TYPE_CHECKING:
    from pgsnap.maintenance.repair.losses import Loss
    from pgsnap.maintenance.verify.damage import Damage
    from pgsnap.repository.places.address import Address

_SHOWN = 8
_MAY_KEEP_VERSIONS = ("s3://", "gs://", "az://")


def damage_lines(damage: Damage, *, colour: bool) -> list[str]:
    """Return damage as one line, with the affected snapshots and sections indented."""
    mark = render.style("damaged:", "red", colour)
    lines = [f"{mark} {damage.kind} {render.plain(damage.name)}"]
    pairs = [("problem", render.plain(damage.problem))]
    if damage.snapshots:
        pairs.append(("snapshots", _some([render.short_id(s) for s in damage.snapshots])))
    if damage.sections:
        pairs.append(("sections", _some([render.plain(name) for name in damage.sections])))
    pairs.append(("next", named(damage.next)))
    return lines + render.pairs(pairs, "    ")


def way_out(findings: Sequence[Damage], where: Address, *, has_copy: bool) -> str:
    """Return what to do about damage in *where* that only a copy can repair: repair it from there,
    or give it up, so that gc can continue."""
    hit = list(
        dict.fromkeys(
            snapshot
            for finding in findings
            if finding.kind in ("section", "snapshot") and finding.next == REPAIR_FROM
            for snapshot in finding.snapshots
        )
    )
    if not hit:
        return ""
    given_up = accept_command(hit)
    first = "" if has_copy else "Mend it from a copy: snap repair --from PATH. "
    older, no_copy = "", "none"
    if isinstance(where, str) and where.startswith(_MAY_KEEP_VERSIONS):
        older = "Or put back what came first, if the store keeps versions: docs/offsite.md. "
        no_copy = "neither"
    give_up = f"Where there is {no_copy}, give up what is lost, so that gc goes on: {given_up}"
    return f"{first}{older}{give_up}"


def loss_lines(losses: Sequence[Loss], now: datetime) -> list[str]:
    """Return the losses of each snapshot."""
    lines = []
    for loss in losses:
        lines.append(f"lost of snapshot {render.short_id(loss.snapshot_id)}:")
        pairs = []
        if loss.snapshot is not None:
            words = f"{render.plain(loss.snapshot.database)}, {when(loss.snapshot.time, now)}"
            pairs.append(("snapshot", f"{words}\n{render.first_line(loss.snapshot.message)}"))
        if loss.is_gone:
            pairs.append(("manifest", "gone, so all of it is lost"))
        if loss.sections:
            pairs.append(("sections", _some([render.plain(name) for name in loss.sections])))
        lines += render.pairs(pairs, "    ")
    return lines


def loss_fields(loss: Loss) -> dict[str, Any]:
    snapshot = loss.snapshot
    return {
        "id": loss.snapshot_id,
        "database": snapshot.database if snapshot is not None else None,
        "time": snapshot.time if snapshot is not None else None,
        "manifest_gone": loss.is_gone,
        "sections": loss.sections,
    }


def _some(words: Sequence[str]) -> str:
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {render.number(more)} more" if more > 0 else "")
