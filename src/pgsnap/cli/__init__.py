"""The command line: argv, environment, snap.toml, the terminal and exit codes, and nothing else."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from pgsnap import __version__

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `snap` with *argv* (default: the process's own) and return its exit code.

    Whatever goes wrong is told on standard error, see `boundary`.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments == ["--version"]:
        # Answered here because importing the whole command line costs five times as much.
        sys.stdout.write(f"snap {__version__}\n")
        return 0
    try:
        from pgsnap.cli.interruption import end_at_once_on_interrupt, signals_as_errors

        with signals_as_errors():
            from pgsnap.cli.boundary import run

            code = run(arguments)
        if argv is None:
            # The process ends: to look for garbage among all modules takes a tenth of a second.
            gc.freeze()
            end_at_once_on_interrupt()
        return code
    except KeyboardInterrupt:
        # A signal before `boundary` is there, or after it has told how the command ended.
        sys.stderr.write("snap: error: interrupted\n")
        return 130
