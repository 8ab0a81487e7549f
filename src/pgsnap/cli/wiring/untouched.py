"""What Ctrl-C in the middle of a restore or an undo left as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pgsnap.errors import Interrupted


@contextmanager
def untouched(database: str, *, is_there: bool) -> Iterator[None]:
    """Let an interrupt in the block, which changes *database* as a whole or not at all, say that
    it was not changed. A block that was interrupted after the change raises Interrupted itself."""
    try:
        yield
    except KeyboardInterrupt as stop:
        what = f"The database {database} was not touched." if is_there else "Nothing was made."
        raise Interrupted(str(stop) or "interrupted", detail=what) from stop
