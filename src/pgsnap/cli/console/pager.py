"""A pager for long results, chosen and used as git does."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TextIO

# Ends at once where all fits on one screen, lets colours through, leaves what it showed there.
_LESS = "FRX"


def find_pager(environ: Mapping[str, str]) -> str | None:
    """Return the command line of the pager: SNAP_PAGER, PAGER, or less; None if there is none, or
    if none is wanted (an empty variable, `cat`, a terminal that can do nothing)."""
    if environ.get("TERM", "dumb") == "dumb":
        return None
    named = next((environ[name] for name in ("SNAP_PAGER", "PAGER") if name in environ), "less")
    try:
        words = shlex.split(named)
    except ValueError:
        return None
    if not words or words == ["cat"] or shutil.which(words[0]) is None:
        return None
    return named


@contextmanager
def through_pager(command: str) -> Iterator[TextIO]:
    """Yield a stream whose text the pager shows; wait until the user ends it.

    The end of the pager before that of the text ends the block, without an error. Ctrl-C is the
    pager's own.
    """
    child = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.PIPE,
        env={"LESS": _LESS, "LV": "-c", **os.environ},
    )
    assert child.stdin is not None
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stream = io.TextIOWrapper(child.stdin, encoding="utf-8", errors="backslashreplace")
        with suppress(BrokenPipeError), stream:
            yield stream
    finally:
        child.wait()
        signal.signal(signal.SIGINT, before)
