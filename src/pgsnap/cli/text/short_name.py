"""What stands before an error's message: the name that this program was started by.

Apart from `program`, which imports what `--version` does without.
"""

from __future__ import annotations

import os
import sys

NAMES = ("snap", "pgsnap")

# Set for commands that this program starts to show them.
STARTED_AS = "_PGSNAP_STARTED_AS"


def short_name() -> str:
    """Return `snap` or `pgsnap`."""
    name = sys.argv[0].rpartition("/")[2] if sys.argv else ""
    return name if name in NAMES else by_default()


def by_default() -> str:
    """Return the name of what was started by neither."""
    named = os.environ.get(STARTED_AS, "")
    return named if named in NAMES else NAMES[0]
