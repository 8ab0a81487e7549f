"""One module per command: settings, workflow, rendering, and nothing else."""

from __future__ import annotations

import importlib
from typing import Any

# In the order of a first day with snap; `snap --help` uses the same order.
NAMES = (
    *("init", "commit", "status", "log", "show", "diff", "run", "tag", "cat"),
    *("restore", "undo", "drill"),
    *("export", "import", "forget", "unforget", "gc", "stats", "verify", "repair", "reindex"),
    *("push", "fetch", "pull", "clone", "remote"),
    *("check", "schedule", "database", "key", "audit", "doctor", "demo", "completion", "help"),
)


def module(name: str) -> Any:
    """Return the module of a command. Its `run` is the command, whose docstring is the help;
    EXAMPLES is appended to it."""
    # "import" is a keyword of Python.
    return importlib.import_module(f"{__name__}.{'import_' if name == 'import' else name}")
