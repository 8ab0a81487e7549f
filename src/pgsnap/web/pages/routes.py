"""Which function makes the page at which address. Everything else is in the query."""

from __future__ import annotations

from collections.abc import Callable

from pgsnap.web.pages import overview
from pgsnap.web.pages.base import Asked, Page

PAGES: dict[str, Callable[[Asked], Page]] = {
    "/": overview.page,
}
