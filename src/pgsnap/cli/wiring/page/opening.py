"""How the browser learns the address: by a file that only its user can read. An argument would be
in the list of processes, for all users of the host."""

from __future__ import annotations

import contextlib
import html
import os
import sys
import tempfile
import webbrowser
from collections.abc import Iterator, Mapping
from pathlib import Path

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}"><title>snap</title></head>
<body><p><a href="{url}">Go on to snap</a></p></body></html>
"""


@contextlib.contextmanager
def file_for(url: str, environ: Mapping[str, str]) -> Iterator[Path | None]:
    """Yield a file that sends a browser on to *url*; it is removed at the end. None if there is no
    room for it: the address can be opened without it."""
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    folders = [runtime] if runtime and os.access(runtime, os.W_OK) else []
    path = next(filter(None, (_written(url, folder) for folder in (*folders, None))), None)
    try:
        yield path
    finally:
        if path is not None:
            path.unlink(missing_ok=True)


def _written(url: str, folder: str | None) -> Path | None:
    """Return a file in *folder* (None: that for temporary files), None if it cannot be written."""
    path = None
    try:
        # mkstemp creates it with mode 0600 and never follows somebody else's link.
        descriptor, name = tempfile.mkstemp(prefix="snap-ui-", suffix=".html", dir=folder)
        path = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_PAGE.format(url=html.escape(url)))
    except OSError:
        if path is not None:
            path.unlink(missing_ok=True)
        return None
    return path


def open_browser(path: Path, environ: Mapping[str, str]) -> bool:
    """Let the user's browser open the file; return whether there was one to ask. A browser in this
    terminal is none: the server's news are there."""
    is_graphical = any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    if not is_graphical and sys.platform != "darwin":
        return False
    try:
        return webbrowser.open(path.as_uri())
    except webbrowser.Error:
        return False
