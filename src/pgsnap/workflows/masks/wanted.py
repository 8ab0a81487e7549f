"""The masks of a restore. Most have none: then NumPy, which masks rows, is not imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgsnap.model import Snapshot
from pgsnap.repository.repository import Repository
from pgsnap.targets.checks.preflight import Findings

if TYPE_CHECKING:
    from pgsnap.masking.events import Masking
    from pgsnap.masking.masks import Masks


def plan_masking(
    repo: Repository, snapshot: Snapshot, masks: Masks | None
) -> tuple[Masking | None, Findings]:
    """Return the filter and the findings of `plan_masks`, nothing without *masks*."""
    if masks is None:
        return None, Findings()
    from pgsnap.workflows.masks.plan import plan_masks

    plan = plan_masks(repo, snapshot, masks)
    return plan.masking, plan.findings
