"""What the operating system refuses, as an error with words."""

from __future__ import annotations

import errno

from pgsnap.errors import SnapError, StoreFull
from pgsnap.files.folder import NO_ROOM
from pgsnap.files.owned import way_in

# Errors of the machine, or of a path that the user named; not bugs.
_REFUSALS = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE),
        *(errno.ENOMEM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR),
    }
)


def refused(error: OSError) -> SnapError | None:
    """Return the operating system's refusal as an error, or None if it is a bug in snap."""
    if error.errno in NO_ROOM:
        kind: type[SnapError] = StoreFull
    elif error.errno in _REFUSALS:
        kind = SnapError
    else:
        return None
    where = f': "{error.filename}"' if error.filename else ""
    reason = (error.strerror or "refused").lower()
    return kind(f"{reason}{where}", hint=way_in(error))
