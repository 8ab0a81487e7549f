"""The command line: argv, environment, snap.toml, the terminal and exit codes, and nothing else."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

from pgsnap import __version__

__all__ = ["main"]

# A restore or commit of a small database makes 100,000 objects that stay.
_OBJECTS_BEFORE_COLLECTION = 150_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run `snap` with *argv* (default: the process's own) and return its exit code.

    Errors are reported on standard error, see `boundary`.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    if arguments == ["--version"]:
        # Answered here: importing the whole command line takes five times as long.
        from pgsnap.cli.text.short_name import short_name

        sys.stdout.write(f"{short_name()} {__version__}\n")
        return 0
    from pgsnap.cli.completion import is_asked

    if argv is None and is_asked():
        from pgsnap.cli.completion.answer import answer

        answer(arguments)
    if argv is None:
        from pgsnap.cli.one_thread import load_numpy_with_one_thread

        load_numpy_with_one_thread()
        # Modules are many objects and no garbage: looking through them takes a twentieth of a
        # start.
        gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
    from pgsnap import interrupts

    undo = interrupts.handle()
    try:
        from pgsnap.cli.boundary import run

        return run(arguments)
    except KeyboardInterrupt:
        # A signal after `boundary` reported the command's end, while it waited for the audit log.
        from pgsnap.cli.text.short_name import short_name

        sys.stderr.write(f"{short_name()}: error: interrupted\n")
        return interrupts.EXIT_CODE
    finally:
        if argv is None:
            # The process ends: collecting garbage in all modules would take a tenth of a second.
            gc.freeze()
            interrupts.end_at_once()
        else:
            undo()
