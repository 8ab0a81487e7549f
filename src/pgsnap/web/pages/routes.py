"""Which function makes the page at which address. Everything else is in the query."""

from __future__ import annotations

from collections.abc import Callable

from pgsnap.web.pages import comparison, database, overview, row, rows, snapshot, versions
from pgsnap.web.pages.base import Asked, Page
from pgsnap.web.records import checks, kept, search

PAGES: dict[str, Callable[[Asked], Page]] = {
    "/": overview.page,
    "/database": database.page,
    "/snapshot": snapshot.page,
    "/diff": comparison.page,
    "/table": versions.page,
    "/rows": rows.page,
    "/row": row.page,
    "/checks": checks.page,
    "/kept": kept.page,
    "/search": search.page,
}
