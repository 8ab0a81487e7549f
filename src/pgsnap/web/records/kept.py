"""Databases that a restore or an undo replaced, and that are kept."""

from __future__ import annotations

from pgsnap.web.pages.base import Asked, Page
from pgsnap.workflows.history.log import kept


def page(asked: Asked) -> Page:
    return Page("kept.html", "Kept databases", kept(asked.repo, database=None), "kept")
