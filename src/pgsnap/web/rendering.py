"""Templates -> HTML: the environment with its filters. What is shown is escaped, always, and
control characters and marks of direction in it are made visible."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup, escape

from pgsnap import words
from pgsnap.web.pages.base import Page
from pgsnap.web.pages.shown import qualified

_FOLDER = Path(__file__).parent
# Of a value that is longer the rest is left out.
_SHOWN_CHARS_MAX = 500

# What a page is laid out in: the server's own frame, or a file of its own.
LAYOUT = "layout.html"


def render(
    page: Page,
    *,
    now: Any,
    layout: str = LAYOUT,
    acts: bool = False,
    linked: bool = True,
    **more: Any,
) -> str:
    """Return *page* as HTML, laid out in *layout*. Its template begins with
    ``{% extends layout %}`` and fills the block ``main``. *linked*: there are other pages that it
    can link to."""
    return (
        environment()
        .get_template(page.template)
        .render(
            page=page.data,
            title=page.title,
            nav=page.nav,
            now=now,
            layout=layout,
            acts=acts,
            linked=linked,
            **more,
        )
    )


@functools.cache
def environment() -> jinja2.Environment:
    """Return the environment of all templates."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        finalize=_visible,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "size": words.size,
        "number": words.number,
        "plural": words.plural,
        "rate": words.rate,
        "seconds": words.seconds,
        "clock": words.clock,
        "ago": words.ago,
        "short": _short,
        "hex": _hex,
        "plain": words.plain,
        "lines": _lines,
        "qualified": qualified,
        "signed": _signed,
        "signed_size": _signed_size,
        "first_line": words.first_line,
        "shown": shown,
    }
    made.globals |= {"url": url}
    return made


def url(path: str, values: Mapping[str, Any] | None = None, **more: Any) -> str:
    """Return the address of a page: ``url("/snapshot", id=snapshot_id)``. Values that are None or
    "" are left out; an id is written in hexadecimal digits."""
    given = {**(values or {}), **more}
    query = urlencode(
        {name: _hex(value) for name, value in given.items() if value not in (None, "")}
    )
    return f"{path}?{query}" if query else path


def static_text(name: str) -> str:
    """Return a file of the folder ``static``."""
    return (_FOLDER / "static" / name).read_text("utf-8")


def shown(text: str, most: int = _SHOWN_CHARS_MAX) -> str:
    """Return a value of a row as it is shown: control characters and marks of direction made
    visible, and no more of it than *most* characters."""
    if len(text) <= most:
        return words.plain(text)
    return f"{words.plain(text[:most])}… ({words.number(len(text))} characters)"


def _visible(value: Any) -> Any:
    """Return what a template prints, with what is invisible in foreign text made visible. Markup
    was made of such text."""
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        return words.plain(value)
    return value


def _lines(text: str) -> Markup:
    """Return *text* with its line ends as they are."""
    return escape(words.plain(text, keep_lines=True))


def _signed(count: int) -> str:
    return f"+{words.number(count)}" if count > 0 else words.number(count).replace("-", "−")


def _signed_size(count: int) -> str:
    return f"+{words.size(count)}" if count > 0 else words.size(count).replace("-", "−")


def _short(identifier: bytes | str) -> str:
    return _hex(identifier)[: words.SHORT_ID_CHARS]


def _hex(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
