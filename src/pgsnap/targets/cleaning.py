"""Clean-up that a signal does not cut short."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from pgsnap.errors import SnapError


def clean_up_whole(clean: Callable[[], None]) -> None:
    """Run *clean*, which may be repeated, again where a signal interrupts it; then raise that.

    What is left behind is found by the next restore, but that may be a year away. A signal in the
    second try ends it: whoever presses Ctrl-C once more does not want to wait.
    """
    try:
        clean()
    except KeyboardInterrupt:
        with contextlib.suppress(SnapError):
            clean()
        raise
