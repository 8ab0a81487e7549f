"""One module for each command: settings, workflow, render, and nothing else."""

from __future__ import annotations

import importlib
from typing import Any

# In the order of a first day with snap, which is the order of `snap --help`.
NAMES = (
    *("init", "commit", "log", "show", "diff", "tag", "cat", "restore", "undo", "drill"),
    *("export", "import", "forget", "unforget", "gc", "stats", "verify", "repair", "reindex"),
    *("check", "schedule", "database", "audit", "doctor", "demo", "help"),
)


def module(name: str) -> Any:
    """Return the module of a command. Its `run` is the command, the docstring of that its help,
    its EXAMPLES the end of that."""
    # "import" is a word of Python.
    return importlib.import_module(f"{__name__}.{'import_' if name == 'import' else name}")
