"""One module per command: settings, workflow, rendering, and nothing else."""

from __future__ import annotations

import importlib
from typing import Any

# By what somebody wants to do, in the order of a first day with snap; `snap --help` uses the same.
GROUPS = {
    "Record": ("init", "commit", "run", "tag"),
    "Look": ("status", "log", "show", "diff", "blame", "report", "ui", "open", "query", "bisect"),
    "Go back": ("restore", "undo", "drill"),
    "Other formats": ("cat", "export", "mask", "import"),
    "The repository": ("forget", "unforget", "gc", "stats", "verify", "repair", "reindex"),
    "Copies elsewhere": ("push", "fetch", "pull", "clone", "remote", "key"),
    "Operation": ("schedule", "check", "doctor", "audit", "database"),
    "Help": ("demo", "completion", "help"),
}
NAMES = tuple(name for names in GROUPS.values() for name in names)


def module(name: str) -> Any:
    """Return the module of a command. Its `run` is the command, whose docstring is the help;
    EXAMPLES is appended to it."""
    # "import" is a keyword of Python.
    return importlib.import_module(f"{__name__}.{'import_' if name == 'import' else name}")
