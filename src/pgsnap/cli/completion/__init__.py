"""What a shell offers for a word that is not finished."""

from __future__ import annotations

import os

from pgsnap.values import dataclass

# Set by the scripts of `snap completion`, with the words as arguments.
VARIABLE = "_PGSNAP_ANSWER"
# Set by the scripts that version 0.1 installed.
OLD_VARIABLES = ("_SNAP_COMPLETE", "_PGSNAP_COMPLETE")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A word that may stand there, and what it is."""

    value: str
    about: str = ""


def is_asked() -> bool:
    """Return whether a shell asks, instead of somebody who runs a command."""
    return any(os.environ.get(name) for name in (VARIABLE, *OLD_VARIABLES))
