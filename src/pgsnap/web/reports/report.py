"""Report: pages as one file for a pull request, a mail or an archive. It needs no script, and asks
nobody for anything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from pgsnap import __version__, extras
from pgsnap.errors import UsageError
from pgsnap.files.whole import write_all
from pgsnap.model import SnapshotId
from pgsnap.progress import SILENT, Progress
from pgsnap.repository.repository import Repository
from pgsnap.targets.file import write_filled
from pgsnap.web.pages.base import Page
from pgsnap.web.pages.comparison import ROWS_SHOWN, comparison_page, rows_page
from pgsnap.web.pages.database import database_page
from pgsnap.web.pages.row import row_page
from pgsnap.web.pages.rows import table_page
from pgsnap.web.pages.snapshot import snapshot_page
from pgsnap.web.pages.versions import versions_page
from pgsnap.web.reports.markdown import markdown
from pgsnap.workflows.diff.diff import stored_version
from pgsnap.workflows.diff.tables import table_named

SNAPSHOTS_MAX = 1000
"""So many snapshots are looked through for the versions of a table, or the history of a row."""


def database_report(
    repo: Repository, label: str, *, rows: int, progress: Progress = SILENT
) -> list[Page]:
    """Return the pages about a database: its snapshots, and what the newest has. Raises
    UnknownRevision, CorruptionError."""
    newest = repo.newest(label, 1)
    pages: list[Page] = [database_page(repo, label)]
    return pages + snapshot_report(repo, newest[0], rows=rows, progress=progress)


def snapshot_report(
    repo: Repository,
    snapshot_id: SnapshotId,
    *,
    rows: int,
    progress: Progress = SILENT,
) -> list[Page]:
    """Return the pages about a snapshot: its contents, and what it changed, with *rows* of each
    table. Raises UnknownRevision, CorruptionError."""
    pages: list[Page] = [snapshot_page(repo, snapshot_id, counted=True)]
    parent = repo.snapshot(snapshot_id).parent
    if parent is not None and repo.has_snapshot(parent):
        pages.append(comparison_page(repo, parent, snapshot_id, rows=rows, progress=progress))
    return pages


def comparison_report(
    repo: Repository,
    before: SnapshotId,
    after: SnapshotId,
    *,
    table: str | None = None,
    rows: int = 0,
    progress: Progress = SILENT,
) -> list[Page]:
    """Return the page of two snapshots, or only of the rows of *table*. Raises UnknownRevision,
    UsageError if neither has the table, CorruptionError."""
    if table is not None:
        limit = rows or ROWS_SHOWN
        return [rows_page(repo, before, after, table, limit=limit, progress=progress)]
    return [comparison_page(repo, before, after, rows=rows, progress=progress)]


def table_report(
    repo: Repository,
    label: str,
    table: str,
    *,
    key: str | None = None,
    progress: Progress = SILENT,
) -> list[Page]:
    """Return the page of a table's versions, or of the history of its row with *key*. Raises
    UnknownRevision, UsageError if the newest snapshot does not have it, CorruptionError."""
    [newest] = repo.newest(label, 1)
    version = stored_version(repo, newest)
    found = table_named(table, version, version)
    if key is not None:
        return [row_page(repo, label, found, key, limit=SNAPSHOTS_MAX, progress=progress)]
    return [versions_page(repo, label, found, limit=SNAPSHOTS_MAX, progress=progress)]


def rows_report(
    repo: Repository, snapshot_id: SnapshotId, table: str, *, rows: int, progress: Progress = SILENT
) -> list[Page]:
    """Return the page of the first *rows* of a table of a snapshot. Raises UnknownRevision,
    UsageError if it does not have it, CorruptionError."""
    version = stored_version(repo, snapshot_id)
    found = table_named(table, version, version)
    limit = rows or ROWS_SHOWN
    return [table_page(repo, snapshot_id, found, limit=limit, progress=progress)]


def check_renderer() -> None:
    """Raise UsageError if what renders HTML is not installed."""
    try:
        import jinja2  # noqa: F401
    except ImportError:
        raise UsageError(
            "Jinja is not installed",
            detail="Reports in HTML are made with it, those in Markdown are not.",
            hint=extras.hint("ui"),
        ) from None


def html(pages: Sequence[Page], now: datetime) -> str:
    """Return *pages* as one file of HTML. Call `check_renderer` first."""
    from markupsafe import Markup

    from pgsnap.web.rendering import environment, render, static_text

    template = environment().get_template("report.html")
    # The style sheet is ours, and what the pages hold is escaped already.
    return template.render(
        title=pages[0].title,
        pages=[
            Markup(render(page, now=now, layout="fragment.html", linked=False)) for page in pages
        ],
        styles=Markup(static_text("page.css")),
        version=__version__,
        now=now,
    )


def write_report(path: Path, text: str, *, force: bool) -> int:
    """Write a report, readable only by its owner; it may hold rows. Return its size in bytes.
    Raises UsageError, StoreError, StoreFull."""
    data = text.encode("utf-8")
    return write_filled(path, lambda file: write_all(file, [data]), force=force)


def as_markdown(pages: Sequence[Page], now: datetime) -> str:
    """Return *pages* as Markdown."""
    return markdown(pages, now)
